package uma

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"

	"github.com/tidwall/gjson"
)

// Errors of an answer of the authorization server.
var (
	ErrNotJSON    = errors.New("the answer is not a JSON object")
	ErrDuplicate  = errors.New("a member is there twice")
	ErrWrongType  = errors.New("a member has the wrong type")
	ErrNoActive   = errors.New(`"active" is missing`)
	ErrNoTicket   = errors.New(`"ticket" is missing`)
	ErrNotJWT     = errors.New("the token is not a JWT")
	ErrBadTicket  = errors.New("the ticket has characters that a header cannot carry")
	ErrManyRights = errors.New("the token has too many permissions")
)

// MaxPermissions bounds the permissions of one token.
const MaxPermissions = 4096

// Token is what the authorization server says of a token. Times are seconds
// since 1970; zero is absent.
type Token struct {
	Active      bool
	Subject     string
	Issuer      string
	ClientID    string
	JWTID       string
	SessionID   string
	Audience    []string
	Scopes      []string
	Expires     int64
	NotBefore   int64
	IssuedAt    int64
	Permissions []Permission

	// Bound tells that the token is bound to a key of the client (a "cnf" member,
	// RFC 7800; DPoP, RFC 9449; mutual TLS, RFC 8705), so that it is no bearer token.
	Bound bool
	// Refresh tells that the token is, by its own word ("typ" of Keycloak's
	// tokens), not an access token.
	NotAccess bool
}

// Permission is one right of an RPT. Its times are those of [Token].
type Permission struct {
	ResourceID string
	Scopes     []string
	Expires    int64
	NotBefore  int64
}

// ValidAt tells that a permission is in force at a time, to the second; leeway
// is the clock difference tolerated, in seconds.
func (p *Permission) ValidAt(now, leeway int64) bool {
	return (p.Expires == 0 || now < p.Expires+leeway) && (p.NotBefore == 0 || now >= p.NotBefore-leeway)
}

// ParseIntrospection reads an introspection answer.
func ParseIntrospection(body []byte) (*Token, error) {
	t := &Token{}
	r := reader{token: t}
	if err := r.object(body, r.claim); err != nil {
		return nil, err
	}
	if !r.seenActive {
		return nil, ErrNoActive
	}
	if !t.Active {
		return &Token{}, nil
	}
	return t, nil
}

// AddJWTClaims completes an active token with the payload of the token itself,
// whose signature the authorization server has verified when it said that it is
// active. Claims of the payload come before those of the answer, but permissions
// are taken from it only when the answer had none at all.
func AddJWTClaims(t *Token, jwt string) error {
	_, rest, ok := strings.Cut(jwt, ".")
	if !ok {
		return ErrNotJWT
	}
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return ErrNotJWT
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ErrNotJWT
	}
	own := Token{}
	r := reader{token: &own}
	if err := r.object(raw, r.claim); err != nil {
		return err
	}
	merge(&t.Subject, own.Subject)
	merge(&t.Issuer, own.Issuer)
	merge(&t.ClientID, own.ClientID)
	merge(&t.JWTID, own.JWTID)
	merge(&t.SessionID, own.SessionID)
	if own.Audience != nil {
		t.Audience = own.Audience
	}
	if own.Scopes != nil {
		t.Scopes = own.Scopes
	}
	if own.Expires != 0 && (t.Expires == 0 || own.Expires < t.Expires) {
		t.Expires = own.Expires
	}
	t.NotBefore = max(t.NotBefore, own.NotBefore)
	if own.IssuedAt != 0 {
		t.IssuedAt = own.IssuedAt
	}
	if t.Permissions == nil {
		t.Permissions = own.Permissions
	}
	t.Bound = t.Bound || own.Bound
	t.NotAccess = t.NotAccess || own.NotAccess
	return nil
}

func merge(to *string, from string) {
	if from != "" {
		*to = from
	}
}

// reader reads the members of one object into a token.
type reader struct {
	token      *Token
	seen       uint32
	seenActive bool
	clientID   bool // client_id was there, so azp does not count
	err        error
}

// object calls member for each member of a JSON object.
func (r *reader) object(body []byte, member func(name string, v gjson.Result) error) error {
	if !gjson.ValidBytes(body) {
		return ErrNotJSON
	}
	doc := gjson.ParseBytes(body)
	if !doc.IsObject() {
		return ErrNotJSON
	}
	return eachMember(doc, member)
}

func eachMember(doc gjson.Result, member func(name string, v gjson.Result) error) error {
	var err error
	doc.ForEach(func(key, value gjson.Result) bool {
		err = member(key.Str, value)
		return err == nil
	})
	return err
}

// once refuses a member that is there twice. bit is the member's own.
func (r *reader) once(bit uint) error {
	if r.seen&(1<<bit) != 0 {
		return ErrDuplicate
	}
	r.seen |= 1 << bit
	return nil
}

