package rpt_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/rpt"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
)

// appSecret is long enough for an HMAC (RFC 7518 section 3.2).
const appSecret = "app-secret-of-thirty-two-bytes-or-more"

// wiretap keeps what goes to token endpoints.
type wiretap struct {
	next http.RoundTripper

	mu    sync.Mutex
	heads []string
	forms []url.Values
}

func (w *wiretap) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		w.heads, w.forms = append(w.heads, r.Header.Get("Authorization")), append(w.forms, form)
		w.mu.Unlock()
	}
	return w.next.RoundTrip(r)
}

// TestClientAuthentication walks with every method, the party's own token and the
// UMA grant alike, and looks at what went to the AS.
func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	key, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	keyAuth, err := key.Auth("app", nil)
	require.NoError(t, err)
	document, err := clientauth.JWKS([]clientauth.PublicKey{{Key: key}})
	require.NoError(t, err)
	var keys jose.JSONWebKeySet
	require.NoError(t, json.Unmarshal(document, &keys))
	withSecret := func(method clientauth.Method) clientauth.Auth {
		auth, err := clientauth.NewSecret(method, "app", secret.New(appSecret), nil)
		require.NoError(t, err)
		return auth
	}
	tests := []struct {
		auth clientauth.Auth
		// proves says that what was sent authenticates this way, and no other.
		proves func(head string, form url.Values) bool
	}{
		{withSecret(clientauth.SecretBasic), func(head string, form url.Values) bool {
			return strings.HasPrefix(head, "Basic ") && !form.Has("client_secret") && !form.Has("client_assertion")
		}},
		{withSecret(clientauth.SecretPost), func(head string, form url.Values) bool { return head == "" && form.Get("client_secret") == appSecret }},
		{withSecret(clientauth.SecretJWT), func(head string, form url.Values) bool {
			return head == "" && form.Has("client_assertion") && !form.Has("client_secret")
		}},
		{keyAuth, func(head string, form url.Values) bool {
			return head == "" && form.Has("client_assertion") && !form.Has("client_secret")
		}},
		{clientauth.NewPublic("app"), func(head string, form url.Values) bool {
			return head == "" && form.Get("client_id") == "app" && !form.Has("client_secret") && !form.Has("client_assertion")
		}},
	}
	for _, tt := range tests {
		t.Run(string(tt.auth.Method()), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, devas.Dialect{})
			client := devas.Client{ID: "app", Metadata: devas.Metadata{TokenEndpointAuthMethod: string(tt.auth.Method())}}
			if tt.auth.Method().HasSecret() {
				client.Secret = appSecret
			}
			if tt.auth.Method() == clientauth.PrivateKeyJWT {
				client.JWKS = &keys
			}
			require.NoError(t, w.as.AddClient(client))
			_, err := w.as.Permit(devas.Policy{Resource: "albums", Clients: []string{"app"}})
			require.NoError(t, err)
			ask := func(context.Context, string) (secret.Text, error) { return secret.New("alice-password"), nil }
			own := rpt.Credentials{Client: tt.auth}
			parties := map[string]rpt.Party{"machine": rpt.ClientCredentials{Credentials: own}, "password": rpt.Password{Credentials: own, User: "alice", Ask: ask}}
			if tt.auth.Method() == clientauth.None {
				delete(parties, "machine") // RFC 6749 section 4.4: confidential clients only
			}
			for name, party := range parties {
				tap := &wiretap{next: http.DefaultTransport}
				var seen recorder
				flow := rpt.Flow{Transport: tap, Client: tt.auth, Party: party, Observe: seen.observe}
				got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: w.api.URL + "/albums/1"})
				require.NoError(t, err, name)
				require.Equal(t, http.StatusOK, got.Answer.Status)
				require.Len(t, tap.forms, 2, "the party's token, and the RPT")
				for i, form := range tap.forms {
					require.True(t, tt.proves(tap.heads[i], form), "%s: %q %v", name, tap.heads[i], form)
					if form.Has("client_assertion") {
						require.NotContains(t, tap.heads[i]+form.Encode(), appSecret)
					}
				}
				if tap.forms[0].Has("client_assertion") {
					require.NotEqual(t, tap.forms[0].Get("client_assertion"), tap.forms[1].Get("client_assertion"), "each is good once")
				}
				seen.requireNo(t, appSecret, "alice-password", got.RPT.Reveal())
			}
		})
	}
	t.Run("a wrong secret is told as the AS tells it", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, devas.Dialect{})
		require.NoError(t, w.as.AddClient(devas.Client{ID: "app", Secret: appSecret, Metadata: devas.Metadata{TokenEndpointAuthMethod: string(clientauth.SecretBasic)}}))
		auth, err := clientauth.NewSecret(clientauth.SecretBasic, "app", secret.New("another"), nil)
		require.NoError(t, err)
		flow := rpt.Flow{Client: auth, Party: rpt.ClientCredentials{Credentials: rpt.Credentials{Client: auth}}}
		_, err = flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: w.api.URL + "/albums/1"})
		require.ErrorIs(t, err, rpt.ErrDenied)
		require.EqualError(t, err, "get the requesting party's token: the authorization server gives no token: 401 invalid_client (the client secret is wrong)")
		require.ErrorIs(t, err, rpt.ErrClientRefused)
	})
	t.Run("a secret too short to sign with is not sent instead", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, devas.Dialect{})
		auth, err := clientauth.NewSecret(clientauth.SecretJWT, "app", secret.New("app-secret"), nil)
		require.NoError(t, err)
		tap := &wiretap{next: http.DefaultTransport}
		flow := rpt.Flow{Transport: tap, Client: auth, Party: rpt.ClientCredentials{Credentials: rpt.Credentials{Client: auth}}}
		_, err = flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: w.api.URL + "/albums/1"})
		require.ErrorContains(t, err, "client_secret_jwt")
		require.Empty(t, tap.forms)
	})
}

