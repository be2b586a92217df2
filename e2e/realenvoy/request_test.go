package realenvoy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// raw sends bytes and returns the answer.
func raw(t *testing.T, base, request string) (response *http.Response, body string) {
	t.Helper()
	connection, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	require.NoError(t, err)
	defer connection.Close()
	require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(connection, request)
	require.NoError(t, err)
	response, err = http.ReadResponse(bufio.NewReader(connection), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response, string(text)
}

// What a filter is given of odd requests, and which of them Envoy answers
// itself. The filter's own rules rest on this; its tests on the native core use
// the same forms.
func TestWhatTheFilterSees(t *testing.T) {
	const strict = `
          normalize_path: true
          merge_slashes: true
          path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD
          upgrade_configs: [{upgrade_type: websocket}]
`
	tests := []struct {
		name, hcm, request string
		status             int
		want               []string // "name=value", each among the headers
		absent             string
	}{
		{name: "two Authorization headers become one", request: "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n", status: 200, want: []string{"authorization=Bearer a,Bearer b"}},
		{name: "others stay two", request: "GET /a HTTP/1.1\r\nHost: h\r\nx-uma-s: a\r\nX-UMA-s: b\r\nX_Uma_S: c\r\n", status: 200, want: []string{"x-uma-s=a", "x-uma-s=b", "x_uma_s=c"}},
		{name: "two hosts", request: "GET /a HTTP/1.1\r\nHost: h\r\nHost: i\r\n", status: 200, want: []string{":authority=h,i"}},
		{name: "empty host", request: "GET /a HTTP/1.1\r\nHost:\r\n", status: 200, want: []string{":authority="}},
		{name: "odd host", request: "GET /a HTTP/1.1\r\nHost: User@HOST.:80\r\n", status: 200, want: []string{":authority=User@HOST.:80"}},
		{name: "no host", request: "GET /a HTTP/1.1\r\n", status: 400},
		{name: "two lengths", request: "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n", status: 400},
		{name: "length and chunks", request: "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", status: 400},
		{name: "fragment", request: "GET /a#b HTTP/1.1\r\nHost: h\r\n", status: 400},
		{name: "absolute form", request: "GET http://other:81/a?b HTTP/1.1\r\nHost: h\r\n", status: 200, want: []string{":authority=other:81", ":path=/a?b"}},
		{name: "absolute form without path", request: "GET http://other HTTP/1.1\r\nHost: h\r\n", status: 200, want: []string{":authority=other", ":path=/"}},
		{name: "scheme of the absolute form", request: "GET https://other/a HTTP/1.1\r\nHost: h\r\n", status: 200, want: []string{":scheme=https"}},
		{name: "CONNECT has no path", request: "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n", status: 200, want: []string{":method=CONNECT", ":authority=other:443"}, absent: ":path"},
		{name: "OPTIONS *", request: "OPTIONS * HTTP/1.1\r\nHost: h\r\n", status: 404},
		{name: "no leading slash", request: "GET a HTTP/1.1\r\nHost: h\r\n", status: 400},
		{name: "unknown method", request: "FOO /a HTTP/1.1\r\nHost: h\r\n", status: 400},
		{name: "byte above 127", request: "GET /a\xff HTTP/1.1\r\nHost: h\r\n", status: 400},
		{name: "HTTP/1.0", request: "GET /a HTTP/1.0\r\nHost: h\r\n", status: 426},
		{name: "upgrade that is not configured", request: "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", status: 403},
		{name: "upgrade", hcm: strict, request: "GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", status: 200, want: []string{"upgrade=websocket"}},
		{name: "paths arrive raw", request: "GET /a/../b//c/%2e%2e/%2Fe%5cf\\g;h=1%00%zz HTTP/1.1\r\nHost: h\r\n", status: 200, want: []string{`:path=/a/../b//c/%2e%2e/%2Fe%5cf\g;h=1%00%zz`}},
		{name: "paths arrive normalised", hcm: strict, request: "GET /a/../b/./c//d/%2e%2e/%2Fe%5cf\\g;h=1 HTTP/1.1\r\nHost: h\r\n", status: 200, want: []string{`:path=/b/c/e/f/g;h=1`}},
		{name: "an unknown Expect passes", request: "GET /a HTTP/1.1\r\nHost: h\r\nExpect: foo\r\n", status: 200, want: []string{"expect=foo"}},
		{name: "x-envoy-original-path passes", request: "GET /a HTTP/1.1\r\nHost: h\r\nx-envoy-original-path: /b\r\n", status: 200, want: []string{"x-envoy-original-path=/b"}},
		{name: "outer white space is cut", request: "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization:\tBearer  a\t\r\n", status: 200, want: []string{"authorization=Bearer  a"}},
	}
	bases := map[string]string{}
	for _, hcm := range []string{"", strict} {
		_, bases[hcm] = setup{HCM: hcm}.start(t)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, body := raw(t, bases[tt.hcm], tt.request+"x-probe: headers\r\n\r\n")
			require.Equal(t, tt.status, response.StatusCode)
			var got []string
			for _, pair := range gjson.Get(body, "headers").Array() {
				got = append(got, pair.Get("0").Str+"="+pair.Get("1").Str)
			}
			for _, want := range tt.want {
				require.Contains(t, got, want)
			}
			require.False(t, tt.absent != "" && slices.ContainsFunc(got, func(h string) bool { return strings.HasPrefix(h, tt.absent+"=") }))
		})
	}
}

// What becomes of the filter's own answer to a gRPC client.
func TestLocalReplyForGRPC(t *testing.T) {
	_, base := setup{}.start(t)
	tests := []struct {
		name, contentType, command string
		status                     int
		grpcStatus, grpcMessage    string
	}{
		{"derived from 401", "application/grpc", "local", 200, "16", `{"reason":"probe"}`},
		{"given", "application/grpc+proto", "local 07", 200, "7", `{"reason":"probe"}`},
		{"not gRPC", "application/json", "local 07", 401, "", ""},
		{"gRPC-Web is not gRPC", "application/grpc-web", "local 07", 401, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			response, _ := raw(t, base, "POST /a HTTP/1.1\r\nHost: h\r\ncontent-type: "+tt.contentType+"\r\nContent-Length: 0\r\nx-probe: "+tt.command+"\r\n\r\n")
			require.Equal(t, tt.status, response.StatusCode)
			require.Equal(t, tt.grpcStatus, response.Header.Get("grpc-status"))
			require.Equal(t, tt.grpcMessage, response.Header.Get("grpc-message"))
			require.Equal(t, `UMA realm="r", as_uri="https://as", ticket="t"`, response.Header.Get("www-authenticate"))
		})
	}
}
