package as

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/umagate/umagate/controlplane/secret"
)

const (
	// defaultLifetime is taken for a token whose lifetime the AS does not tell.
	defaultLifetime = 5 * time.Minute
	// maxLifetime is how long a token is believed at most: an AS that names the end
	// of time is asked again each day.
	maxLifetime = 24 * time.Hour
)

// Token is an access token.
type Token struct {
	Value secret.Text
	// IssuedAt and ExpiresAt are by the control plane's clock.
	IssuedAt, ExpiresAt time.Time
}

// Grant is the answer of the token endpoint (RFC 6749 section 5.1).
type Grant struct {
	Token

	// RefreshToken is zero where the AS gave none.
	RefreshToken secret.Text
	// IDToken is zero where the AS gave none; it is not verified.
	IDToken secret.Text
	// Scope is what was granted; empty where it is what was asked for.
	Scope string
}

// PAT gets a protection API access token by client credentials (UMA Federated
// Authorization section 1.3; RFC 6749 section 4.4), with the dialect's scopes.
func (s *Server) PAT(ctx context.Context, auth ClientAuth) (Token, error) {
	got, err := s.Grant(ctx, "get the PAT", auth, nil, s.dialect.PATScopes)
	return got.Token, err
}

// Grant asks the token endpoint, with the client's proof. params say which grant
// it is; client credentials when they do not. op is what it is for, in errors.
func (s *Server) Grant(ctx context.Context, op string, auth ClientAuth, params url.Values, scopes []string) (Grant, error) {
	address := s.metadata.TokenEndpoint
	if address == "" {
		return Grant{}, &Error{Op: op, Kind: ErrMissingEndpoint, Description: "token_endpoint"}
	}
	proof, err := auth.Prove(s.audience)
	if err != nil {
		return Grant{}, &Error{Op: op, Kind: ErrClientRefused, Cause: err}
	}
	in := call{op: op, method: http.MethodPost, url: address, proof: &proof, form: params}
	// The proof is in place already, so the library is told of no secret.
	source := clientcredentials.Config{
		TokenURL: address, Scopes: scopes,
		AuthStyle: oauth2.AuthStyleInParams, EndpointParams: mergeForm(params, proof.Form),
	}
	client := *s.caller.client
	seen := &observer{next: authorize{next: client.Transport, value: proof.Authorization}}
	client.Transport = seen
	start := s.caller.now()
	got, err := source.Token(context.WithValue(ctx, oauth2.HTTPClient, &client))
	if err != nil {
		return Grant{}, s.tokenError(in, seen, err)
	}
	if !strings.EqualFold(got.Type(), "Bearer") {
		return Grant{}, &Error{
			Op: op, Method: in.method, URL: printableURL(address), Kind: ErrMalformed,
			Description: "token_type is " + printable(got.Type()) + ", only Bearer can be sent",
		}
	}
	lifetime := defaultLifetime
	if !got.Expiry.IsZero() {
		lifetime = min(time.Until(got.Expiry).Round(time.Second), maxLifetime)
	}
	if lifetime <= 0 {
		return Grant{}, &Error{
			Op: op, Method: in.method, URL: printableURL(address), Kind: ErrMalformed,
			Description: "expires_in says that the token has expired already",
		}
	}
	out := Grant{
		Token:        Token{Value: secret.New(got.AccessToken), IssuedAt: start, ExpiresAt: start.Add(lifetime)},
		RefreshToken: secret.New(got.RefreshToken),
	}
	if id, ok := got.Extra("id_token").(string); ok {
		out.IDToken = secret.New(id)
	}
	if scope, ok := got.Extra("scope").(string); ok {
		out.Scope = printable(scope)
	}
	return out, nil
}

// tokenError makes this package's error of the library's.
func (s *Server) tokenError(in call, seen *observer, err error) error {
	if failed, ok := errors.AsType[*oauth2.RetrieveError](err); ok && failed.Response != nil {
		in.kinds = map[int]error{http.StatusUnauthorized: ErrClientRefused, http.StatusForbidden: ErrClientRefused}
		if slices.Contains([]string{"invalid_client", "unauthorized_client"}, failed.ErrorCode) {
			in.kinds[http.StatusBadRequest] = ErrClientRefused
		}
		if failed.ErrorCode == "invalid_grant" {
			in.kinds[http.StatusBadRequest] = ErrGrantEnded
		}
		e := s.caller.failure(in, answer{status: failed.Response.StatusCode, header: failed.Response.Header, body: failed.Body})
		if e.Status >= 200 && e.Status < 300 {
			e.Kind = ErrMalformed
			e.Description = "access_token is missing"
		}
		return e
	}
	e := &Error{Op: in.op, Method: in.method, URL: printableURL(in.url)}
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(seen.err, ErrTooLarge):
		e.Kind = ErrTooLarge
	case seen.header == nil, seen.err != nil:
		e.Kind, e.Cause = ErrUnavailable, in.scrubError(transportCause(err))
	default:
		// The library's words may quote the answer.
		e.Status, e.Kind, e.Description = seen.status, ErrNotJSON, describeMedia(seen.header)
		if isJSON(seen.header) {
			e.Kind, e.Description = ErrMalformed, "no usable access_token"
		}
	}
	return e
}

// authorize adds the client's Authorization header.
type authorize struct {
	next  http.RoundTripper
	value secret.Text
}

func (a authorize) RoundTrip(req *http.Request) (*http.Response, error) {
	if !a.value.IsZero() {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", a.value.Reveal())
	}
	return a.next.RoundTrip(req)
}
