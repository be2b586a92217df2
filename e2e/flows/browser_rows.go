package flows

import (
	"context"
	"net/http"
	"net/url"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/umagate/umagate/e2e/browser"
)

// browserRows are the flows of a person in front of a browser, with clients that
// others use: golang.org/x/oauth2 and coreos/go-oidc.
func browserRows() []row {
	return []row{
		{name: "authorization code with PKCE, nonce and state", run: codeFlow},
		{name: "a code with the wrong verifier", run: func(t *testing.T, w *world) {
			t.Helper()
			c, ctx := w.oauth2(t)
			verifier := oauth2.GenerateVerifier()
			back := newBrowser(t, w).Visit(t, c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), w.RedirectURI, "alice", w.Users["alice"])
			_, err := c.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(oauth2.GenerateVerifier()))
			var refused *oauth2.RetrieveError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, "invalid_grant", refused.ErrorCode)
		}},
		{name: "a code is good for one use", run: func(t *testing.T, w *world) {
			t.Helper()
			c, ctx := w.oauth2(t)
			verifier := oauth2.GenerateVerifier()
			back := newBrowser(t, w).Visit(t, c.AuthCodeURL("s", oauth2.S256ChallengeOption(verifier)), w.RedirectURI, "alice", w.Users["alice"])
			_, err := c.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
			require.NoError(t, err)
			_, err = c.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
			require.Error(t, err)
		}},
		{name: "a second visit needs no password, prompt=login does", run: func(t *testing.T, w *world) {
			t.Helper()
			c, _ := w.oauth2(t)
			b := newBrowser(t, w)
			visit := func(more ...oauth2.AuthCodeOption) *url.URL {
				more = append(more, oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
				return b.Visit(t, c.AuthCodeURL("s", more...), w.RedirectURI, "alice", w.Users["alice"])
			}
			visit()
			before := b.Forms
			require.Positive(t, before)
			require.NotEmpty(t, visit().Query().Get("code"))
			require.Equal(t, before, b.Forms)
			require.NotEmpty(t, visit(oauth2.SetAuthURLParam("prompt", "login")).Query().Get("code"))
			require.Greater(t, b.Forms, before)
		}},
		{name: "prompt=none without a session", run: func(t *testing.T, w *world) {
			t.Helper()
			c, _ := w.oauth2(t)
			back := newBrowser(t, w).Visit(t,
				c.AuthCodeURL("s", oauth2.S256ChallengeOption(oauth2.GenerateVerifier()), oauth2.SetAuthURLParam("prompt", "none")),
				w.RedirectURI, "", "")
			require.Equal(t, "login_required", back.Query().Get("error"))
			require.Equal(t, "s", back.Query().Get("state"))
		}},
		{name: "an address that is not registered is not gone to", run: func(t *testing.T, w *world) {
			t.Helper()
			c, _ := w.oauth2(t)
			c.RedirectURL = "https://another.example/callback"
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.AuthCodeURL("s"), nil)
			require.NoError(t, err)
			page, next := newBrowser(t, w).Step(t, req)
			require.Empty(t, next)
			require.Equal(t, http.StatusBadRequest, page.Status)
		}},
	}
}

// oauth2 is the requesting party's client as x/oauth2 has it.
func (w *world) oauth2(t *testing.T) (*oauth2.Config, context.Context) {
	t.Helper()
	ctx := oidc.ClientContext(t.Context(), w.client())
	provider, err := oidc.NewProvider(ctx, w.URL)
	require.NoError(t, err)
	return &oauth2.Config{
		ClientID: w.PartyClient, RedirectURL: w.RedirectURI, Endpoint: provider.Endpoint(), Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}, ctx
}

func codeFlow(t *testing.T, w *world) {
	t.Helper()
	c, ctx := w.oauth2(t)
	verifier := oauth2.GenerateVerifier()
	back := newBrowser(t, w).Visit(t,
		c.AuthCodeURL("the state", oauth2.S256ChallengeOption(verifier), oidc.Nonce("the nonce")), w.RedirectURI, "alice", w.Users["alice"])
	require.Equal(t, "the state", back.Query().Get("state"))

	tokens, err := c.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	require.NoError(t, err)
	provider, err := oidc.NewProvider(ctx, w.URL)
	require.NoError(t, err)
	raw, ok := tokens.Extra("id_token").(string)
	require.True(t, ok)
	id, err := provider.Verifier(&oidc.Config{ClientID: w.PartyClient}).Verify(ctx, raw)
	require.NoError(t, err)
	require.Equal(t, "the nonce", id.Nonce)
	require.NoError(t, id.VerifyAccessToken(tokens.AccessToken), "at_hash")

	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	require.NoError(t, err)
	require.Equal(t, id.Subject, info.Subject)
	var claims struct {
		Username string `json:"preferred_username"`
	}
	require.NoError(t, info.Claims(&claims))
	require.Equal(t, "alice", claims.Username)

	// A token source refreshes by itself once the token is over.
	tokens.Expiry = tokens.Expiry.AddDate(-1, 0, 0)
	fresh, err := c.TokenSource(ctx, tokens).Token()
	require.NoError(t, err)
	require.NotEqual(t, tokens.AccessToken, fresh.AccessToken)
}

func newBrowser(t *testing.T, w *world) *browser.Browser {
	t.Helper()
	return browser.New(t, w.client().Transport)
}
