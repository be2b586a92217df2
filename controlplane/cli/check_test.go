package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

func TestCheckOfAssumedScopesAsksNobody(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"UMAGATE_TOKEN": "of another time"}
	code, out, stderr := run(t, vars, "check", "-c", example, "--host", "photos.example.com", "--path", "/albums/1", "--scopes", "view")
	require.Equal(t, cli.ExitOK, code, out+stderr)
}

// TestCheckInstances explains requests for resources with one registration each.
func TestCheckInstances(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  resources:
  - {name: "album-{id}", conditions: [{paths: ["/albums/{id}"], methods: [GET], scopes: [view]}]}
`), 0o600))
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no token", []string{"--path", "/albums/7"}, cli.ExitDenied, []string{"the registration of album-7", "resource album-7, scopes view", "answer     401"}},
		{"a right to any", []string{"--path", "/albums/7", "--scopes", "view"}, cli.ExitOK, []string{"allow (permitted)", "x-uma-resource-id: album-7"}},
		{"a right to this one", []string{"--path", "/albums/7", "--scopes", "view", "--resource", "album-7"}, cli.ExitOK, []string{"allow (permitted)"}},
		{"not registered", []string{"--path", "/albums/7", "--unregistered"}, cli.ExitDenied, []string{"there is none", "resource_unknown", "answer     403"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, stderr := run(t, nil, append([]string{"check", "-c", path, "--host", "photos.example.com"}, tt.args...)...)
			require.Equal(t, tt.code, code, out+stderr)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
		})
	}
	code, out, stderr := run(t, nil, "render", "envoy", "--offline", "-c", path)
	require.NotEqual(t, cli.ExitOK, code, out)
	require.Contains(t, stderr, "render bootstrap")
}

// TestCheckMessages explains requests that bring an MCP server a message.
func TestCheckMessages(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "umagate.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
sites:
- name: tools
  hosts: [tools.example.com]
  mcp_lists: permitted
  authorization_server: {issuer: "https://as.example.com", client: {register: {}}}
  resources:
  - name: server
    conditions:
    - {paths: [/mcp], scopes: [use]}
    - {paths: [/mcp], scopes: [view], mcp: {tools: ["get_*"], resources: ["file:///docs/*"], prompts: [summary]}}
    - {paths: [/mcp], scopes: [edit], mcp: {tools: ["delete_*"]}}
`), 0o600))
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a tool", []string{"--scopes", "view", "--mcp-tool", "get_a"}, cli.ExitOK, []string{"request    POST", "mcp        tool get_a", "condition  tools get_*; resources file:///docs/*; prompts summary needs one of view", "allow (permitted)"}},
		{"a tool without its scope", []string{"--scopes", "view", "--mcp-tool", "delete_a"}, cli.ExitDenied, []string{"insufficient_permission", "scopes edit"}},
		{"a tool that none names", []string{"--scopes", "view", "--mcp-tool", "drop"}, cli.ExitDenied, []string{"mcp_not_covered", "answer     403"}},
		{"no token", []string{"--mcp-tool", "delete_a"}, cli.ExitDenied, []string{"no_token", "scopes use"}},
		{"a resource", []string{"--scopes", "view", "--mcp-resource", "file:///docs/a"}, cli.ExitOK, []string{"mcp        resource file:///docs/a"}},
		{"a prompt", []string{"--scopes", "view", "--mcp-prompt", "summary"}, cli.ExitOK, []string{"mcp        prompt summary"}},
		{"a method", []string{"--scopes", "use", "--mcp-method", "initialize"}, cli.ExitOK, []string{"mcp        method initialize"}},
		{"a list", []string{"--scopes", "use,view", "--mcp-method", "tools/list"}, cli.ExitOK, []string{"shows      of the list only: get_*", "allow (permitted)"}},
		{"an empty list", []string{"--scopes", "use", "--mcp-method", "tools/list"}, cli.ExitOK, []string{"shows      of the list only: nothing"}},
		{"as it is", []string{"--scopes", "view", "--mcp-message", `[{}]`}, cli.ExitDenied, []string{"mcp        ambiguous: not_an_object", "mcp_unreadable", "answer     400"}},
		{"nothing", []string{"--scopes", "view", "-X", "POST", "-H", "content-type: application/json"}, cli.ExitDenied, []string{"mcp        ambiguous: no_body"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, stderr := run(t, nil, append([]string{"check", "-c", path, "--host", "tools.example.com", "--path", "/mcp"}, tt.args...)...)
			require.Equal(t, tt.code, code, out+stderr)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"no token", []string{"--path", "/albums/1"}, cli.ExitDenied, []string{"no_token", "asks       permission ticket", "resource albums, scopes view", "answer     401", "www-authenticate: UMA realm="}},
		{"the scope it needs", []string{"--path", "/albums/1", "--scopes", "view"}, cli.ExitOK, []string{"allow (permitted)", "x-uma-scopes: view"}},
		{"one of two", []string{"-X", "PUT", "--path", "/albums/1", "--scopes", "view"}, cli.ExitDenied, []string{"insufficient_permission", "scopes edit view"}},
		{"both", []string{"-X", "PUT", "--path", "/albums/1", "--scopes", "view,edit"}, cli.ExitOK, []string{"allow (permitted)"}},
		{"another resource", []string{"--path", "/albums/1", "--scopes", "view", "--resource", "health"}, cli.ExitDenied, []string{"insufficient_permission"}},
		{"public", []string{"--path", "/healthz"}, cli.ExitOK, []string{"it is public", "allow (public)"}},
		{"unmatched", []string{"--path", "/other"}, cli.ExitDenied, []string{"unmatched_path", "answer     403"}},
		{"ambiguous", []string{"--path", "/albums/../albums/1"}, cli.ExitDenied, []string{"ambiguous: dot_segment", "answer     400"}},
		{"another host", []string{"--host", "other.example.com", "--path", "/healthz"}, cli.ExitDenied, []string{"none has this host"}},
		{"forged header", []string{"--path", "/healthz", "-H", "X-UMA-Subject: eve"}, cli.ExitOK, []string{"removes    x-uma-subject"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"check", "-c", example, "--host", "photos.example.com:8443"}, tt.args...)
			code, out, stderr := run(t, nil, args...)
			require.Equal(t, tt.code, code, out+stderr)
			for _, want := range tt.want {
				require.Contains(t, out, want)
			}
		})
	}
	t.Run("denied to all", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(example)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "umagate.yaml")
		require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "public: true", "deny: true")), 0o600))
		code, out, stderr := run(t, nil, "check", "-c", path, "--host", "localhost", "--path", "/healthz", "--scopes", "view")
		require.Equal(t, cli.ExitDenied, code, out+stderr)
		require.Contains(t, out, "any method needs what nobody has: it is denied")
		require.Contains(t, out, "deny (denied)")
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		_, out, _ := run(t, nil, "check", "-c", example, "--host", "localhost", "--path", "/albums/1", "-o", "json")
		var got map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Equal(t, "photos", got["site"])
		require.Equal(t, false, got["allowed"])
	})
	t.Run("a resource that the site has not", func(t *testing.T) {
		t.Parallel()
		code, _, stderr := run(t, nil, "check", "-c", example, "--host", "localhost", "--path", "/albums/1", "--scopes", "view", "--resource", "x")
		require.Equal(t, cli.ExitFailed, code)
		require.Contains(t, stderr, `has no resource "x"`)
	})
}
