package oxd_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/demo/devas"
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
		{"another method", "GET", "/get-rp", "Bearer x", "", 405, `"error":"bad_request"`},
		{"a method for a document", "POST", "/health-check", "Bearer x", "", 405, `"error":"bad_request"`},
		{"no such command", "POST", "/get-nothing", "Bearer x", "{}", 404, `"error":"unsupported_operation"`},
		{"a path that others clean", "POST", "//get-rp", "Bearer x", "{}", 404, `"error":"unsupported_operation"`},
		{"the root", "GET", "/", "", "", 404, `"error":"unsupported_operation"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			status, body := send(t, tt.method, base+tt.path, tt.authorization, tt.body, nil)
			require.Equal(t, tt.status, status, body)
			require.Contains(t, body, tt.want)
			if tt.name != "health" {
				enveloped(t, body)
			}
		})
	}
	t.Run("a web page of another site", func(t *testing.T) {
		t.Parallel()
		status, body := send(t, "POST", base+"/setup-client", "", `{}`, http.Header{"Sec-Fetch-Site": {"cross-site"}})
		require.Equal(t, 403, status)
		require.JSONEq(t, forbidden, body)
	})
}

// enveloped: whatever the status, it is what clients of oxd read.
func enveloped(t *testing.T, body string) {
	t.Helper()
	var got struct {
		Status string          `json:"status"`
		Data   *map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal([]byte(body), &got), body)
	require.Equal(t, "error", got.Status)
	require.NotNil(t, got.Data)
	for _, member := range []string{"error", "error_description", "details"} {
		require.Contains(t, *got.Data, member)
	}
}

// TestHTTPOfHalfABody: a body that does not arrive is told of, and of another host.
func TestHTTPOfHalfABody(t *testing.T) {
	t.Parallel()
	k := newKit(t, startOP(t, devas.Options{}), nil)
	base := serveHTTP(t, k.Server)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "POST /get-rp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\nContent-Length: 100\r\n\r\n{\"oxd_id\":")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	require.Equal(t, http.StatusRequestTimeout, response.StatusCode)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	enveloped(t, string(body))

	handler, err := k.Handler()
	require.NoError(t, err)
	handler = api.LoopbackNames(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, handler, k.Misdirected())
	for _, tt := range []struct {
		name   string
		host   string
		body   io.Reader
		status int
	}{
		{"too slow", "localhost", iotest.ErrReader(os.ErrDeadlineExceeded), http.StatusRequestTimeout},
		{"another host", "rebound.example.com", strings.NewReader("{}"), http.StatusMisdirectedRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+tt.host+"/get-rp", tt.body)
		request.Header.Set("Authorization", "Bearer x")
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		require.Equal(t, tt.status, recorder.Code, tt.name)
		enveloped(t, recorder.Body.String())
	}
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
