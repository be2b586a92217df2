package server_test

import (
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// client is config with another client, and introspection by PAT, which every
// method can do.
func (p *plane) client(issuer, client string, resources ...string) string {
	return strings.Replace(p.config(issuer, resources...), "client: {register: {}}",
		"client: {"+client+"}\n    introspection: {credential: pat}", 1)
}

// operation opens what a command opens, beside the running control plane.
func (p *plane) operation() *registration.Operation { return p.open(p.store()) }

// dryRun is an operation that only plans, as "umagate plan" makes it.
func (p *plane) dryRun() *registration.Operation { return p.open(registration.DryRun(p.store())) }

func (p *plane) open(from registration.Store) *registration.Operation {
	p.T.Helper()
	file, err := site.Load(p.Path())
	require.NoError(p.T, err)
	options := registration.OperationOptions{Site: &file.Sites[0], Store: from, Logger: slog.New(slog.NewTextHandler(p.Log, nil))}
	m, err := registration.Open(p.T.Context(), options)
	require.NoError(p.T, err)
	p.T.Cleanup(m.Close)
	return m
}

// store opens the control plane's own, as another process would.
func (p *plane) store() *store.SQL {
	p.T.Helper()
	s, err := store.OpenSQLite(p.T.Context(), filepath.Join(p.Dir, "umagate.db"), secret.Text{})
	require.NoError(p.T, err)
	p.T.Cleanup(func() { _ = s.Close() })
	return s
}

func (p *plane) key(as *devas.Server) store.Key {
	return store.Key{Site: "photos", Issuer: as.Issuer()}
}

// answered counts the calls of a method at the registration endpoint that
// were answered with that status.
func answered(as *devas.Server, method string, status int) int {
	n := 0
	for _, c := range as.Calls(devas.EndpointRegistration) {
		if c.Method == method && c.Status == status {
			n++
		}
	}
	return n
}

func TestEveryAuthenticationMethod(t *testing.T) {
	t.Parallel()
	methods := []string{"client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt"}
	clients := map[string]string{}
	for _, m := range methods {
		clients[m] = "register: {}, token_endpoint_auth_method: " + m
	}
	for _, alg := range []string{"RS256", "PS384", "ES256", "ES384", "ES512", "EdDSA"} {
		clients["private_key_jwt "+alg] = "register: {}, token_endpoint_auth_method: private_key_jwt, token_endpoint_auth_signing_alg: " + alg
	}
	clients["client_secret_jwt HS256"] = "register: {}, token_endpoint_auth_method: client_secret_jwt, token_endpoint_auth_signing_alg: HS256"
	for name, client := range clients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{})
			p := newPlane(t)
			p.Write(p.client(as.Issuer(), client, "albums"))
			p.Start()
			s := p.Until("all is well", allWell)
			method, _, _ := strings.Cut(name, " ")
			require.Equal(t, method, s.Sites[0].AuthMethod)
			require.Equal(t, []string{"albums"}, names(as))
			require.Equal(t, 1, as.Count(devas.EndpointRegistration))
			for _, c := range as.Calls(devas.EndpointToken) {
				require.Equal(t, http.StatusOK, c.Status)
			}
			p.RequireNoSecrets(as)

			// A restart uses the same client and the same key.
			p.Stop()
			as.ExpirePATs()
			p.Start()
			again := p.Until("all is well again", allWell)
			require.Equal(t, s.Sites[0].ClientID, again.Sites[0].ClientID)
			require.Equal(t, s.Sites[0].KeyID, again.Sites[0].KeyID)
			require.Equal(t, 1, as.Count(devas.EndpointRegistration))
		})
	}
}

