package rpt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/umagate/umagate/controlplane/as"
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

// Given is a token that the caller has already.
type Given struct{ Access secret.Text }

// Token implements [Party].
func (g Given) Token(context.Context, *as.Server, func(Step)) (PartyToken, error) {
	return PartyToken{Access: g.Access}, nil
}

// Nobody tells the AS nothing about the requesting party, so that it asks.
type Nobody struct{}

// Token implements [Party].
func (Nobody) Token(context.Context, *as.Server, func(Step)) (PartyToken, error) {
	return PartyToken{}, nil
}

// Credentials are a client's, for the grants of this file.
type Credentials struct {
	Transport http.RoundTripper
	ClientID  string
	Secret    secret.Text
	// InBody sends the secret in the body (client_secret_post).
	InBody bool
	Scopes []string
}

func (c Credentials) config(server *as.Server, redirect string) *oauth2.Config {
	m := server.Metadata()
	return &oauth2.Config{
		ClientID: c.ClientID, ClientSecret: c.Secret.Reveal(), Scopes: c.Scopes, RedirectURL: redirect,
		Endpoint: oauth2.Endpoint{AuthURL: m.AuthorizationEndpoint, TokenURL: m.TokenEndpoint, AuthStyle: c.style()},
	}
}

// style is how the secret goes; a public client names itself in the body.
func (c Credentials) style() oauth2.AuthStyle {
	if c.InBody || c.Secret.IsZero() {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

func (c Credentials) context(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, noRedirects(c.Transport))
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
	got, err := p.config(server, "").PasswordCredentialsToken(p.context(ctx), p.User, password.Reveal())
	return report(server, observe, "get the requesting party's token, by password",
		map[string]string{"grant_type": "password", "username": p.User, "password": "[redacted]", "client_id": p.ClientID}, got, err)
}

// Machine is a client that is its own requesting party (RFC 6749 section 4.4).
type Machine struct{ Credentials }

// Token implements [Party].
func (m Machine) Token(ctx context.Context, server *as.Server, observe func(Step)) (PartyToken, error) {
	config := clientcredentials.Config{
		ClientID: m.ClientID, ClientSecret: m.Secret.Reveal(), TokenURL: server.Metadata().TokenEndpoint,
		Scopes: m.Scopes, AuthStyle: m.style(),
	}
	got, err := config.Token(m.context(ctx))
	return report(server, observe, "get the client's own token",
		map[string]string{"grant_type": "client_credentials", "client_id": m.ClientID}, got, err)
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
	if server.Metadata().AuthorizationEndpoint == "" {
		return PartyToken{}, fmt.Errorf("%w: authorization_endpoint", as.ErrMissingEndpoint)
	}
	state, verifier := randomText(), oauth2.GenerateVerifier()
	back, err := loopback.Listen(ctx, b.Loopback)
	if err != nil {
		return PartyToken{}, err
	}
	defer back.Close() //nolint:contextcheck // it ends after the caller's context
	config := b.config(server, back.Address())
	if err := b.Show(ctx, config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))); err != nil {
		return PartyToken{}, err
	}
	query, err := back.Wait(ctx, state)
	if err != nil {
		return PartyToken{}, err
	}
	if query.Get("code") == "" {
		return PartyToken{}, fmt.Errorf("%w: the login ended with %s", ErrDenied, clip(query.Get("error")+" "+query.Get("error_description")))
	}
	got, err := config.Exchange(b.context(ctx), query.Get("code"), oauth2.VerifierOption(verifier))
	return report(server, observe, "get the requesting party's token, by authorization code",
		map[string]string{"grant_type": "authorization_code", "client_id": b.ClientID, "redirect_uri": back.Address()}, got, err)
}

func report(server *as.Server, observe func(Step), title string, sent map[string]string, got *oauth2.Token, err error) (PartyToken, error) {
	step := Step{Title: title, Method: http.MethodPost, URL: server.Metadata().TokenEndpoint, Sent: sent, Status: http.StatusOK, Note: "an access token"}
	var refused *oauth2.RetrieveError
	switch {
	case errors.As(err, &refused):
		if refused.Response != nil {
			step.Status = refused.Response.StatusCode
		}
		step.Note = clip(refused.ErrorCode + " " + refused.ErrorDescription)
		err = fmt.Errorf("%w: %d %s", ErrDenied, step.Status, step.Note)
	case err != nil:
		step.Status, step.Note = 0, err.Error()
	}
	observe(step)
	if err != nil {
		return PartyToken{}, err
	}
	party := PartyToken{Access: secret.New(got.AccessToken)}
	if id, ok := got.Extra("id_token").(string); ok {
		party.ID = secret.New(id)
	}
	return party, nil
}
