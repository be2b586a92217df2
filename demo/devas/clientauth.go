package devas

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func invalidClient(description string) *protocolError {
	e := newError(http.StatusUnauthorized, "invalid_client", description)
	e.header = http.Header{"Www-Authenticate": {`Basic realm="devas"`}}
	return e
}

// authenticateClient returns which client a request to the token, introspection or
// revocation endpoint comes from (RFC 6749 section 2.3, RFC 7521 section 4.2).
// The form has been parsed.
func (s *Server) authenticateClient(r *http.Request) (*Client, error) {
	form := r.PostForm
	id, secret, basic := r.BasicAuth()
	assertion := form.Get("client_assertion")
	ways := 0
	for _, used := range []bool{basic, form.Get("client_secret") != "", assertion != ""} {
		if used {
			ways++
		}
	}
	if ways > 1 {
		return nil, invalidRequest("more than one way of client authentication")
	}
	if basic {
		// RFC 6749 section 2.3.1: both are form-encoded before they are joined.
		var errID, errSecret error
		id, errID = url.QueryUnescape(id)
		secret, errSecret = url.QueryUnescape(secret)
		if err := errors.Join(errID, errSecret); err != nil {
			return nil, invalidClient("the Basic credentials are not form-encoded: " + err.Error())
		}
		return s.clientBySecret(AuthBasic, id, secret)
	}
	if assertion != "" {
		return s.clientByAssertion(r.Context(), form)
	}
	id = form.Get("client_id")
	if form.Get("client_secret") != "" {
		return s.clientBySecret(AuthPost, id, form.Get("client_secret"))
	}
	client, ok := s.state.client(id)
	if ok && client.TokenEndpointAuthMethod == AuthSelfSignedTLS {
		return s.clientByCertificate(r, client)
	}
	if !ok || client.TokenEndpointAuthMethod != AuthNone {
		return nil, invalidClient("client authentication is needed")
	}
	return client, nil
}

// clientByCertificate looks for the connection's certificate in the client's JWKS
// (RFC 8705 section 2.2).
func (s *Server) clientByCertificate(r *http.Request, client *Client) (*Client, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, invalidClient("the connection has no certificate")
	}
	set := client.JWKS
	if set == nil {
		var err error
		if set, err = s.fetchJWKS(r.Context(), client.JWKSURI); err != nil {
			return nil, invalidClient(err.Error())
		}
	}
	for _, key := range set.Keys {
		if len(key.Certificates) > 0 && key.Certificates[0].Equal(r.TLS.PeerCertificates[0]) {
			return client, nil
		}
	}
	return nil, invalidClient("the client's JWKS has another certificate")
}

func (s *Server) clientBySecret(method, id, secret string) (*Client, error) {
	client, ok := s.state.client(id)
	if !ok {
		return nil, invalidClient("the client is not known")
	}
	if client.TokenEndpointAuthMethod != method {
		return nil, invalidClient("the client has registered " + client.TokenEndpointAuthMethod)
	}
	if !client.Secret.matches(secret) {
		if s.options.Dialect.AccessDenied {
			return nil, newError(http.StatusUnauthorized, "unauthorized_client", "Invalid client or Invalid client credentials")
		}
		return nil, invalidClient("the client secret is wrong")
	}
	if !client.secretExpires.IsZero() && !s.now().Before(client.secretExpires) {
		return nil, invalidClient("the client secret has expired")
	}
	return client, nil
}

func hmacAlgs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
}

func keyAlgs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	}
}

// clientByAssertion verifies a client assertion (RFC 7523 section 3).
func (s *Server) clientByAssertion(ctx context.Context, form url.Values) (*Client, error) {
	if form.Get("client_assertion_type") != assertionType {
		return nil, invalidRequest("client_assertion_type must be " + assertionType)
	}
	parsed, err := jwt.ParseSigned(form.Get("client_assertion"), slices.Concat(hmacAlgs(), keyAlgs()))
	if err != nil {
		return nil, invalidClient("the client assertion cannot be parsed: " + err.Error())
	}
	var unverified jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&unverified); err != nil {
		return nil, invalidClient("the client assertion has no claims: " + err.Error())
	}
	client, ok := s.state.client(unverified.Subject)
	if !ok {
		return nil, invalidClient("the client is not known")
	}
	if id := form.Get("client_id"); id != "" && id != client.ID {
		return nil, invalidClient("client_id and the assertion's sub differ")
	}
	key, err := s.assertionKey(ctx, client, parsed.Headers[0])
	if err != nil {
		return nil, invalidClient(err.Error())
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return nil, invalidClient("the client assertion does not verify: " + err.Error())
	}
	if err := s.checkAssertion(client, claims); err != nil {
		return nil, invalidClient(err.Error())
	}
	return client, nil
}

