package uma

import (
	"math"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// reader reads the members of one object into a token.
type reader struct {
	token      *Token
	seen       uint32
	seenActive bool
	clientID   bool // client_id was there, so azp does not count
	payload    bool // the object is a token's payload, not an answer
	scopeCount int
	named      []ClaimPath // see ask
}

// object calls member for each member of a JSON object.
func (r *reader) object(body []byte, member func(name string, v gjson.Result) error) error {
	if !strictjson.Valid(body) {
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
	r.keep(name, v)
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
		return r.expires(9, v, &t.Expires)
	case "nbf":
		return r.notBefore(10, v, &t.NotBefore)
	case "iat":
		return r.issued(11, v, &t.IssuedAt)
	case "permissions", "permission": // WSO2 Identity Server spells it either way, by version
		if r.payload {
			return nil
		}
		if err := r.once(12); err != nil {
			return err
		}
		return r.permissions(v)
	case "authorization": // Keycloak, when it is not asked with its token_type_hint
		if r.payload {
			return nil
		}
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
		t.Bound = t.Bound || v.Type != gjson.Null
		return r.once(15)
	case "acr":
		return r.text(19, v, &t.ACR)
	case "auth_time":
		return r.issued(20, v, &t.AuthTime)
	case "token_type":
		return r.kind(16, v)
	case "typ":
		return r.kind(17, v)
	case "token_use":
		return r.kind(18, v)
	}
	return nil
}

// kind reads a member that says what sort of token it is. A sort that is not
// known is no access token.
func (r *reader) kind(bit uint, v gjson.Result) error {
	var kind string
	if err := r.text(bit, v, &kind); err != nil {
		return err
	}
	switch strings.ToLower(kind) {
	case "", "bearer", "access_token", "access", "at+jwt", "application/at+jwt", "jwt",
		"rpt", "requesting_party_token", "urn:ietf:params:oauth:token-type:access_token":
	case "dpop", "pop", "mac":
		r.token.Bound = true
	default:
		r.token.NotAccess = true
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
		list, err := r.stringArray(v)
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
	if err := r.once(8); err != nil {
		return err
	}
	list := []string{}
	for s := range strings.SplitSeq(v.Str, " ") { // nothing else separates (RFC 6749 section 3.3)
		if s != "" {
			list = append(list, s)
		}
		if r.scopeCount++; r.scopeCount > MaxScopes {
			return ErrManyRights
		}
	}
	r.token.Scopes = list
	return nil
}

// issued reads when a token was issued. A time that no clock shows is not known:
// what is revoked up to a time counts such a token in.
func (r *reader) issued(bit uint, v gjson.Result, to *int64) error {
	n, err := r.number(bit, v)
	if n > 0 && n <= lastSecond {
		*to = int64(n)
	}
	return err
}

// expires reads a time that ends something. One in 1970 is there, and not absent;
// -1, and what no clock shows (2^63-1), is how servers write that there is no end.
func (r *reader) expires(bit uint, v gjson.Result, to *int64) error {
	n, err := r.number(bit, v)
	if err == nil && v.Type != gjson.Null && n != -1 && n <= lastSecond {
		if *to = 1; n > 1 {
			*to = int64(n)
		}
	}
	return err
}

// notBefore reads a time that begins something: not before its fraction.
func (r *reader) notBefore(bit uint, v gjson.Result, to *int64) error {
	n, err := r.number(bit, v)
	if n > 0 {
		if *to = lastSecond + 1; n <= lastSecond {
			*to = int64(math.Ceil(n))
		}
	}
	return err
}

// number reads a NumericDate, in milliseconds where that is no time in seconds.
func (r *reader) number(bit uint, v gjson.Result) (float64, error) {
	if err := r.once(bit); err != nil {
		return 0, err
	}
	n := v.Num
	switch {
	case v.Type == gjson.Null:
	case v.Type != gjson.Number || math.IsNaN(n):
		return 0, ErrWrongType
	case n >= firstMilli && n <= lastSecond*1000:
		n /= 1000
	}
	return n, nil
}

func (r *reader) permissions(v gjson.Result) error {
	if v.Type == gjson.Null {
		return nil
	}
	if !v.IsArray() {
		return ErrWrongType
	}
	list := []Permission{} // not nil: the answer had permissions, maybe none
	n := 0
	v.ForEach(func(_, item gjson.Result) bool {
		if p, err := r.permission(item); err == nil {
			list = append(list, p)
		}
		n++
		return n <= MaxPermissions && r.scopeCount <= MaxScopes
	})
	if n > MaxPermissions || r.scopeCount > MaxScopes {
		return ErrManyRights
	}
	r.token.Permissions, r.token.Unread = list, n-len(list)
	return nil
}

// permission reads a permission in the spec's spelling (resource_id,
// resource_scopes) or in Keycloak's (rsid, scopes). Where both are there they
// must agree. One that cannot be read grants nothing, and takes nothing from the
// others.
func (r *reader) permission(v gjson.Result) (Permission, error) {
	var p Permission
	one := reader{scopeCount: r.scopeCount}
	defer func() { r.scopeCount = one.scopeCount }()
	var id, rsid string
	var specScopes, scopes []string
	if !v.IsObject() {
		return p, ErrWrongType
	}
	err := eachMember(v, func(name string, v gjson.Result) error {
		switch name {
		case "resource_id":
			return one.text(0, v, &id)
		case "rsid":
			return one.text(1, v, &rsid)
		case "resource_scopes":
			return one.list(2, v, &specScopes)
		case "scopes":
			return one.list(3, v, &scopes)
		case "exp":
			return one.expires(4, v, &p.Expires)
		case "nbf":
			return one.notBefore(5, v, &p.NotBefore)
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
	if strings.IndexByte(p.ResourceID, 0) >= 0 {
		return p, ErrWrongType // who asks tells by it what a permission was granted for
	}
	return p, nil
}

func (r *reader) stringArray(v gjson.Result) ([]string, error) {
	list := []string{}
	var err error
	v.ForEach(func(_, item gjson.Result) bool {
		r.scopeCount++
		switch {
		case item.Type != gjson.String:
			err = ErrWrongType
		case r.scopeCount > MaxScopes:
			err = ErrManyRights
		}
		list = append(list, item.Str)
		return err == nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}