func TestKeysRotateWithOverlap(t *testing.T) {
	t.Parallel()
	for _, overlap := range []string{"1h", "0s"} {
		t.Run("overlap "+overlap, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{})
			p := newPlane(t)
			p.Options.Intervals.Site.Discover = 20 * time.Millisecond
			p.Write(p.client(as.Issuer(), "register: {}, token_endpoint_auth_method: private_key_jwt, keys: {overlap: "+overlap+"}", "albums"))
			p.Start()
			first := p.Until("all is well", allWell)
			keys, err := p.operation().RotateKeys(t.Context())
			require.NoError(t, err)
			if overlap == "1h" {
				require.Len(t, keys, 2)
				require.Equal(t, store.KeyRetiring, keys[0].State)
				require.Equal(t, first.Sites[0].KeyID, keys[0].ID)
			}
			last := keys[len(keys)-1]
			require.Equal(t, store.KeyActive, last.State)
			p.Until("the running control plane uses the new one", func(s server.Status) bool { return s.OK && s.Sites[0].KeyID == last.ID })
			tokens := as.Count(devas.EndpointToken)
			as.ExpirePATs()
			p.Until("a PAT with the new key", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
			if overlap == "0s" {
				require.Eventually(t, func() bool {
					left, err := p.store().ClientKeys(t.Context(), p.key(as))
					return err == nil && len(left) == 1
				}, servertest.Within, 20*time.Millisecond)
			}
			for _, c := range as.Calls(devas.EndpointToken) {
				require.Equal(t, http.StatusOK, c.Status, "no assertion was refused")
			}
			require.Equal(t, 1, answered(as, http.MethodPost, http.StatusCreated))
			require.Zero(t, answered(as, http.MethodPut, http.StatusUnauthorized), "each registration access token was stored")
			p.RequireNoSecrets(as)
		})
	}
}

func TestKeysByJWKSURI(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := p.target()
		(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(target) }}).ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	p.Options.Intervals.Site.Discover = 20 * time.Millisecond
	p.Write(p.client(as.Issuer(), fmt.Sprintf(
		"register: {}, token_endpoint_auth_method: private_key_jwt, keys: {jwks_uri: %q, publish_before: 300ms}", front.URL+"/v1/sites/photos/jwks.json"), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	require.Equal(t, front.URL+"/v1/sites/photos/jwks.json", p.registered(as)["jwks_uri"])
	require.NotContains(t, p.registered(as), "jwks")

	keys, err := p.operation().RotateKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.KeyActive, keys[0].State)
	require.Equal(t, store.KeyPublished, keys[1].State, "published before it is used")
	require.Eventually(t, func() bool { _, body := p.Get("/v1/sites/photos/jwks.json"); return strings.Count(body, `"kid"`) == 2 }, servertest.Within, 20*time.Millisecond)
	_, body := p.Get("/v1/sites/photos/jwks.json")
	require.NotContains(t, body, `"d"`)
	s := p.Until("the new one is used", func(s server.Status) bool { return s.OK && s.Sites[0].KeyID == keys[1].ID })
	require.NotEqual(t, first.Sites[0].KeyID, s.Sites[0].KeyID)
	as.ExpirePATs()
	tokens := as.Count(devas.EndpointToken)
	p.Until("a PAT with it", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
	require.Zero(t, answered(as, http.MethodPut, http.StatusOK), "nothing had to be told to the AS")
	code, _ := p.Get("/v1/sites/nobody/jwks.json")
	require.Equal(t, http.StatusNotFound, code)
}

// TestCertificateOfOnesOwn authenticates with a certificate that umagate makes, by
// an alias that the AS has for that, and replaces it (RFC 8705).
func TestCertificateOfOnesOwn(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	var aliased atomic.Int64
	var front *httptest.Server
	front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/mtls/token" {
			aliased.Add(1)
			r.URL.Path = "/token"
		}
		if !strings.Contains(r.URL.Path, "/.well-known/") {
			as.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		as.ServeHTTP(recorded, r)
		var document map[string]any
		if json.Unmarshal(recorded.Body.Bytes(), &document) == nil {
			document["mtls_endpoint_aliases"] = map[string]string{"token_endpoint": front.URL + "/mtls/token"}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(document)
	}))
	front.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	as.SetIssuer(front.URL)
	p := newPlane(t)
	p.Options.Intervals.Site.Discover = 20 * time.Millisecond
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	require.NoError(t, os.WriteFile(filepath.Join(p.Dir, "ca.pem"), ca, 0o600))
	p.Write(strings.Replace(p.client(front.URL, "register: {}, token_endpoint_auth_method: self_signed_tls_client_auth, keys: {overlap: 1h}", "albums"),
		"    introspection:", "    tls: {ca_file: ca.pem}\n    introspection:", 1))
	p.Start()
	first := p.Until("all is well", allWell)
	require.Equal(t, "self_signed_tls_client_auth", first.Sites[0].AuthMethod)
	require.Positive(t, aliased.Load())
	keys, err := p.operation().RotateKeys(t.Context())
	require.NoError(t, err)
	used := keys[len(keys)-1]
	require.Contains(t, used.Certificate, "BEGIN CERTIFICATE")
	s := p.Until("the new one is used, and pushed", func(s server.Status) bool {
		return s.OK && s.Sites[0].KeyID == used.ID && s.Pushed["sds"] != first.Pushed["sds"]
	})
	require.Equal(t, first.Sites[0].ClientID, s.Sites[0].ClientID)
	tokens := as.Count(devas.EndpointToken)
	as.ExpirePATs()
	p.Until("a PAT with it", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
	for _, c := range as.Calls(devas.EndpointToken) {
		require.Equal(t, http.StatusOK, c.Status)
		require.Equal(t, s.Sites[0].ClientID, c.Form.Get("client_id"))
	}
	require.NotContains(t, p.Log.String(), "PRIVATE KEY")
}

