package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestInternalToken: an API behind a real Envoy verifies who asks with nothing but the keys
// that the control plane publishes, and the configuration of Envoy has none of the private
// ones.
func TestInternalToken(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	var mu sync.Mutex
	var tokens []string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		tokens = r.Header.Values("X-Uma-Token")
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(upstream.Close)
	as := servertest.StartAS(t, devas.Options{})
	require.NoError(t, as.AddClient(devas.Client{ID: "app", Secret: "app-secret"}))
	_, err := as.Permit(devas.Policy{Resource: "*", Clients: []string{"app"}})
	require.NoError(t, err)
	p := newPlane(t)
	config := strings.Replace(p.config(as.Issuer(), "albums"), "http://127.0.0.1:1", upstream.URL, 1)
	config = strings.Replace(config, `xds: "127.0.0.1:0"`, `xds: "127.0.0.1:0", instances: "127.0.0.1:0"`, 1)
	file := strings.Replace(config, "  resources:", "  internal_token: {audience: [\"https://api.internal\"], ttl: 30s, claims: {who: client_id}}\n  resources:", 1) +
		"  - {name: open, conditions: [{paths: [\"/open\"], public: true}]}\n" + fmt.Sprintf("plugin: {wasm: %q}\n", servertest.Module(t))
	p.Write(file)
	p.Start()
	p.Until("all is well", allWell)
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)

	rpt := e.RPT(as)
	require.Equal(t, http.StatusOK, e.Get("/albums/1", rpt).StatusCode)
	mu.Lock()
	require.Len(t, tokens, 1)
	token := tokens[0]
	mu.Unlock()
	published := func() (keys jose.JSONWebKeySet) {
		resp, err := http.Get("http://" + p.API + "/v1/sites/photos/internal-token/jwks.json") //nolint:noctx // of this test's own server; with no credential
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&keys))
		return keys
	}
	keys := published()
	require.Len(t, keys.Keys, 4)
	for i := range keys.Keys {
		require.True(t, keys.Keys[i].IsPublic())
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.EdDSA})
	require.NoError(t, err)
	var claims jwt.Claims
	var more struct {
		ClientID string   `json:"client_id"`
		Who      []string `json:"who"`
	}
	require.NoError(t, parsed.Claims(&keys, &claims, &more))
	require.NoError(t, claims.Validate(jwt.Expected{Issuer: "umagate/photos", AnyAudience: jwt.Audience{"https://api.internal"}, Time: time.Now()}))
	require.Equal(t, 30*time.Second, claims.Expiry.Time().Sub(claims.IssuedAt.Time()))
	require.Equal(t, "app", more.ClientID)
	require.Equal(t, []string{"app"}, more.Who)

	dump, err := e.ConfigDump(t.Context())
	require.NoError(t, err)
	require.Contains(t, dump, "umagate/photos/signing-key")
	for _, secret := range []string{token, `"key":`} {
		require.NotContains(t, strings.ReplaceAll(dump, " ", ""), secret)
	}
	code, _ := p.Get("/v1/sites/nothing/internal-token/jwks.json")
	require.Equal(t, http.StatusNotFound, code)

	// Another version withdraws the keys, at once: the public ones, and the one that signs.
	p.Write(strings.Replace(file, "internal_token: {", "internal_token: {key_version: 1, ", 1))
	require.Eventually(t, func() bool {
		if e.Get("/albums/1", rpt).StatusCode != http.StatusOK {
			return false // the key is on its way
		}
		mu.Lock()
		defer mu.Unlock()
		again, err := jwt.ParseSigned(tokens[0], []jose.SignatureAlgorithm{jose.EdDSA})
		return err == nil && again.Headers[0].KeyID != parsed.Headers[0].KeyID
	}, time.Minute, 50*time.Millisecond)
	left := published()
	require.Empty(t, left.Key(parsed.Headers[0].KeyID))

	// What a client sends of it goes nowhere.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.Base+"/open", bytes.NewReader(nil))
	require.NoError(t, err)
	req.Host = "photos.example.com"
	req.Header.Set("X-Uma-Token", token)
	answer, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusOK, answer.StatusCode)
	mu.Lock()
	require.Empty(t, tokens)
	mu.Unlock()
}
