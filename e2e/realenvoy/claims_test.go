package realenvoy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/plugin/config"
)

// claimsAS calls every token active whose claims it knows.
func claimsAS(t *testing.T, claims map[string]string) *httptest.Server {
	t.Helper()
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		said, ok := claims[r.PostFormValue("token")]
		if !ok {
			fmt.Fprint(w, `{"active":false}`)
			return
		}
		fmt.Fprintf(w, `{"active":true,"sub":"bob"%s,"permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]}`, said)
	}))
	t.Cleanup(as.Close)
	return as
}

// claimsSite reports two claims of its tokens. One path is public, and one is watched only.
func claimsSite(t *testing.T, as *httptest.Server, unreported bool, more ...config.Site) string {
	t.Helper()
	authority := as.Listener.Addr().String()
	s := config.Site{
		Name: "photos", Hosts: []string{"*"}, Settings: config.Settings{Challenge: config.ChallengeBearer},
		ReportedClaims: []config.TokenClaim{{Name: "groups", Path: []string{"groups"}}, {Name: "plan", Path: []string{"plan"}}},
		AuthorizationServer: config.AuthorizationServer{
			URI:           "https://as.example.com",
			Introspection: config.Introspection{Endpoint: config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: "/introspect"}},
			Permission:    &config.Endpoint{Cluster: "as", Scheme: "http", Authority: authority, Path: "/permission"},
		},
		Resources: []config.Resource{
			{Name: "all", ID: "r-1", Conditions: []config.Condition{{Paths: []string{"/albums/**"}, Scopes: []string{"view"}}}},
			{Name: "other", ID: "r-2", Conditions: []config.Condition{{Paths: []string{"/watched"}, Scopes: []string{"view"}, Mode: config.ModeMonitor}}},
			{Name: "open", Conditions: []config.Condition{{Paths: []string{"/open"}, Public: true}}},
		},
	}
	document, err := json.Marshal(config.Config{Version: config.Version, Unreported: unreported, Sites: append([]config.Site{s}, more...)})
	require.NoError(t, err)
	return string(document)
}

// claimsReaders are filters of Envoy behind umagate's that act on claims: what is below
// /albums/staff is for the group "staff", and who has the plan "free" has two requests.
const claimsReaders = `
          - name: envoy.filters.http.set_filter_state
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config
              on_request_headers:
              - object_key: staff
                factory_key: envoy.string
                format_string:
                  text_format_source: {inline_string: "%CEL('staff' in filter_state['wasm.umagate.decision'].claims.groups)%"}
          - name: envoy.filters.http.rbac
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  staff:
                    permissions: [{any: true}]
                    principals: [{filter_state: {key: staff, string_match: {exact: "true"}}}]
                  others:
                    permissions: [{not_rule: {url_path: {path: {prefix: /albums/staff}}}}]
                    principals: [{any: true}]
          - name: envoy.filters.http.local_ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
              stat_prefix: plans
              filter_enabled: {default_value: {numerator: 100}}
              filter_enforced: {default_value: {numerator: 100}}
              token_bucket: {max_tokens: 1000, tokens_per_fill: 1000, fill_interval: 1s}
              rate_limits:
              - actions:
                - extension:
                    name: plan
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor
                      descriptor_key: plan
                      text: "filter_state['wasm.umagate.decision'].claims.plan[0]"
                      skip_if_error: true
              descriptors:
              - entries: [{key: plan, value: free}]
                token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 3600s}
`

// TestClaimsForOtherFilters: Envoy's RBAC, its rate limit, a header and the access log have
// the claims of a token that was judged and is good, and of no other.
func TestClaimsForOtherFilters(t *testing.T) {
	for _, unlogged := range []bool{false, true} {
		t.Run(fmt.Sprintf("access log off %v", unlogged), func(t *testing.T) {
			wasm, err := filepath.Abs("../../build/umagate.wasm")
			require.NoError(t, err)
			as := claimsAS(t, map[string]string{
				"staff": `,"groups":["crew","staff"],"plan":"gold","secret":"s3cr3t"`, "crew": `,"groups":["crew"],"plan":"free"`, "none": ``,
			})
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.Header.Get("X-Uma-Plan"))
			}))
			t.Cleanup(api.Close)
			log := filepath.Join(t.TempDir(), "access.log")
			rendered, err := envoyconf.AccessLog(log)
			require.NoError(t, err)
			document, err := protojson.Marshal(rendered[0])
			require.NoError(t, err)
			process, base := setup{
				Wasm: wasm, Config: claimsSite(t, as, unlogged), Clusters: cluster("as", as.Listener.Addr().String()), Upstream: api.Listener.Addr().String(),
				After:         claimsReaders[1:],
				VirtualHost:   `              request_headers_to_add: [{header: {key: x-uma-plan, value: "%CEL(filter_state['wasm.umagate.decision'].claims.plan[0])%"}, append_action: OVERWRITE_IF_EXISTS_OR_ADD}]`,
				AccessLogJSON: string(document),
			}.start(t)
			get := func(path, token string) (int, string) {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, http.NoBody)
				require.NoError(t, err)
				if token != "" {
					request.Header.Set("Authorization", "Bearer "+token)
				}
				request.Header.Set("X-Uma-Plan", "forged")
				response, err := http.DefaultClient.Do(request)
				require.NoError(t, err)
				defer response.Body.Close()
				var body [64]byte
				n, _ := response.Body.Read(body[:])
				return response.StatusCode, string(body[:n])
			}
			for _, tt := range []struct {
				path, token string
				status      int
				plan        string
			}{
				{"/albums/staff/1", "staff", 200, "gold"},
				{"/albums/staff/1", "crew", 403, "RBAC: access denied"},
				{"/albums/staff/1", "none", 403, "RBAC: access denied"},
				{"/albums/1", "crew", 200, "free"},
				{"/albums/1", "crew", 200, "free"},
				{"/albums/1", "crew", 429, "local_rate_limited"},
				{"/albums/1", "staff", 200, "gold"},
				{"/albums/1", "none", 200, ""},
				{"/open", "staff", 200, ""},    // nobody has looked at the token
				{"/watched", "staff", 200, ""}, // it would have been denied
			} {
				status, body := get(tt.path, tt.token)
				require.Equal(t, tt.status, status, "%s %s: %s", tt.path, tt.token, process.LastWords())
				require.Equal(t, tt.plan, body, "%s %s", tt.path, tt.token)
			}
			lines := logLines(t, log, 10)
			first, _ := lines[0]["decision"].(map[string]any)
			require.Equal(t, map[string]any{"groups": []any{"crew", "staff"}, "plan": []any{"gold"}}, first["claims"])
			for _, line := range lines[7:] {
				decision, _ := line["decision"].(map[string]any)
				require.NotNil(t, decision)
				require.Empty(t, decision["claims"])
			}
			all, err := os.ReadFile(log)
			require.NoError(t, err)
			require.NotContains(t, string(all), "s3cr3t")
		})
	}
}