// TestGivenClientWithOwnKeys: the AS reads the keys of a client that exists.
func TestGivenClientWithOwnKeys(t *testing.T) {
	t.Parallel()
	p := newPlane(t)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := p.target()
		(&httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(target) }}).ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	as := servertest.StartAS(t, devas.Options{Registration: devas.RegistrationOff, Clients: []devas.Client{{ID: "rs", Metadata: devas.Metadata{
		GrantTypes: []string{"client_credentials"}, Scope: "uma_protection", TokenEndpointAuthMethod: devas.AuthPrivateKeyJWT,
		JWKSURI: front.URL + "/v1/sites/photos/jwks.json",
	}}}})
	p.Options.Intervals.Site.Discover = 20 * time.Millisecond
	p.Write(p.client(as.Issuer(), "id: rs, token_endpoint_auth_method: private_key_jwt, keys: {publish_before: 200ms}", "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	keys, err := p.operation().RotateKeys(t.Context())
	require.NoError(t, err)
	require.Equal(t, store.KeyPublished, keys[1].State)
	p.Until("the new one is used", func(s server.Status) bool { return s.OK && s.Sites[0].KeyID == keys[1].ID })
	require.Equal(t, "rs", first.Sites[0].ClientID)
	tokens := as.Count(devas.EndpointToken)
	as.ExpirePATs()
	p.Until("a PAT with it", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
	require.Zero(t, as.Count(devas.EndpointRegistration))
}

// registered is the last registration that the AS was sent.
func (p *plane) registered(as *devas.Server) map[string]any {
	p.T.Helper()
	var last map[string]any
	for _, c := range as.Calls(devas.EndpointRegistration) {
		if c.Method == http.MethodPost || c.Method == http.MethodPut {
			last = nil
			require.NoError(p.T, json.Unmarshal([]byte(c.Body), &last))
		}
	}
	return last
}

func TestChangedMetadataIsPut(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.client(as.Issuer(), "register: {client_name: Photos, metadata: {client_uri: https://photos.example.com}}", "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	require.Equal(t, "https://photos.example.com", p.registered(as)["client_uri"])
	for i, name := range []string{"Photos of all", "Photos"} {
		p.Write(p.client(as.Issuer(), "register: {client_name: "+name+", metadata: {client_uri: https://photos.example.com}}", "albums"))
		p.Until("it is put", func(s server.Status) bool { return s.OK && answered(as, http.MethodPut, http.StatusOK) == i+1 })
		require.Equal(t, name, p.registered(as)["client_name"])
	}
	p.Stop()
	p.Start()
	again := p.Until("all is well", allWell)
	require.Equal(t, first.Sites[0].ClientID, again.Sites[0].ClientID)
	require.Equal(t, 2, answered(as, http.MethodPut, http.StatusOK), "once each")
	require.Equal(t, 1, answered(as, http.MethodPost, http.StatusCreated))

	// Another method of authentication is an update, too.
	p.Write(p.client(as.Issuer(), "register: {}, token_endpoint_auth_method: private_key_jwt", "albums"))
	s := p.Until("with a key", func(s server.Status) bool { return s.OK && s.Sites[0].AuthMethod == "private_key_jwt" })
	require.Equal(t, first.Sites[0].ClientID, s.Sites[0].ClientID)
	as.ExpirePATs()
	tokens := as.Count(devas.EndpointToken)
	p.Until("a PAT with it", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
}

func TestRefusedUpdateStopsNothing(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointRegistration, Kind: devas.FaultStatus, Status: 400}))
	p.Write(strings.Replace(p.config(as.Issuer(), "albums", "people"), "register: {}", "register: {client_name: other}", 1))
	s := p.Until("it is told", func(s server.Status) bool {
		return len(s.Sites[0].Conditions) == 1 && s.Sites[0].Resources.Registered == 2 && s.Sites[0].Phase == registration.Serving
	})
	require.False(t, s.OK)
	require.Equal(t, first.Sites[0].ClientID, s.Sites[0].ClientID)
	as.ClearFaults(devas.EndpointAny)
	p.Until("tried again", allWell)
}

// TestLyingRegistration bounds what an AS is left with that answers a registration
// with something else.
func TestLyingRegistration(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointRegistration, Kind: devas.FaultWrongTypes}))
	p := newPlane(t)
	p.Options.Intervals.Site.Unusable = time.Hour
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	s := p.Until("it is told", func(s server.Status) bool { return s.Sites[0].Failure != nil && s.Sites[0].Failure.Attempts > 5 })
	require.Contains(t, s.Sites[0].Failure.Message, "the next attempt is at")
	require.Contains(t, s.Sites[0].Failure.Remedy, "unused client")
	require.Equal(t, 1, as.Count(devas.EndpointRegistration))
	require.Contains(t, p.Log.String(), "may have registered a client that nobody can use")
	p.Stop()
	p.Start()
	p.Until("after a restart, too", func(s server.Status) bool { return s.Sites[0].Failure != nil && s.Sites[0].Failure.Attempts > 5 })
	require.Equal(t, 1, as.Count(devas.EndpointRegistration), "the bound is in the store")

	// A person who has looked may try at once.
	as.ClearFaults(devas.EndpointAny)
	_, _, err := p.operation().Apply(t.Context(), nil)
	require.NoError(t, err)
	p.Until("the running control plane goes on", allWell)
	require.Equal(t, 2, as.Count(devas.EndpointRegistration))
}

