package uma

import (
	"encoding/base64"
	"errors"
	"strings"
)

// AddJWTClaims completes an active token with the payload of the token itself,
// whose signature the authorization server has verified when it said that it is
// active. What the answer said stands: a server may well say less of a token than
// is in it (RFC 7662 section 2.2). Permissions are never read from the payload:
// they are what the server granted when it issued the token, and an answer
// without them says that it stands by none.
//
// The claims that are named are those that the answer was read with. The error is
// ErrNotJWT for a token that has no payload to read.
func AddJWTClaims(t *Token, jwt string, named ...ClaimPath) error {
	own, err := ParseJWT(jwt, named...)
	if err != nil {
		return err
	}
	own.Own, own.Claims = own.Claims, nil
	t.complete(own)
	return nil
}

// With is t completed with what the server says of the same token when it is asked
// in another way. Permissions are those of t.
func (t *Token) With(more *Token) *Token {
	both := *t
	both.complete(more)
	return &both
}

func (t *Token) complete(own *Token) {
	complete(&t.Subject, own.Subject)
	complete(&t.Issuer, own.Issuer)
	complete(&t.ClientID, own.ClientID)
	complete(&t.JWTID, own.JWTID)
	complete(&t.SessionID, own.SessionID)
	complete(&t.ACR, own.ACR)
	if t.Audience == nil {
		t.Audience = own.Audience
	}
	if t.Scopes == nil {
		t.Scopes = own.Scopes
	}
	if own.Expires != 0 && (t.Expires == 0 || own.Expires < t.Expires) {
		t.Expires = own.Expires
	}
	t.NotBefore = max(t.NotBefore, own.NotBefore)
	if t.IssuedAt == 0 {
		t.IssuedAt = own.IssuedAt
	}
	if t.AuthTime == 0 {
		t.AuthTime = own.AuthTime
	}
	t.Claims, t.Own = completeClaims(t.Claims, own.Claims), completeClaims(t.Own, own.Own)
	t.Bound = t.Bound || own.Bound
	t.NotAccess = t.NotAccess || own.NotAccess
	t.pack()
}

// ParseJWT reads the payload of a JWT, and nothing else of it: whoever calls it
// knows from the authorization server that the token is active. Active is not set.
func ParseJWT(jwt string, named ...ClaimPath) (*Token, error) {
	_, rest, ok := strings.Cut(jwt, ".")
	if !ok {
		return nil, ErrNotJWT
	}
	payload, _, ok := strings.Cut(rest, ".")
	if !ok {
		return nil, ErrNotJWT
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return nil, ErrNotJWT
	}
	own := &Token{}
	r := reader{token: own, payload: true}
	r.ask(named)
	switch err := r.object(raw, r.claim); {
	case errors.Is(err, ErrNotJSON): // an encrypted token, or dots that mean nothing
		return nil, ErrNotJWT
	case err != nil:
		return nil, err
	}
	return own, nil
}

func complete(to *string, from string) {
	if *to == "" {
		*to = from
	}
}