// TestCertificateAuthentication: the AS sees the client's certificate, the API does
// not, and without https nothing is asked.
func TestCertificateAuthentication(t *testing.T) {
	t.Parallel()
	key, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	private, err := key.PEM()
	require.NoError(t, err)
	chain, err := clientauth.SelfSigned(key, "app", time.Now(), time.Hour)
	require.NoError(t, err)
	certificate, err := clientauth.Certificate(chain, private)
	require.NoError(t, err)
	var presented []string
	var mu sync.Mutex
	mux := http.NewServeMux()
	server := httptest.NewUnstartedServer(mux)
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	mux.HandleFunc("GET /.well-known/uma2-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": server.URL, "token_endpoint": server.URL + "/no-token", "introspection_endpoint": server.URL + "/i",
			"permission_endpoint": server.URL + "/p", "resource_registration_endpoint": server.URL + "/r",
			"mtls_endpoint_aliases": map[string]any{"token_endpoint": server.URL + "/token"},
		})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range r.TLS.PeerCertificates {
			presented = append(presented, c.Subject.CommonName+" "+r.FormValue("client_id"))
		}
		writeJSON(w, http.StatusOK, map[string]any{"access_token": "rpt", "token_type": "Bearer"})
	})
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	auth := clientauth.NewTLS(clientauth.SelfSignedTLS, "app")
	party := rpt.ClientCredentials{Credentials: rpt.Credentials{Client: auth}}
	toAS := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}}
	t.Cleanup(toAS.CloseIdleConnections)
	flow := rpt.Flow{ASTransport: toAS, Client: auth, Party: party}
	got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, server.URL).URL})
	require.NoError(t, err)
	require.Equal(t, "the album", string(got.Answer.Body))
	require.Equal(t, []string{"app app", "app app"}, presented)

	plain := newScripted(t)
	flow = rpt.Flow{Client: auth, Party: party}
	_, err = flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, plain.URL).URL})
	require.ErrorContains(t, err, "self_signed_tls_client_auth needs https")
	require.Empty(t, plain.forms)
}
