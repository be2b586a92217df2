package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/plugin/config"
)

// TestRPTOfKeycloak has a real Keycloak judge each way to authenticate: a client that
// authenticated in another way than it registered is refused.
func TestRPTOfKeycloak(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.Start(t)
	client, err := as.New(as.Config{Issuer: kc.Issuer()})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	api := guardedBy(t, kc, server)
	key, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	private, err := key.PEM()
	require.NoError(t, err)
	keyFile := filepath.Join(t.TempDir(), "key.pem")
	require.NoError(t, os.WriteFile(keyFile, []byte(private.Reveal()), 0o600))
	for _, method := range []clientauth.Method{clientauth.SecretBasic, clientauth.SecretPost, clientauth.SecretJWT, clientauth.PrivateKeyJWT} {
		for _, shape := range []string{"bearer", "claim-token"} {
			t.Run(string(method)+" "+shape, func(t *testing.T) { //nolint:paralleltest // one Keycloak
				metadata := as.ClientMetadata{Name: string(method) + shape, AuthMethod: method, GrantTypes: []string{"password", "client_credentials"}}
				args := []string{"rpt", "--user", "alice", "--auth-method", string(method), "--grant", shape, api}
				if method == clientauth.PrivateKeyJWT {
					metadata.JWKS, err = clientauth.JWKS([]clientauth.PublicKey{{Key: key}})
					require.NoError(t, err)
					args = append(args, "--key", keyFile)
				}
				registered, err := server.Register(t.Context(), metadata, secret.Text{})
				require.NoError(t, err)
				vars := map[string]string{"UMAGATE_PASSWORD": keycloak.Password("alice")}
				if method.HasSecret() {
					vars["UMAGATE_CLIENT_SECRET"] = registered.ClientSecret.Reveal()
				}
				code, out, stderr := run(t, vars, append(args, "--client", registered.ClientID)...)
				require.Equal(t, cli.ExitOK, code, stderr)
				require.Equal(t, "an album", out)
			})
		}
	}
}

// TestRPTOfKeycloakExplains: what is missing is said, and nothing that is not so.
func TestRPTOfKeycloakExplains(t *testing.T) {
	t.Parallel()
	kc := keycloaktest.Start(t)
	client, err := as.New(as.Config{Issuer: kc.Issuer()})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	api := guardedBy(t, kc, server)
	register := func(name string, grants ...string) as.Registration {
		registered, err := server.Register(t.Context(), as.ClientMetadata{Name: name, AuthMethod: clientauth.SecretBasic, GrantTypes: grants}, secret.Text{})
		require.NoError(t, err)
		return registered
	}
	passwords, without := register("passwords", "password"), register("without", "authorization_code")
	for _, tt := range []struct {
		name, user, secret string
		client             as.Registration
		code               int
		says               string
	}{
		{"no secret", "alice", "", passwords, cli.ExitDenied, "put its secret into $UMAGATE_CLIENT_SECRET"},
		{"a wrong secret", "alice", "wrong", passwords, cli.ExitDenied, "See that --client"},
		{"no passwords", "alice", without.ClientSecret.Reveal(), without, cli.ExitDenied, "Direct access grants"},
		{"no policy", "bob", passwords.ClientSecret.Reveal(), passwords, cli.ExitDenied, "nobody is asked"},
	} {
		t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // one Keycloak
			vars := map[string]string{"UMAGATE_PASSWORD": keycloak.Password(tt.user)}
			if tt.secret != "" {
				vars["UMAGATE_CLIENT_SECRET"] = tt.secret
			}
			code, _, stderr := run(t, vars, "rpt", "--user", tt.user, "--client", tt.client.ClientID, api)
			require.Equal(t, tt.code, code, stderr)
			require.Contains(t, stderr, tt.says)
			require.NotContains(t, stderr, "has been asked")
		})
	}
}

// guardedBy is an API whose one resource alice may view.
func guardedBy(t *testing.T, kc *keycloak.Server, server *as.Server) string {
	t.Helper()
	rs, err := server.Register(t.Context(), as.ClientMetadata{Name: "rs", GrantTypes: server.Dialect().GrantTypes}, secret.Text{})
	require.NoError(t, err)
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, rs.ClientID, rs.ClientSecret, nil)
	require.NoError(t, err)
	pat, err := server.PAT(t.Context(), auth)
	require.NoError(t, err)
	pats := as.NewPATSource(pat, nil, nil, nil)
	albums, err := server.Protection(pats).Create(t.Context(), as.Resource{Name: "albums", Scopes: []string{"view"}})
	require.NoError(t, err)
	require.NoError(t, kc.ImportPolicies(t.Context(), rs.ClientID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("Authorization"); len(token) > len("Bearer ") {
			answer, err := server.Introspect(r.Context(), auth, pats, secret.New(token[len("Bearer "):]))
			var got struct {
				Permissions []any `json:"permissions"`
			}
			if err == nil && json.Unmarshal(answer, &got) == nil && len(got.Permissions) == 1 {
				_, _ = w.Write([]byte("an album"))
				return
			}
		}
		ticket, err := server.Protection(pats).Permission(r.Context(), []config.Permission{{ResourceID: albums.ID, ResourceScopes: []string{"view"}}})
		if err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("WWW-Authenticate", `UMA realm="x", as_uri="`+server.Metadata().Issuer+`", ticket="`+ticket+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	return api.URL
}
