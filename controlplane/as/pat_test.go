package as_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

func basic(t *testing.T) clientauth.Auth {
	t.Helper()
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("s3cr3t&more"), nil)
	require.NoError(t, err)
	return auth
}

func TestPAT(t *testing.T) {
	t.Parallel()
	generic := url.Values{"grant_type": {"client_credentials"}, "scope": {"uma_protection"}}
	tests := []struct {
		name     string
		document string
		exchange exchange
		err      error
		not      string // must not stand in the error
	}{
		{
			"generic asks for the scope", genericDocument,
			exchange{path: "/token", form: generic, header: map[string]string{"Authorization": basicHeader}, status: 200, answer: `{"access_token":"pat","token_type":"Bearer","expires_in":60}`},
			nil, "",
		},
		{
			"keycloak refuses it", keycloakDocument,
			exchange{path: "/protocol/openid-connect/token", form: url.Values{"grant_type": {"client_credentials"}}, status: 200, answer: `{"access_token":"pat","token_type":"Bearer","expires_in":60}`},
			nil, "",
		},
		{"wrong secret", genericDocument, exchange{path: "/token", status: 401, answer: `{"error":"unauthorized_client"}`}, as.ErrClientRefused, ""},
		{"unknown client", genericDocument, exchange{path: "/token", status: 400, answer: `{"error":"invalid_client"}`}, as.ErrClientRefused, ""},
		{"scope", genericDocument, exchange{path: "/token", status: 400, answer: `{"error":"invalid_scope","error_description":"no"}`}, as.ErrRejected, ""},
		{"down", genericDocument, exchange{path: "/token", status: 502, contentType: "text/html", answer: "<html>"}, as.ErrUnavailable, ""},
		{"a page", genericDocument, exchange{path: "/token", status: 200, contentType: "text/html", answer: "<html>"}, as.ErrNotJSON, ""},
		{"no token in it", genericDocument, exchange{path: "/token", status: 200, answer: `{"token_type":"Bearer"}`}, as.ErrMalformed, ""},
		{"DPoP", genericDocument, exchange{path: "/token", status: 200, answer: `{"access_token":"pat","token_type":"DPoP"}`}, as.ErrMalformed, "pat\""},
		{"too large", genericDocument, exchange{path: "/token", status: 200, answer: `{"a":"` + strings.Repeat("x", as.MaxBody) + `"}`}, as.ErrTooLarge, ""},
		{
			"an AS that echoes the credential", genericDocument,
			exchange{path: "/token", status: 401, answer: `{"error":"invalid_client","error_description":"wrong: s3cr3t&more and ` + strings.TrimPrefix(basicHeader, "Basic ") + `"}`},
			as.ErrClientRefused, "s3cr3t",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.exchange.method = http.MethodPost
			server := discover(t, tt.document, tt.exchange)
			token, err := server.PAT(t.Context(), basic(t))
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Contains(t, err.Error(), "get the PAT")
				if tt.not != "" {
					require.NotContains(t, err.Error(), tt.not)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, "pat", token.Value.Reveal())
			require.Equal(t, time.Minute, token.ExpiresAt.Sub(token.IssuedAt))
		})
	}
}

// TestShortSecrets: a password of three letters is not shown, and the error code
// that its letters are in is still understood.
func TestShortSecrets(t *testing.T) {
	t.Parallel()
	server := discover(t, genericDocument, exchange{
		method: http.MethodPost, path: "/token", status: 400, answer: `{"error":"invalid_grant","error_description":"no user has gra+code or gra"}`,
	})
	form := url.Values{"grant_type": {as.GrantPassword}, "username": {"alice"}, "password": {"gra"}, "code": {"gra+code"}}
	_, err := server.RequestToken(t.Context(), "log in", basic(t), form)
	require.ErrorIs(t, err, as.ErrInvalidGrant)
	require.ErrorContains(t, err, "no user has "+secret.Redacted+" or "+secret.Redacted)
}

