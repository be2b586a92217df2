package rpt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/secret"
)

// PartyToken is what the requesting party has of the AS.
type PartyToken struct {
	Access secret.Text
	// ID is an OpenID Connect ID token, preferred as a claim token; may be zero.
	ID secret.Text
}

// claim pushes the party's token.
func (p PartyToken) claim(form url.Values) {
	switch {
	case !p.ID.IsZero():
		form.Set("claim_token", p.ID.Reveal())
		form.Set("claim_token_format", formatIDToken)
	case !p.Access.IsZero():
		form.Set("claim_token", p.Access.Reveal())
		form.Set("claim_token_format", formatAccessToken)
	}
}

// Party gets the requesting party's token.
type Party interface {
	Token(ctx context.Context, server *as.Server, observe func(Step)) (PartyToken, error)
}

// StaticToken is a token that the caller has already.
type StaticToken struct{ Access secret.Text }

// Token implements [Party].
func (t StaticToken) Token(context.Context, *as.Server, func(Step)) (PartyToken, error) {
	return PartyToken{Access: t.Access}, nil
}

// Anonymous tells the AS nothing about the requesting party, so that it asks.
type Anonymous struct{}

// Token implements [Party].
func (Anonymous) Token(context.Context, *as.Server, func(Step)) (PartyToken, error) {
	return PartyToken{}, nil
}

// Credentials are a client's, for the grants of this file.
type Credentials struct {
	// Client is how the client authenticates; [clientauth.NewPublic] for one that has
	// nothing to prove itself with.
	Client clientauth.Auth
	Scopes []string
}

// Password is a user with a password (RFC 6749 section 4.3).
type Password struct {
	Credentials

	User string
	// Ask gives the password once the AS that gets it is known.
	Ask func(ctx context.Context, issuer string) (secret.Text, error)
}

// Token implements [Party].
func (p Password) Token(ctx context.Context, server *as.Server, observe func(Step)) (PartyToken, error) {
	password, err := p.Ask(ctx, server.Metadata().Issuer)
	if err != nil {
		return PartyToken{}, err
	}
	return p.get(ctx, server, observe, "get the requesting party's token, by password", url.Values{
		"grant_type": {as.GrantPassword}, "username": {p.User}, "password": {password.Reveal()},
	})
}

// ClientCredentials is a client that is its own requesting party (RFC 6749 section 4.4).
type ClientCredentials struct{ Credentials }

// Token implements [Party].
func (c ClientCredentials) Token(ctx context.Context, server *as.Server, observe func(Step)) (PartyToken, error) {
	return c.get(ctx, server, observe, "get the client's own token", url.Values{"grant_type": {as.GrantClientCredentials}})
}

// Browser is a person who logs in at the AS (RFC 6749 section 4.1, with PKCE as
// RFC 8252 asks for; the redirect comes to loopback).
type Browser struct {
	Credentials

	// Loopback is HOST:PORT of the redirect; a free port of 127.0.0.1 when empty.
	Loopback string
	// Show shows the address to the person.
	Show func(ctx context.Context, address string) error
}

// Token implements [Party].
func (b Browser) Token(ctx context.Context, server *as.Server, observe func(Step)) (PartyToken, error) {
	endpoint := server.Metadata().AuthorizationEndpoint
	if endpoint == "" {
		return PartyToken{}, fmt.Errorf("%w: authorization_endpoint", as.ErrMissingEndpoint)
	}
	state, verifier := rand.Text(), oauth2.GenerateVerifier()
	back, err := loopback.Listen(ctx, b.Loopback)
	if err != nil {
		return PartyToken{}, err
	}
	defer back.Close() //nolint:contextcheck // it ends after the caller's context
	// The library makes the address alone, and is told of no secret.
	config := oauth2.Config{
		ClientID: b.Client.ClientID(), RedirectURL: back.Address(), Scopes: b.Scopes, Endpoint: oauth2.Endpoint{AuthURL: endpoint},
	}
	if err := b.Show(ctx, config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))); err != nil {
		return PartyToken{}, err
	}
	query, err := back.Wait(ctx, state)
	if err != nil {
		return PartyToken{}, err
	}
	if query.Get("code") == "" {
		return PartyToken{}, fmt.Errorf("%w: the login ended with %s", ErrDenied, explained(query.Get("error"), query.Get("error_description")))
	}
	b.Scopes = nil // those of the authorization request
	return b.get(ctx, server, observe, "get the requesting party's token, by authorization code", url.Values{
		"grant_type": {as.GrantAuthorizationCode}, "code": {query.Get("code")}, "redirect_uri": {back.Address()}, "code_verifier": {verifier},
	})
}

// get asks for the party's token.
func (c Credentials) get(ctx context.Context, server *as.Server, observe func(Step), title string, form url.Values) (PartyToken, error) {
	if len(c.Scopes) > 0 {
		form.Set("scope", strings.Join(c.Scopes, " "))
	}
	got, err := requestToken(ctx, server, observe, title, "an access token", c.Client, form)
	if refused, ok := errors.AsType[*as.Error](err); ok && refused.Status > 0 {
		err = denied(refused)
	}
	return PartyToken{Access: got.Value, ID: got.IDToken}, err
}

// requestToken asks the token endpoint, and shows that without what is secret of it.
func requestToken(
	ctx context.Context, server *as.Server, observe func(Step), title, note string, auth clientauth.Auth, form url.Values,
) (as.TokenResponse, error) {
	step := Step{Title: title, Method: http.MethodPost, URL: server.Metadata().TokenEndpoint, Sent: shownForm(form), Status: http.StatusOK, Note: note}
	if id := auth.ClientID(); id != "" {
		step.Sent["client_id"] = id
	}
	got, err := server.RequestToken(ctx, title, shownAuth{Auth: auth, sent: step.Sent}, form)
	if refused, ok := errors.AsType[*as.Error](err); ok && refused.Status > 0 {
		step.Status, step.Note = refused.Status, explained(refused.Code, refused.Description)
	} else if err != nil {
		step.Status, step.Note = 0, err.Error()
	}
	observe(step)
	return got, err
}

// shownAuth shows the proof that it makes, without what is secret of it.
type shownAuth struct {
	clientauth.Auth

	sent map[string]string
}

// Prove implements [clientauth.Auth].
func (a shownAuth) Prove(audience string) (clientauth.Proof, error) {
	proof, err := a.Auth.Prove(audience)
	maps.Copy(a.sent, shownForm(proof.Form))
	if !proof.Authorization.IsZero() {
		a.sent["Authorization"] = redact("Authorization", proof.Authorization.Reveal())
	}
	return proof, err
}
