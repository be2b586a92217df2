package mcp_test

import (
	"context"
	"net/url"
	"slices"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"github.com/stretchr/testify/require"
)

// goAgent is one with the Go SDK.
type goAgent struct {
	session *mcp.ClientSession
	listed  []string
	pages   []string
}

func connectGo(ctx context.Context, t *testing.T, w *world) agent {
	t.Helper()
	a := &goAgent{}
	config := &auth.AuthorizationCodeHandlerConfig{
		RedirectURL: callback,
		AuthorizationCodeFetcher: func(_ context.Context, args *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
			a.pages = append(a.pages, args.URL)
			back, err := url.Parse(w.logIn(t, args.URL))
			if err != nil {
				return nil, err
			}
			q := back.Query()
			return &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}, nil
		},
	}
	if id := w.clients["go"]; id != "" {
		config.PreregisteredClient = &oauthex.ClientCredentials{ClientID: id}
	} else {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "agent", RedirectURIs: []string{callback}, TokenEndpointAuthMethod: "none", GrantTypes: []string{"authorization_code"},
		}}
	}
	handler, err := auth.NewAuthorizationCodeHandler(config)
	require.NoError(t, err)
	client := mcp.NewClient(&mcp.Implementation{Name: "agent", Version: "1"}, nil)
	a.session, err = client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: w.url, OAuthHandler: handler}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.session.Close() })
	a.listed = a.list(t) //nolint:contextcheck // it is the test's
	return a
}

func (a *goAgent) list(t *testing.T) []string {
	t.Helper()
	var names []string
	for tool, err := range a.session.Tools(t.Context(), nil) {
		require.NoError(t, err)
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

func (a *goAgent) call(t *testing.T, tool string) (text, problem string) {
	t.Helper()
	result, err := a.session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{"id": "1"}})
	if err != nil {
		return "", err.Error()
	}
	content, ok := result.Content[0].(*mcp.TextContent)
	require.True(t, ok)
	return content.Text, ""
}

func (a *goAgent) tools() []string { return a.listed }
func (a *goAgent) asked() []string { return a.pages }
