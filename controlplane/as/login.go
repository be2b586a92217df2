package as

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

const (
	scopeOpenID = "openid"
	// scopeOffline asks for a refresh token that outlives the person's session
	// (OpenID Connect Core section 11).
	scopeOffline = "offline_access"
)

// Login is one authorization request of a person who owns the resources: the
// authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636), whose
// answer comes to a loopback address (RFC 8252). Not for concurrent use.
type Login struct {
	server   *Server
	auth     clientauth.Auth
	redirect string
	scopes   []string
	state    string
	nonce    string
	verifier string
}

// NewLogin begins one. redirect is the address that the answer comes to.
func (s *Server) NewLogin(auth clientauth.Auth, redirect string) (*Login, error) {
	if s.metadata.AuthorizationEndpoint == "" {
		return nil, &Error{Op: "log in", Kind: ErrMissingEndpoint, Description: "authorization_endpoint"}
	}
	return &Login{
		server: s, auth: auth, redirect: redirect, scopes: s.LoginScopes(),
		state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(),
	}, nil
}

// LoginScopes are asked for with a login: those of the PAT, and those that bring a
// lasting refresh token where the AS has them.
func (s *Server) LoginScopes() []string {
	scopes := slices.Clone(s.dialect.PATScopes)
	for _, extra := range []string{scopeOpenID, scopeOffline} {
		if (len(s.metadata.Scopes) == 0 || slices.Contains(s.metadata.Scopes, extra)) && !slices.Contains(scopes, extra) {
			scopes = append(scopes, extra)
		}
	}
	return scopes
}

// State is what the answer must carry.
func (l *Login) State() string { return l.state }

// Address is the page to show to the person.
func (l *Login) Address() string {
	config := oauth2.Config{
		ClientID: l.auth.ClientID(), RedirectURL: l.redirect, Scopes: l.scopes,
		Endpoint: oauth2.Endpoint{AuthURL: l.server.metadata.AuthorizationEndpoint},
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(l.verifier)}
	if slices.Contains(l.scopes, scopeOpenID) {
		options = append(options, oidc.Nonce(l.nonce))
	}
	if slices.Contains(l.scopes, scopeOffline) {
		// Else the AS may ignore offline_access.
		options = append(options, oauth2.SetAuthURLParam("prompt", "consent"))
	}
	return config.AuthCodeURL(l.state, options...)
}

// Person is who has logged in.
type Person struct {
	// Subject is the sub claim, Name one for people to read; empty where the AS gave
	// no ID token.
	Subject, Name string
}

// Finish takes the answer, the query of the redirect, and exchanges the code. An
// error of the AS in the answer is ErrInvalidGrant; an answer of another AS (RFC 9207)
// is ErrIssuer.
func (l *Login) Finish(ctx context.Context, answer url.Values) (TokenResponse, Person, error) {
	const op = "finish the login"
	refuse := func(kind error, description string) (TokenResponse, Person, error) {
		return TokenResponse{}, Person{}, &Error{Op: op, Kind: kind, Description: description}
	}
	if answer.Get("state") != l.state {
		return refuse(ErrMalformed, "the answer is to another request")
	}
	switch iss := answer.Get("iss"); {
	case iss == "" && l.server.metadata.IssParameter:
		return refuse(ErrIssuer, "the answer does not say whose it is, and this authorization server's do")
	case iss != "" && !slices.Contains(l.server.names, iss):
		return refuse(ErrIssuer, "the answer is of "+clip(printableURL(iss)))
	}
	if code := answer.Get("error"); code != "" {
		return TokenResponse{}, Person{}, &Error{
			Op: op, Kind: ErrInvalidGrant, Code: clip(code), Description: clip(answer.Get("error_description")),
		}
	}
	if answer.Get("code") == "" {
		return refuse(ErrMalformed, "the answer has no code")
	}
	got, err := l.server.RequestToken(ctx, op, l.auth, url.Values{
		"grant_type": {GrantAuthorizationCode}, "code": {answer.Get("code")}, "redirect_uri": {l.redirect}, "code_verifier": {l.verifier},
	})
	if err != nil {
		return TokenResponse{}, Person{}, err
	}
	if got.RefreshToken.IsZero() {
		return refuse(ErrMalformed, "the authorization server gave no refresh token: let the client have the grant refresh_token and the scope offline_access")
	}
	person, err := l.person(ctx, got.IDToken)
	if err != nil {
		return TokenResponse{}, Person{}, &Error{Op: op, Kind: ErrMalformed, Cause: err}
	}
	got.Scope = clip(got.Scope)
	return got, person, nil
}

// person verifies the ID token and reads who it is of (OpenID Connect Core section
// 3.1.3.7).
func (l *Login) person(ctx context.Context, token secret.Text) (Person, error) {
	if token.IsZero() || l.server.metadata.JWKSURI == "" {
		return Person{}, nil
	}
	ctx = oidc.ClientContext(ctx, l.server.caller.client)
	keys := oidc.NewRemoteKeySet(ctx, l.server.metadata.JWKSURI)
	verified, err := oidc.NewVerifier("", keys, &oidc.Config{
		SkipIssuerCheck: true, // one of several names is right, see below
		ClientID:        l.auth.ClientID(), Now: l.server.caller.now, SupportedSigningAlgs: signedIDTokens(),
	}).Verify(ctx, token.Reveal())
	if err != nil {
		return Person{}, fmt.Errorf("ID token: %w", err)
	}
	if !slices.Contains(l.server.names, verified.Issuer) {
		return Person{}, fmt.Errorf("ID token: it was issued by %s", clip(printableURL(verified.Issuer)))
	}
	if verified.Nonce != l.nonce {
		return Person{}, fmt.Errorf("ID token: it is of another login")
	}
	var claims struct {
		Username string `json:"preferred_username"`
		Name     string `json:"name"`
	}
	if err := verified.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("ID token: %w", err)
	}
	out := Person{Subject: clip(verified.Subject), Name: clip(claims.Username)}
	if out.Name == "" {
		out.Name = clip(claims.Name)
	}
	if out.Name == "" {
		out.Name = out.Subject
	}
	return out, nil
}

func signedIDTokens() []string {
	var out []string
	for _, algorithm := range clientauth.KeyAlgorithms() {
		out = append(out, string(algorithm))
	}
	return out
}

// Refresh gets a PAT with the refresh token of a login (RFC 6749 section 6). The
// answer's refresh token is the one to use next: where the AS gave none, the one
// that was sent. ErrInvalidGrant: the person has to log in again.
func (s *Server) Refresh(ctx context.Context, auth clientauth.Auth, refreshToken secret.Text) (TokenResponse, error) {
	got, err := s.RequestToken(ctx, "renew the PAT", auth, url.Values{
		"grant_type": {GrantRefreshToken}, "refresh_token": {refreshToken.Reveal()},
	})
	if err != nil {
		return TokenResponse{}, err
	}
	if got.RefreshToken.IsZero() {
		got.RefreshToken = refreshToken
	}
	got.Scope = clip(got.Scope)
	return got, nil
}