func TestPATLifetime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, expiresIn string
		lifetime        time.Duration // 0 for an error
	}{
		{"not told", "", 5 * time.Minute},
		{"null", `,"expires_in":null`, 5 * time.Minute},
		{"zero stands for not told", `,"expires_in":0`, 5 * time.Minute},
		{"a string", `,"expires_in":"60"`, time.Minute},
		{"one second", `,"expires_in":1`, time.Second},
		{"for ever", `,"expires_in":99999999999`, 24 * time.Hour},
		{"the largest", `,"expires_in":2147483647`, 24 * time.Hour},
		{"over already", `,"expires_in":-1`, 0},
		{"long over", `,"expires_in":-2147483648`, 0},
		{"no number", `,"expires_in":"soon"`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := discover(t, genericDocument, exchange{
				method: http.MethodPost, path: "/token", status: 200, answer: `{"access_token":"pat","token_type":"Bearer"` + tt.expiresIn + `}`,
			})
			token, err := server.PAT(t.Context(), basic(t))
			if tt.lifetime == 0 {
				require.ErrorIs(t, err, as.ErrMalformed)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.lifetime, token.ExpiresAt.Sub(token.IssuedAt))
		})
	}
}

func pats(first string, next ...string) *as.PATSource {
	var mu sync.Mutex
	return as.NewPATSource(
		as.Token{Value: secret.New(first), IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour)},
		func(context.Context) (as.Token, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(next) == 0 {
				return as.Token{}, as.ErrUnavailable
			}
			token := as.Token{Value: secret.New(next[0]), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
			next = next[1:]
			return token, nil
		}, nil, nil)
}

func TestRefusedPATIsRenewedOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		document, path string
		status         int
	}{
		"generic": {genericDocument, "/perm", 401}, "keycloak": {keycloakDocument, "/authz/protection/permission", 403},
	} {
		ask := func(pat string, status int, answer string) exchange {
			return exchange{
				method: "POST", path: tt.path, header: map[string]string{"Authorization": "Bearer " + pat},
				body: `[{"resource_id":"r1","resource_scopes":["view"]}]`, status: status, answer: answer,
			}
		}
		permissions := []config.Permission{{ResourceID: "r1", ResourceScopes: []string{"view"}}}
		t.Run(name+"/works then", func(t *testing.T) {
			t.Parallel()
			api := discover(t, tt.document, ask("old", tt.status, `{}`), ask("new", 201, `{"ticket":"t1"}`)).Protection(pats("old", "new"))
			ticket, err := api.Permission(t.Context(), permissions)
			require.NoError(t, err)
			require.Equal(t, "t1", ticket)
		})
		t.Run(name+"/is refused again", func(t *testing.T) {
			t.Parallel()
			api := discover(t, tt.document, ask("old", tt.status, `{}`), ask("new", tt.status, `{}`), ask("new", tt.status, `{}`)).Protection(pats("old", "new"))
			_, err := api.Permission(t.Context(), permissions)
			require.ErrorIs(t, err, as.ErrPATRefused)
			_, err = api.Permission(t.Context(), permissions)
			require.ErrorIs(t, err, as.ErrPATRefused, "a PAT that is new is not asked for again at once")
		})
	}
}

func TestPATCallsCoalesce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	calls := make(chan struct{}, 100)
	source := as.NewPATSource(as.Token{}, func(context.Context) (as.Token, error) {
		calls <- struct{}{}
		<-release
		return as.Token{Value: secret.New("pat"), ExpiresAt: time.Now().Add(time.Hour)}, nil
	}, nil, nil)
	leader, hangUp := context.WithCancel(t.Context())
	led := make(chan error, 1)
	go func() { _, err := source.Token(leader); led <- err }()
	<-calls
	got := make(chan as.Token, 10)
	for range cap(got) {
		go func() { token, _ := source.Token(t.Context()); got <- token }()
	}
	hangUp()
	require.ErrorIs(t, <-led, context.Canceled)
	close(release)
	for range cap(got) {
		require.Equal(t, "pat", (<-got).Value.Reveal())
	}
	require.Empty(t, calls, "one call for all")
	source.Wait()
}
