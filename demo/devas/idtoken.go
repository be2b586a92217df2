package devas

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// idTokenClaims is the payload of an ID token (OpenID Connect Core section 2).
type idTokenClaims struct {
	Issuer     string `json:"iss"`
	Subject    string `json:"sub"`
	Audience   string `json:"aud"`
	Authorized string `json:"azp,omitempty"`
	Expires    int64  `json:"exp"`
	Issued     int64  `json:"iat"`
	AuthTime   int64  `json:"auth_time,omitempty"`
	Nonce      string `json:"nonce,omitempty"`
	ACR        string `json:"acr,omitempty"`
	AtHash     string `json:"at_hash,omitempty"`
	Session    string `json:"sid,omitempty"`
	Username   string `json:"preferred_username,omitempty"`
	Name       string `json:"name,omitempty"`
	Email      string `json:"email,omitempty"`
}

func (s *Server) idToken(o issueOrder, accessToken string) (string, error) {
	now := s.now()
	claims := idTokenClaims{
		Issuer: s.Issuer(), Subject: o.user.ID, Audience: o.client.ID, Authorized: o.client.ID,
		Expires: now.Add(s.options.Lifetimes.IDToken).Unix(), Issued: now.Unix(),
		Nonce: o.nonce, ACR: o.acr, AtHash: leftHalf(accessToken), Session: o.session,
	}
	if !o.authTime.IsZero() {
		claims.AuthTime = o.authTime.Unix()
	}
	for _, scope := range o.scopes {
		switch scope {
		case "profile":
			claims.Username, claims.Name = o.user.Name, o.user.FullName
		case "email":
			claims.Email = o.user.Email
		}
	}
	alg := o.client.IDTokenAlg
	if alg == "" {
		alg = s.options.SigningAlg
	}
	return s.keys.sign(alg, "JWT", claims)
}

// leftHalf is at_hash for the algorithms with SHA-256 (OpenID Connect Core
// section 3.1.3.6).
func leftHalf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// errNotOurs marks an ID token that this server did not issue or that is over.
var errNotOurs = errors.New("not a valid ID token of this server")

// userOfIDToken returns the person an ID token of this server is about. Expired
// ones do where the caller only wants a hint.
func (s *Server) userOfIDToken(text string, expiredToo bool) (*User, idTokenClaims, error) {
	var claims idTokenClaims
	if err := s.keys.verify(text, &claims); err != nil {
		return nil, claims, fmt.Errorf("%w: %w", errNotOurs, err)
	}
	if claims.Issuer != s.Issuer() {
		return nil, claims, fmt.Errorf("%w: iss is %q", errNotOurs, claims.Issuer)
	}
	if _, ok := s.state.client(claims.Audience); !ok {
		return nil, claims, fmt.Errorf("%w: aud is no client", errNotOurs)
	}
	if !expiredToo && s.now().Unix() >= claims.Expires {
		return nil, claims, fmt.Errorf("%w: it has expired", errNotOurs)
	}
	user, ok := s.state.userBySubject(claims.Subject)
	if !ok {
		return nil, claims, fmt.Errorf("%w: sub is nobody", errNotOurs)
	}
	return user, claims, nil
}