// TestForgetfulAS bounds how many clients an AS is given that forgets each.
func TestForgetfulAS(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Options.Intervals.Site.Forgotten = 500 * time.Millisecond
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	first := p.Until("all is well", allWell)
	as.ForgetClients()
	second := p.Until("registered anew", func(s server.Status) bool { return s.OK && s.Sites[0].ClientID != first.Sites[0].ClientID })
	require.Contains(t, p.Log.String(), "REGISTERED ANEW")
	require.Contains(t, p.Log.String(), "client_id_before="+first.Sites[0].ClientID)
	as.ForgetClients()
	s := p.Until("not at once again", func(s server.Status) bool {
		return s.Sites[0].Failure != nil && strings.Contains(s.Sites[0].Failure.Message, "not registered again before its time")
	})
	require.Equal(t, second.Sites[0].ClientID, s.Sites[0].ClientID)
}

func TestSecretThatExpires(t *testing.T) {
	t.Parallel()
	t.Run("is renewed by an update", func(t *testing.T) {
		t.Parallel()
		as := servertest.StartAS(t, devas.Options{RenewSecrets: true, Lifetimes: devas.Lifetimes{ClientSecret: 3 * time.Second}})
		p := newPlane(t)
		p.Write(p.config(as.Issuer(), "albums"))
		p.Start()
		first := p.Until("all is well", allWell)
		s := p.Until("renewed", func(s server.Status) bool {
			return s.OK && s.Sites[0].SecretExpiresAt.After(first.Sites[0].SecretExpiresAt)
		})
		require.Equal(t, first.Sites[0].ClientID, s.Sites[0].ClientID, "its policies are still there")
		require.NotEqual(t, first.Pushed["sds"], s.Pushed["sds"], "Envoys have the new one")
		require.Equal(t, 1, answered(as, http.MethodPost, http.StatusCreated))
		as.ExpirePATs()
		tokens := as.Count(devas.EndpointToken)
		p.Until("a PAT with it", func(s server.Status) bool { return s.OK && as.Count(devas.EndpointToken) > tokens })
		p.RequireNoSecrets(as)
	})
	t.Run("is registered anew as the last resort", func(t *testing.T) {
		t.Parallel()
		as := servertest.StartAS(t, devas.Options{Lifetimes: devas.Lifetimes{ClientSecret: 2 * time.Second}})
		p := newPlane(t)
		p.Options.Intervals.Site.Forgotten = 200 * time.Millisecond
		p.Write(p.config(as.Issuer(), "albums"))
		p.Start()
		first := p.Until("all is well", allWell)
		p.Until("registered anew", func(s server.Status) bool { return s.OK && s.Sites[0].ClientID != first.Sites[0].ClientID })
		require.Contains(t, p.Log.String(), "as the last resort")
		require.Contains(t, p.Log.String(), "client_id_before="+first.Sites[0].ClientID)
		require.Positive(t, answered(as, http.MethodPut, http.StatusOK), "an update was tried first")
		require.Equal(t, []string{"albums"}, names(as)[:1])
	})
}
