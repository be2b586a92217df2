package cli_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/clientauth"
)

// asking is an API with an authorization server that gives anybody an RPT, and keeps
// what it was asked with.
type asking struct {
	*httptest.Server

	mu   sync.Mutex
	sent []string // Authorization and body of each call of the token endpoint
}

func newAsking(t *testing.T) *asking {
	t.Helper()
	a := &asking{}
	answer := func(w http.ResponseWriter, body map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/uma2-configuration", func(w http.ResponseWriter, _ *http.Request) {
		document := map[string]any{"issuer": a.URL}
		for _, name := range []string{"token", "introspection", "permission", "resource_registration"} {
			document[name+"_endpoint"] = a.URL + "/" + name
		}
		answer(w, document)
	})
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		if r.ParseForm() != nil {
			return
		}
		a.mu.Lock()
		a.sent = append(a.sent, r.Header.Get("Authorization")+" "+r.PostForm.Encode())
		a.mu.Unlock()
		answer(w, map[string]any{"access_token": "rpt", "token_type": "Bearer"})
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", `UMA realm="x", as_uri="`+a.URL+`", ticket="t"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// TestRPTClientAuthentication: each method does what it says or is refused by its
// name, before anything is asked; the secret goes out with two of them alone.
func TestRPTClientAuthentication(t *testing.T) {
	t.Parallel()
	const secretText = "hush-hush-hush-hush-hush-hush-hush-hush"
	key, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	private, err := key.PEM()
	require.NoError(t, err)
	dir := t.TempDir()
	keyFile, certFile := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	require.NoError(t, os.WriteFile(keyFile, []byte(private.Reveal()), 0o600))
	require.NoError(t, os.WriteFile(certFile, []byte("no certificate"), 0o600))
	bare := map[string]string{}
	hush := map[string]string{"UMAGATE_CLIENT_SECRET": secretText, "UMAGATE_PASSWORD": "pw"}
	app := []string{"--client", "app"}
	method := func(name string, more ...string) []string {
		return append([]string{"--client", "app", "--auth-method", name}, more...)
	}
	tests := []struct {
		name    string
		vars    map[string]string
		args    []string
		refused string
		// sent is in each call of the token endpoint; secret says that the secret is.
		sent   string
		secret bool
	}{
		{"a secret", hush, app, "", "Basic ", false}, // in base64
		{"basic", hush, method("client_secret_basic"), "", "Basic ", false},
		{"post", hush, method("client_secret_post"), "", "client_secret=", true},
		{"client_secret_jwt", hush, method("client_secret_jwt"), "", "client_assertion=", false},
		{"client_secret_jwt of a person", hush, method("client_secret_jwt", "--user", "alice"), "", "client_assertion=", false},
		{"private_key_jwt", bare, method("private_key_jwt", "--key", keyFile), "", "client_assertion=", false},
		{"private_key_jwt beside a secret", hush, method("private_key_jwt", "--key", keyFile), "", "client_assertion=", false},
		{"none", hush, method("none"), "", "client_id=app", false},
		{"a public client", bare, app, "", "client_id=app", false},
		{"no secret", bare, method("client_secret_jwt"), "client_secret_jwt needs a client secret", "", false},
		{"no key", hush, method("private_key_jwt"), "private_key_jwt needs --key", "", false},
		{"no certificate", hush, method("tls_client_auth", "--key", keyFile), "tls_client_auth needs --cert", "", false},
		{"a certificate that is none", bare, method("tls_client_auth", "--key", keyFile, "--cert", certFile), "--cert and --key", "", false},
		{"a key for nothing", hush, method("client_secret_basic", "--key", keyFile), "--key FILE is not used", "", false},
		{"no such method", hush, method("client_secret_JWT"), `"client_secret_JWT": write one of`, "", false},
		{"an algorithm of another method", hush, method("client_secret_jwt", "--auth-alg", "RS256"), "signs with", "", false},
		{"an algorithm of another key", bare, method("private_key_jwt", "--key", keyFile, "--auth-alg", "RS256"), "does not fit", "", false},
		{"a key that is none", bare, method("private_key_jwt", "--key", certFile), "--auth-method private_key_jwt: clientauth: private_key is not", "", false},
		{"a secret too short to sign with", hush, method("client_secret_jwt", "--auth-alg", "HS512"), "the client secret is too short", "", false},
		{"no client", hush, []string{"--auth-method", "client_secret_jwt"}, "--client ID", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(t)
			code, out, stderr := run(t, maps.Clone(tt.vars), append([]string{"rpt", a.URL + "/albums", "-o", "json"}, tt.args...)...)
			require.NotContains(t, out+stderr, secretText)
			if tt.refused != "" {
				require.Equal(t, cli.ExitUsage, code, stderr)
				require.Contains(t, stderr, tt.refused)
				require.Empty(t, a.sent)
				return
			}
			require.Equal(t, cli.ExitOK, code, out+stderr)
			require.NotEmpty(t, a.sent)
			for _, sent := range a.sent {
				require.Contains(t, sent, tt.sent)
				require.Equal(t, tt.secret, strings.Contains(sent, url.QueryEscape(secretText)), sent)
				require.Equal(t, tt.sent == "Basic ", strings.HasPrefix(sent, "Basic "), sent)
			}
		})
	}
}
