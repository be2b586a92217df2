package realenvoy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

const (
	// bothOrigin is one that Envoy's own CORS filter and umagate know, ourOrigin one that
	// only umagate does.
	bothOrigin = "https://both.example"
	ourOrigin  = "https://ours.example"

	envoyCORS = `          - name: envoy.filters.http.cors
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors}`
	envoyCORSPolicy = `              typed_per_filter_config:
                envoy.filters.http.cors:
                  "@type": type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy
                  allow_origin_string_match: [{exact: "` + bothOrigin + `"}]
                  allow_methods: GET
                  allow_headers: authorization
                  expose_headers: www-authenticate
                  allow_credentials: true`
)

// browserAS knows the token "good", and gives tickets.
func browserAS(t *testing.T) *httptest.Server {
	t.Helper()
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.URL.Path == "/permission":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"ticket":"t1"}`)
		case r.PostFormValue("token") == "good" || r.PostFormValue("token") == secretToken:
			fmt.Fprint(w, `{"active":true,"sub":"bob","permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]}`)
		default:
			fmt.Fprint(w, `{"active":false}`)
		}
	}))
	t.Cleanup(as.Close)
	return as
}

// browserSite is a site that browsers use.
func browserSite(t *testing.T, as *httptest.Server, origins ...string) string {
	t.Helper()
	authority := as.Listener.Addr().String()
	document, err := json.Marshal(config.Config{
		Version: config.Version,
		Sites: []config.Site{{
			Name: "photos", Hosts: []string{"*"},
			CORS:  &config.CORS{AllowOrigins: origins, AllowCredentials: true},
			Token: config.Token{From: config.TokenSources{Cookie: "token", WebSocketProtocol: "bearer.example.com", Query: "access_token"}},
			AuthorizationServer: config.AuthorizationServer{
				URI: "https://as.example.com",
				Introspection: config.Introspection{Endpoint: config.Endpoint{
					Cluster: "as", Scheme: "http", Authority: authority, Path: "/introspect",
				}},
				Permission: &config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: "/permission"},
			},
			Resources: []config.Resource{
				{Name: "albums", ID: "r-1", Conditions: []config.Condition{{Paths: []string{"/albums/**"}, Methods: []string{"GET", "PUT"}, Scopes: []string{"view"}}}},
				{Name: "open", Conditions: []config.Condition{{Paths: []string{"/open"}, Public: true}}},
			},
		}},
	})
	require.NoError(t, err)
	return string(document)
}

// TestBesideEnvoysCORS: with Envoy's own CORS filter before or behind it, nothing is said
// twice, and what either allows is allowed.
func TestBesideEnvoysCORS(t *testing.T) {
	for _, order := range []string{"before", "behind"} {
		t.Run(order, func(t *testing.T) {
			as := browserAS(t)
			wasm, err := filepath.Abs("../../build/umagate.wasm")
			require.NoError(t, err)
			s := setup{
				Wasm: wasm, Config: browserSite(t, as, bothOrigin, ourOrigin), Clusters: cluster("as", as.Listener.Addr().String()),
				VirtualHost: envoyCORSPolicy, Before: envoyCORS,
			}
			if order == "behind" {
				s.Before, s.After = "", envoyCORS
			}
			process, base := s.start(t)
			for _, c := range []struct {
				method, path, origin, token string
				status                      int
			}{
				{"OPTIONS", "/albums/1", ourOrigin, "", 204},
				{"OPTIONS", "/albums/1", bothOrigin, "", map[string]int{"before": 200, "behind": 204}[order]},
				{"OPTIONS", "/albums/1", "https://evil.example", "", 403},
				{"GET", "/albums/1", ourOrigin, "", 401},
				{"GET", "/albums/1", bothOrigin, "", 401},
				{"GET", "/albums/1", "https://evil.example", "", 401},
				{"GET", "/albums/1", ourOrigin, "good", 200},
				{"GET", "/albums/1", bothOrigin, "good", 200},
				{"GET", "/open", bothOrigin, "", 200},
				{"GET", "/open", "https://evil.example", "", 200},
			} {
				message := fmt.Sprint(c)
				r, err := http.NewRequestWithContext(t.Context(), c.method, base+c.path, http.NoBody)
				require.NoError(t, err)
				r.Header.Set("Origin", c.origin)
				if c.method == "OPTIONS" {
					r.Header.Set("Access-Control-Request-Method", "GET")
				}
				if c.token != "" {
					r.Header.Set("Authorization", "Bearer "+c.token)
				}
				response, err := http.DefaultClient.Do(r)
				require.NoError(t, err)
				require.NoError(t, response.Body.Close())
				require.Equal(t, c.status, response.StatusCode, message)
				var allowed []string
				if c.origin != "https://evil.example" {
					allowed = []string{c.origin}
				}
				require.Equal(t, allowed, response.Header.Values("Access-Control-Allow-Origin"), message)
				require.Len(t, response.Header.Values("Access-Control-Allow-Credentials"), len(allowed), message)
				require.LessOrEqual(t, len(response.Header.Values("Vary")), 1, message)
			}
			requireNoTrap(t, process)
		})
	}
}