// assertionKey picks what verifies an assertion of the client with that header.
func (s *Server) assertionKey(ctx context.Context, client *Client, header jose.Header) (any, error) {
	alg := jose.SignatureAlgorithm(header.Algorithm)
	if client.TokenEndpointAuthAlg != "" && client.TokenEndpointAuthAlg != header.Algorithm {
		return nil, fmt.Errorf("the client has registered token_endpoint_auth_signing_alg %s", client.TokenEndpointAuthAlg)
	}
	switch {
	case client.TokenEndpointAuthMethod == AuthSecretJWT && slices.Contains(hmacAlgs(), alg):
		return []byte(client.Secret.Reveal()), nil
	case client.TokenEndpointAuthMethod == AuthPrivateKeyJWT && slices.Contains(keyAlgs(), alg):
		set := client.JWKS
		if set == nil {
			fetched, err := s.fetchJWKS(ctx, client.JWKSURI)
			if err != nil {
				return nil, err
			}
			set = fetched
		}
		if header.KeyID == "" && len(set.Keys) == 1 {
			return set.Keys[0], nil
		}
		if keys := set.Key(header.KeyID); len(keys) > 0 {
			return keys[0], nil
		}
		return nil, fmt.Errorf("the client's JWKS has no key %q", header.KeyID)
	default:
		return nil, fmt.Errorf("the client has registered %s, which does not go with %s", client.TokenEndpointAuthMethod, alg)
	}
}

func (s *Server) fetchJWKS(ctx context.Context, uri string) (*jose.JSONWebKeySet, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, uri, nil)
	if err != nil {
		return nil, fmt.Errorf("fetch jwks_uri: %w", err)
	}
	// The address is the client's own metadata, as RFC 7591 has it; the server is
	// one for development on loopback.
	resp, err := s.options.HTTPClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("fetch jwks_uri: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("fetch jwks_uri: status %d", resp.StatusCode)
	}
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&set); err != nil {
		return nil, fmt.Errorf("decode jwks_uri: %w", err)
	}
	return &set, nil
}

// checkAssertion checks the claims of a verified assertion and burns its jti.
func (s *Server) checkAssertion(client *Client, claims jwt.Claims) error {
	now := s.now()
	issuer := s.Issuer()
	accepted := []string{issuer, issuer + s.options.Dialect.Paths.Token, issuer + s.options.Dialect.Paths.Introspection}
	switch {
	case claims.Issuer != client.ID:
		return errors.New("the assertion's iss is not the client_id")
	case s.options.Dialect.SingleAudience && len(claims.Audience) != 1:
		return errors.New("the assertion's aud must be one string")
	case !slices.ContainsFunc(claims.Audience, func(a string) bool { return slices.Contains(accepted, strings.TrimSuffix(a, "/")) }):
		return errors.New("the assertion's aud is neither the issuer nor the token endpoint")
	case claims.Expiry == nil || !now.Before(claims.Expiry.Time()):
		return errors.New("the assertion has expired or has no exp")
	case claims.Expiry.Time().After(now.Add(s.options.Lifetimes.AssertionMaxAge)):
		return errors.New("the assertion's exp is too far ahead")
	case claims.NotBefore != nil && now.Add(time.Minute).Before(claims.NotBefore.Time()):
		return errors.New("the assertion is not valid yet")
	case claims.ID == "":
		return errors.New("the assertion has no jti")
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	key := client.ID + "\x00" + claims.ID
	if until, seen := s.state.jtis[key]; seen && now.Before(until) {
		return errors.New("the assertion's jti was used before")
	}
	s.state.jtis[key] = claims.Expiry.Time()
	return nil
}