//nolint:gocyclo // one case a member, nothing nested
func (r *reader) claim(name string, v gjson.Result) error {
	t := r.token
	switch name {
	case "active":
		if !v.IsBool() {
			return ErrWrongType
		}
		t.Active, r.seenActive = v.Bool(), true
		return r.once(0)
	case "sub":
		return r.text(1, v, &t.Subject)
	case "iss":
		return r.text(2, v, &t.Issuer)
	case "client_id":
		r.clientID = true
		return r.text(3, v, &t.ClientID)
	case "azp": // OpenID Connect Core section 2; Keycloak's name for the client
		if r.clientID {
			return nil
		}
		return r.text(4, v, &t.ClientID)
	case "jti":
		return r.text(5, v, &t.JWTID)
	case "sid":
		return r.text(6, v, &t.SessionID)
	case "aud":
		return r.list(7, v, &t.Audience)
	case "scope":
		return r.scopes(v)
	case "exp":
		return r.time(9, v, &t.Expires)
	case "nbf":
		return r.time(10, v, &t.NotBefore)
	case "iat":
		return r.time(11, v, &t.IssuedAt)
	case "permissions":
		if err := r.once(12); err != nil {
			return err
		}
		return r.permissions(v)
	case "authorization": // Keycloak's RPT
		if err := r.once(13); err != nil {
			return err
		}
		if !v.IsObject() {
			return ErrWrongType
		}
		return eachMember(v, func(name string, v gjson.Result) error {
			if name != "permissions" {
				return nil
			}
			if err := r.once(14); err != nil {
				return err
			}
			if t.Permissions != nil {
				return nil
			}
			return r.permissions(v)
		})
	case "cnf":
		t.Bound = v.Type != gjson.Null
		return r.once(15)
	case "token_type":
		var kind string
		if err := r.text(16, v, &kind); err != nil {
			return err
		}
		t.Bound = t.Bound || strings.EqualFold(kind, "DPoP")
		return nil
	case "typ":
		var kind string
		if err := r.text(17, v, &kind); err != nil {
			return err
		}
		t.NotAccess = kind != "" && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "DPoP") && !strings.EqualFold(kind, "at+jwt")
		return nil
	}
	return nil
}

func (r *reader) text(bit uint, v gjson.Result, to *string) error {
	if err := r.once(bit); err != nil {
		return err
	}
	switch v.Type {
	case gjson.String:
		*to = v.Str
	case gjson.Null:
	default:
		return ErrWrongType
	}
	return nil
}

// list reads a string or an array of strings.
func (r *reader) list(bit uint, v gjson.Result, to *[]string) error {
	if err := r.once(bit); err != nil {
		return err
	}
	switch {
	case v.Type == gjson.String:
		*to = []string{v.Str}
	case v.Type == gjson.Null:
	case v.IsArray():
		list, err := stringArray(v)
		*to = list
		return err
	default:
		return ErrWrongType
	}
	return nil
}

// scopes reads "scope": one string with spaces (RFC 7662), or an array, as some
// servers answer.
func (r *reader) scopes(v gjson.Result) error {
	if v.Type != gjson.String {
		return r.list(8, v, &r.token.Scopes)
	}
	r.token.Scopes = strings.Fields(v.Str)
	return r.once(8)
}

// time reads a NumericDate. One that no clock will show is wrong, not late.
func (r *reader) time(bit uint, v gjson.Result, to *int64) error {
	if err := r.once(bit); err != nil {
		return err
	}
	switch {
	case v.Type == gjson.Null:
		return nil
	case v.Type != gjson.Number || math.IsNaN(v.Num) || v.Num < 0 || v.Num > math.MaxInt32*1000.0:
		return ErrWrongType
	}
	*to = int64(v.Num)
	return nil
}

func (r *reader) permissions(v gjson.Result) error {
	if v.Type == gjson.Null {
		return nil
	}
	if !v.IsArray() {
		return ErrWrongType
	}
	list := []Permission{} // not nil: the answer had permissions, maybe none
	var err error
	v.ForEach(func(_, item gjson.Result) bool {
		var p Permission
		if p, err = readPermission(item); err == nil {
			list = append(list, p)
			if len(list) > MaxPermissions {
				err = ErrManyRights
			}
		}
		return err == nil
	})
	r.token.Permissions = list
	return err
}

// readPermission reads a permission in the spec's spelling (resource_id,
// resource_scopes) or in Keycloak's (rsid, scopes). Where both are there they
// must agree.
func readPermission(v gjson.Result) (Permission, error) {
	var p Permission
	var r reader
	var id, rsid string
	var specScopes, scopes []string
	if !v.IsObject() {
		return p, ErrWrongType
	}
	err := eachMember(v, func(name string, v gjson.Result) error {
		switch name {
		case "resource_id":
			return r.text(0, v, &id)
		case "rsid":
			return r.text(1, v, &rsid)
		case "resource_scopes":
			return r.list(2, v, &specScopes)
		case "scopes":
			return r.list(3, v, &scopes)
		case "exp":
			return r.time(4, v, &p.Expires)
		case "nbf":
			return r.time(5, v, &p.NotBefore)
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	if id != "" && rsid != "" && id != rsid {
		return p, ErrDuplicate
	}
	p.ResourceID, p.Scopes = id, specScopes
	if id == "" {
		p.ResourceID = rsid
	}
	if specScopes == nil {
		p.Scopes = scopes
	}
	return p, nil
}

func stringArray(v gjson.Result) ([]string, error) {
	list := []string{}
	ok := true
	v.ForEach(func(_, item gjson.Result) bool {
		ok = item.Type == gjson.String
		list = append(list, item.Str)
		return ok
	})
	if !ok {
		return nil, ErrWrongType
	}
	return list, nil
}
