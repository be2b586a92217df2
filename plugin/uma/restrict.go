package uma

import (
	"encoding/base64"
	"strings"

	"github.com/tidwall/gjson"
)

// Restrict takes from an active token what the token's own text takes from it, where
// it is a JWT: that it is bound to a key, is no access token, has expired or is not
// valid yet counts wherever it stands, also where the server's answer leaves it out.
// It gives nothing. What cannot be read takes nothing: the server has called the
// token active.
func Restrict(t *Token, jwt string) {
	header, payload, ok := jwtParts(jwt)
	if !ok {
		return
	}
	var r reader
	_ = r.object(header, t.restrictByHeader)
	_ = r.object(payload, t.restrictByClaim)
}

// jwtParts are the header and the payload of a JWT. Of an encrypted one, the second
// is no JSON.
func jwtParts(jwt string) (header, payload []byte, ok bool) {
	first, rest, found := strings.Cut(jwt, ".")
	second, _, signed := strings.Cut(rest, ".")
	header, err := base64.RawURLEncoding.DecodeString(first)
	if !found || !signed || err != nil {
		return nil, nil, false
	}
	payload, err = base64.RawURLEncoding.DecodeString(second)
	return header, payload, err == nil
}

// restrictByHeader reads the media type of the JWT (RFC 8725 section 3.11). One that
// has a name of its own is what it says; at+jwt (RFC 9068), also an AS's own kind of
// it, is an access token. Names without a "+" are free, and most say JWT.
func (t *Token) restrictByHeader(name string, v gjson.Result) error {
	if name != "typ" {
		return nil
	}
	switch kind := strings.TrimPrefix(strings.ToLower(v.Str), "application/"); {
	case kind == "at+jwt", strings.HasSuffix(kind, "-at+jwt"):
	case strings.Contains(kind, "+"), kind == "id", kind == "id_token", kind == "refresh", kind == "refresh_token", kind == "logout":
		t.NotAccess = true
	}
	return nil
}

// restrictByClaim reads one member of the payload. One that is there twice counts
// twice.
func (t *Token) restrictByClaim(name string, v gjson.Result) error {
	one := reader{token: t}
	var at int64
	switch name {
	case "cnf":
		t.Bound = t.Bound || v.Type != gjson.Null
	case "typ", "token_use", "token_type":
		if one.kind(0, v) != nil {
			t.NotAccess = true
		}
	case "exp":
		if one.expires(0, v, &at) == nil && at != 0 && (t.Expires == 0 || at < t.Expires) {
			t.Expires = at
		}
	case "nbf":
		if one.notBefore(0, v, &at) == nil {
			t.NotBefore = max(t.NotBefore, at)
		}
	}
	return nil
}
