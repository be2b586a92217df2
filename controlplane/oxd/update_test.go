package oxd_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// pageUpdate is the request of the protocol's page, comments apart.
const pageUpdate = `{
	"authorization_redirect_uri": "https://client.example.org/cb",
	"post_logout_redirect_uri": "https://client.example.org/cb",
	"client_frontchannel_logout_uris":["https://client.example.org/logout"],
	"response_type":["code"],
	"grant_types":[],
	"scope": ["openid", "profile"],
	"acr_values": ["duo"],
	"client_name": "",
	"client_secret_expires_at":1335205592410,
	"client_jwks_uri": "",
	"client_token_endpoint_auth_method": "",
	"client_request_uris":[],
	"client_sector_identifier_uri":"",
	"contacts":["foo_bar@spam.org"],
	"ui_locales":[],
	"claims_locales":[]
}`

// TestUpdateAsOnThePage: what the OP can do is done, and that it alone says when a
// secret expires is told where the protocol has room.
func TestUpdateAsOnThePage(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, devas.Options{Dialect: dialect})
			id := k.register(t, map[string]any{"scope": []string{"openid"}})
			var params map[string]any
			require.NoError(t, json.Unmarshal([]byte(pageUpdate), &params))
			params["oxd_id"] = id
			require.Equal(t, map[string]any{"oxd_id": id, "op_host": k.op.Issuer()}, k.ok(t, "update_site", params))
			rp := k.ok(t, "get_rp", map[string]any{"oxd_id": id})
			require.Equal(t, "https://client.example.org/cb", rp["authorization_redirect_uri"])

			handler, err := k.Handler()
			require.NoError(t, err)
			post := func(change map[string]any) []string {
				all := maps.Clone(params)
				maps.Copy(all, change)
				raw, err := json.Marshal(all)
				require.NoError(t, err)
				req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/update-site", strings.NewReader(string(raw)))
				req.Header.Set("Authorization", "Bearer any")
				got := httptest.NewRecorder()
				handler.ServeHTTP(got, req)
				require.Equal(t, http.StatusOK, got.Code)
				require.JSONEq(t, `{"status":"ok","data":{"oxd_id":"`+id+`","op_host":"`+k.op.Issuer()+`"}}`, got.Body.String())
				return got.Header().Values("Warning")
			}
			require.Equal(t, []string{`199 - "client_secret_expires_at has no effect at this OP, which alone says when a secret expires (RFC 7592 section 2.2)"`}, post(nil))
			require.Empty(t, post(map[string]any{"client_secret_expires_at": 0}))
			require.Len(t, post(map[string]any{"client_secret_expires_at": time.Now().Add(time.Hour).UnixMilli()}), 1)
		})
	}
}
