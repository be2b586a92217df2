package mcp_test

import (
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process"
)

// everything is the Go SDK's server for that suite, as published.
const everything = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"

var errEnded = errors.New("the server for the suite has ended")

// conforming reads every message, and has every list fetched.
const conforming = `
  require: oauth_scopes
  mcp_lists: permitted
  resources:
  - name: everything
    conditions:
    - {paths: [/mcp], scopes: [use]}
    - {paths: [/mcp], mcp: {tools: ["*"], prompts: ["*"], resources: ["*"], methods: ["*"]}, scopes: [use]}
`

// TestConformance: @modelcontextprotocol/conformance finds the same of a server with umagate
// before it as without.
func TestConformance(t *testing.T) {
	t.Parallel()
	clients := installed(t)
	upstream := "http://" + startEverything(t)
	as := devAS(t)
	require.NoError(t, as.AddClient(devas.Client{ID: "suite", Secret: "s", Metadata: devas.Metadata{TokenEndpointAuthMethod: devas.AuthPost}}))
	w := newWorldOf(t, reserve(t), upstream, as.Issuer(), "{register: {}}")
	w.change(conforming)
	var token struct {
		Value string `json:"access_token"`
	}
	post(t, as.Issuer()+"/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {"suite"}, "client_secret": {"s"}, "scope": {"use"}, "resource": {w.url},
	}, &token)
	suite := func(to string) []string {
		command := exec.CommandContext(t.Context(), clients.Node, clients.Conformance, "server", "--url", to)
		command.Dir = t.TempDir() // where it may write results
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		_, summary, ok := strings.Cut(string(out), "=== SUMMARY ===")
		require.True(t, ok, "%s", out)
		return strings.Split(strings.TrimSpace(summary), "\n")
	}
	found := suite(upstream + serverPath)
	require.Greater(t, len(found), 25, "%v", found)
	require.Equal(t, found, suite(withToken(t, w.url, token.Value)))
	t.Log(found[len(found)-1])
}

// startEverything runs the server until the end of the test.
func startEverything(t *testing.T) (address string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "everything")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, everything).CombinedOutput()
	require.NoError(t, err, "%s", out)
	address = reserve(t)
	child, err := process.Start(exec.Command(binary, "-stateless=false", "-http", address), filepath.Join(t.TempDir(), "everything.log")) //nolint:noctx // ended below
	require.NoError(t, err)
	t.Cleanup(func() { child.Stop(syscall.SIGTERM) })
	require.NoError(t, child.Await(t.Context(), time.Minute, errEnded, func(ctx context.Context) bool {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			return false
		}
		return conn.Close() == nil
	}))
	return address
}

// withToken is an address at which each request gets a token, which the suite has none of, and
// is otherwise as it came.
func withToken(t *testing.T, to, token string) string {
	t.Helper()
	target, err := url.Parse(to)
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, r.In.Host
		r.Out.Header.Set("Authorization", "Bearer "+token)
	}})
	t.Cleanup(proxy.Close)
	return proxy.URL + target.Path
}
