package uma

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// ParsePermissions reads the answer of a UMA grant with response_mode=permissions
// (Keycloak): a list of permissions. An item that cannot be read grants nothing.
func ParsePermissions(body []byte) ([]Permission, error) {
	if !strictjson.Valid(body) {
		return nil, ErrNotJSON
	}
	list := gjson.ParseBytes(body)
	if !list.IsArray() {
		return nil, ErrWrongType
	}
	t := &Token{}
	r := reader{token: t}
	if err := r.permissions(list); err != nil {
		return nil, err
	}
	t.pack()
	return t.Permissions, nil
}

// GrantError is how the token endpoint refuses (RFC 6749 section 5.2, UMA Grant section
// 3.3.6). The zero value is an answer that says nothing that is understood.
type GrantError uint8

// The refusals that mean something to who asks what a token may.
const (
	GrantErrorOther      GrantError = iota
	GrantDenied                     // access_denied, request_denied: the policies say no
	GrantSubmitted                  // the owner is asked
	GrantNeedsInfo                  // need_info: the AS wants to know more of the requesting party
	GrantInvalid                    // invalid_grant, invalid_token, invalid_ticket: what was shown is not good
	GrantUnknownResource            // invalid_resource, invalid_resource_id, invalid_scope
)

// Refusal is what the token endpoint, or the permission endpoint, says with a no.
type Refusal struct {
	Error GrantError
	// Ticket is what takes the place of the one that was used, and Interval how many
	// seconds it is to be kept until the AS is asked with it.
	Ticket   string
	Interval int64
}

// ParseRefusal reads a refusal. Keycloak says access_denied for every no, and in the
// description that the owner is asked.
func ParseRefusal(body []byte) Refusal {
	var code, description string
	var out Refusal
	var r reader
	if r.object(body, func(name string, v gjson.Result) error {
		switch name {
		case "error":
			return r.text(0, v, &code)
		case "error_description":
			return r.text(1, v, &description)
		case "ticket":
			return r.text(2, v, &out.Ticket)
		case "interval":
			if v.Type == gjson.Number && v.Num > 0 && v.Num < lastSecond {
				out.Interval = int64(v.Num)
			}
			return r.once(3)
		}
		return nil
	}) != nil {
		return Refusal{}
	}
	out.Error = grantError(code, description)
	return out
}

func grantError(code, description string) GrantError {
	switch code {
	case "access_denied":
		if description == "request_submitted" {
			return GrantSubmitted
		}
		return GrantDenied
	case "request_denied":
		return GrantDenied
	case "request_submitted":
		return GrantSubmitted
	case "need_info":
		return GrantNeedsInfo
	case "invalid_grant", "invalid_token", "invalid_ticket":
		return GrantInvalid
	case "invalid_resource", "invalid_resource_id", "invalid_scope":
		return GrantUnknownResource
	}
	return GrantErrorOther
}

// ParseRPT reads the answer to a UMA grant that gives an RPT (UMA Grant section 3.3.5).
func ParseRPT(body []byte) (string, error) {
	var rpt string
	var r reader
	err := r.object(body, func(name string, v gjson.Result) error {
		if name == "access_token" {
			return r.text(0, v, &rpt)
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case !IsToken(rpt):
		return "", ErrNoRPT
	}
	return rpt, nil
}

// CarriesPermissions tells that a token is a JWT that says that it has permissions, as
// Keycloak's RPTs do. Whether it has them is the server's to say.
func CarriesPermissions(jwt string) bool {
	_, rest, _ := strings.Cut(jwt, ".")
	payload, _, signed := strings.Cut(rest, ".")
	if !signed {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return false
	}
	found := false
	var r reader
	_ = r.object(raw, func(name string, v gjson.Result) error {
		found = found || name == "authorization" && v.IsObject()
		return nil
	})
	return found
}

// Without returns the permissions but for scopes of a resource: what is left of what was
// known when they are asked for anew. A permission without scopes is not left.
func Without(list []Permission, resourceID string, scopes []string) []Permission {
	var left []Permission
	for i := range list {
		p := list[i]
		if p.ResourceID == resourceID {
			if p.Scopes = pick(p.Scopes, scopes, false); len(p.Scopes) == 0 {
				continue
			}
		}
		left = append(left, p)
	}
	return left
}

// Within returns what of a list was asked for: scopes of a resource, or, where no scope
// was named, that there is a permission on it.
func Within(list []Permission, resourceID string, scopes []string) []Permission {
	var found []Permission
	for i := range list {
		p := list[i]
		if p.ResourceID != resourceID {
			continue
		}
		if p.Scopes = pick(p.Scopes, scopes, true); len(p.Scopes) > 0 || len(scopes) == 0 {
			found = append(found, p)
		}
	}
	return found
}

// pick returns those of a list that are in another, or those that are not, in memory of
// its own.
//
//go:noinline
func pick(list, other []string, in bool) []string {
	picked := make([]string, 0, len(list))
	for _, s := range list {
		if slices.Contains(other, s) == in {
			picked = append(picked, s)
		}
	}
	return picked
}
