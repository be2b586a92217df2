package oxd_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/e2e/devas"
)

func serveHTTP(t *testing.T, s *oxd.Server) string {
	t.Helper()
	handler, err := s.Handler()
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func TestHTTP(t *testing.T) {
	t.Parallel()
	base := serveHTTP(t, newKit(t, startOP(t, devas.Options{}), nil).Server)
	const forbidden = `{"status":"error","data":{"error":"403","error_description":"Forbidden Access","details":null}}`
	tests := []struct {
		name, method, path, authorization, body string
		status                                  int
		want                                    string
	}{
		{"health", "GET", "/health-check", "", "", 200, "running"},
		{"no token", "POST", "/get-rp", "", `{"oxd_id":"x"}`, 403, forbidden},
		{"a blank token", "POST", "/get-rp", "Bearer  ", `{"oxd_id":"x"}`, 403, forbidden},
		{"another scheme", "POST", "/get-rp", "Basic eDp5", `{"oxd_id":"x"}`, 403, forbidden},
		{"an error is 200", "POST", "/get-rp", "Bearer x", `{"oxd_id":"x"}`, 200, `"error":"invalid_oxd_id"`},
		{"the old name", "POST", "/update-site-registration", "Bearer x", `{"oxd_id":"x"}`, 200, `"error":"invalid_oxd_id"`},
		{"get-client-token needs none", "POST", "/get-client-token", "", `{}`, 200, `"error":"bad_request"`},
		{"setup-client needs none", "POST", "/setup-client", "", `{}`, 200, `"error":"invalid_authorization_redirect_uri"`},
		{"not JSON", "POST", "/get-rp", "Bearer x", `{`, 400, "the body is not JSON"},
		{"empty", "POST", "/get-rp", "Bearer x", ``, 400, "the body is not JSON"},
		{"a list", "POST", "/get-rp", "Bearer x", `[]`, 400, "params"},
		{"another type", "POST", "/get-rp", "Bearer x", `{"oxd_id":{}}`, 400, "oxd_id must be a string"},
		{"too large", "POST", "/get-rp", "Bearer x", `{"oxd_id":"` + strings.Repeat("x", 1<<20) + `"}`, 413, "larger than 1 MiB"},
		{"another method", "GET", "/get-rp", "Bearer x", "", 405, ""},
		{"no such command", "POST", "/get-nothing", "Bearer x", "{}", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, body := send(t, tt.method, base+tt.path, tt.authorization, tt.body, nil)
			require.Equal(t, tt.status, status, body)
			require.Contains(t, body, tt.want)
		})
	}
	t.Run("a web page of another site", func(t *testing.T) {
		t.Parallel()
		status, _ := send(t, "POST", base+"/setup-client", "", `{}`, http.Header{"Sec-Fetch-Site": {"cross-site"}})
		require.Equal(t, 403, status)
	})
}

func send(t *testing.T, method, address, authorization, body string, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	require.NoError(t, err)
	if header != nil {
		request.Header = header
	}
	request.Header.Set("Content-Type", "application/json; charset=UTF-8")
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(got)
}

// TestOpenAPI: the document is valid, names every command, and real answers are as
// it says.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	k := newKit(t, startOP(t, devas.Options{}), nil)
	_, document := send(t, "GET", serveHTTP(t, k.Server)+"/openapi.json", "", "", nil)
	api, err := openapi3.NewLoader().LoadFromData([]byte(document))
	require.NoError(t, err)
	require.NoError(t, api.Validate(t.Context()))
	for _, c := range oxd.Commands() {
		path := api.Paths.Find(c.Path())
		require.NotNil(t, path, c.Name)
		require.Equal(t, c.Open, path.Post.Security == nil, c.Name)
	}

	conforms := func(command string, status string, data map[string]any) {
		t.Helper()
		schema := api.Paths.Find("/" + strings.ReplaceAll(command, "_", "-")).Post.Responses.Status(200).Value.Content.Get("application/json").Schema.Value
		require.NoError(t, schema.VisitJSON(map[string]any{"status": status, "data": data}), command)
	}
	id := k.register(t, nil)
	got := k.tokens(t, id)
	conforms("get_tokens_by_code", "ok", got)
	site := map[string]any{"oxd_id": id}
	conforms("get_rp", "ok", k.ok(t, "get_rp", site))
	conforms("get_jwks", "ok", k.ok(t, "get_jwks", map[string]any{}))
	conforms("get_discovery", "ok", k.ok(t, "get_discovery", map[string]any{}))
	conforms("get_logout_uri", "ok", k.ok(t, "get_logout_uri", site))
	conforms("get_user_info", "ok", k.ok(t, "get_user_info", map[string]any{"oxd_id": id, "access_token": got["access_token"]}))
	conforms("introspect_access_token", "ok", k.ok(t, "introspect_access_token", map[string]any{"oxd_id": id, "access_token": got["access_token"]}))
	conforms("introspect_access_token", "ok", k.ok(t, "introspect_access_token", map[string]any{"oxd_id": id, "access_token": "none"}))
	setup := k.ok(t, "setup_client", map[string]any{"authorization_redirect_uri": callback})
	conforms("setup_client", "ok", setup)
	conforms("get_client_token", "ok", k.ok(t, "get_client_token", map[string]any{
		"client_id": setup["client_id"], "client_secret": setup["client_secret"], "op_host": k.op.Issuer(),
	}))
	conforms("get_rp", "error", k.fails(t, "invalid_oxd_id", "get_rp", map[string]any{"oxd_id": "none"}))
	var plain map[string]any
	require.NoError(t, json.Unmarshal([]byte(document), &plain))
}
