package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

const example = "../../envoy/umagate.yaml"

func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	commands := [][]string{
		{},
		{"validate"},
		{"check"},
		{"plan"},
		{"apply"},
		{"backup"},
		{"restore"},
		{"rekey"},
		{"deregister"},
		{"login"},
		{"keys"},
		{"keys", "list"},
		{"keys", "rotate"},
		{"import"},
		{"import", "openapi"},
		{"import", "keycloak-enforcer"},
		{"import", "gluu"},
		{"render"},
		{"render", "envoy"},
		{"render", "bootstrap"},
		{"render", "plugin-config"},
		{"render", "json-schema"},
		{"revoke"},
		{"revoke", "list"},
		{"revoke", "undo"},
		{"rpt"},
		{"serve"},
		{"agent"},
		{"status"},
		{"acknowledge"},
		{"audit"},
		{"version"},
	}
	for _, command := range commands {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			t.Parallel()
			code, out, stderr := run(t, nil, append(command, "--help")...)
			require.Equal(t, cli.ExitOK, code, stderr)
			require.Contains(t, out, "Examples:\n  ")
			require.Contains(t, out, "umagate "+strings.Join(command, " "))
		})
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	tests := [][]string{
		{"validat"},
		{"validate", "--nope"},
		{"validate", "extra"},
		{"rpt"},
		{"check"},
		{"revoke"},
		{"revoke", "--token", "a", "--subject", "b"},
		{"revoke", "--token", "a", "--issued-before", "now"},
		{"revoke", "--session", "a", "--issued-before", "now"},
		{"revoke", "--issued-before", "yesterday"},
		{"revoke", "--token", "-"},
		{"revoke", "--subject", "a", "--at-as"},
		{"revoke", "undo"},
		{"version", "--output", "xml"},
		{"render", "envoi"},
		{"acknowledge", "albums"},
		{"acknowledge", "--site", "photos"},
		{"import", "gluu"},
		{"import", "openapi", "--resource-by", "colour", "x"},
		{"rpt", "--grant", "none", "http://127.0.0.1:1"},
		{"rpt", "--user", "alice", "http://127.0.0.1:1"},
		{"rpt", "-H", "nothing", "http://127.0.0.1:1"},
		{"check", "-c", example, "--host", "a", "--scopes", "a", "--token", "b"},
	}
	for _, args := range tests {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			code, out, stderr := run(t, nil, args...)
			require.Equal(t, cli.ExitUsage, code, out+stderr)
			require.Empty(t, out)
			require.Regexp(t, `(?m)^umagate( [a-z-]+)*: `, stderr)
		})
	}
}

// TestErrorsNameTheCommand: whichever it is, and however deep.
func TestErrorsNameTheCommand(t *testing.T) {
	t.Parallel()
	var paths []string
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		paths = append(paths, c.CommandPath())
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(cli.Command(cli.Environment{}))
	require.Contains(t, paths, "umagate import oxd")
	for _, path := range paths {
		code, _, stderr := run(t, nil, append(strings.Fields(path)[1:], "--no-such-flag")...)
		require.Equal(t, cli.ExitUsage, code)
		require.Equal(t, path+": unknown flag: --no-such-flag\nSee: "+path+" --help\n", stderr)
	}
	for _, args := range [][]string{{"keys", "list"}, {"render", "envoy"}, {"status"}, {"rekey"}} {
		code, _, stderr := run(t, nil, append(args, "-c", filepath.Join(t.TempDir(), "none.yaml"))...)
		require.Equal(t, cli.ExitFailed, code)
		require.Contains(t, stderr, "umagate "+strings.Join(args, " ")+": ")
	}
}

// TestWatchInterval: as people write it; nothing answers there, which is shown.
func TestWatchInterval(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--watch"}, {"--watch", "1s"}, {"--watch=1s"}, {"--watch", "5"}, {"--watch=500ms"}, {"--watch", "1m"}} {
		ctx, cancel := context.WithCancel(t.Context())
		var stderr writer
		stderr.wrote = cancel
		code := cli.Run(ctx, cli.Environment{Stdout: io.Discard, Stderr: &stderr}, append([]string{"status", "--server", "http://127.0.0.1:1"}, args...))
		require.Equal(t, cli.ExitOK, code, "%v: %s", args, stderr.String())
		require.Contains(t, stderr.String(), "umagate status: ")
		require.Contains(t, stderr.String(), "is umagate serve running?")
	}
	for _, args := range [][]string{{"--watch", "soon"}, {"--watch=0"}, {"--watch=-1s"}, {"--watch", "1ms"}} {
		code, _, stderr := run(t, nil, append([]string{"status", "--server", "http://127.0.0.1:1"}, args...)...)
		require.Equal(t, cli.ExitUsage, code, args)
		require.Contains(t, stderr, "write a duration such as 2s")
	}
	for _, args := range [][]string{{"1s"}, {"--watch", "1s", "2s"}} {
		code, _, stderr := run(t, nil, append([]string{"status"}, args...)...)
		require.Equal(t, cli.ExitUsage, code, args)
		require.Contains(t, stderr, "unknown command")
	}
}

// writer tells when something was written.
type writer struct {
	bytes.Buffer
	wrote func()
}

func (w *writer) Write(p []byte) (int, error) {
	w.wrote()
	return w.Buffer.Write(p)
}

// TestSecretsInAReadableFile: the shell makes the file of "> envoy.yaml", for everybody.
func TestSecretsInAReadableFile(t *testing.T) {
	t.Parallel()
	for mode, warned := range map[os.FileMode]bool{0o644: true, 0o640: true, 0o600: false} {
		name := filepath.Join(t.TempDir(), "envoy.yaml")
		to, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		require.NoError(t, to.Chmod(mode))
		var stderr bytes.Buffer
		env := cli.Environment{Stdout: to, Stderr: &stderr, LookupEnv: func(string) (string, bool) { return "photos-secret-1", true }}
		code := cli.Run(t.Context(), env, []string{"render", "envoy", "--offline", "-c", "../site/testdata/examples/static.yaml"})
		require.Equal(t, cli.ExitOK, code, stderr.String())
		require.NoError(t, to.Close())
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(text), "photos-secret-1")
		require.Equal(t, warned, strings.Contains(stderr.String(), "warning: standard output is a file that others can read"), stderr.String())
		require.Equal(t, warned, strings.Contains(stderr.String(), "--out FILE"))
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	t.Run("valid", func(t *testing.T) {
		t.Parallel()
		code, out, stderr := run(t, nil, "validate", "-c", example)
		require.Equal(t, cli.ExitOK, code, out+stderr)
		require.Equal(t, example+": valid: 1 site, 2 resources, 3 conditions\n", out)
	})
	t.Run("faults with place, excerpt and remedy", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(example)
		require.NoError(t, err)
		before, _, found := strings.Cut(string(text), "  hosts:")
		require.True(t, found)
		line := strconv.Itoa(strings.Count(before, "\n") + 1)
		path := file(t, strings.Replace(string(text), "  hosts:", "  hots:", 1))
		code, out, _ := run(t, nil, "validate", "-c", path)
		require.Equal(t, cli.ExitFailed, code)
		require.Contains(t, out, path+":"+line+":3: error: sites[0].hots: unknown key \"hots\"\n"+
			"   "+line+" |   hots: [photos.example.com, localhost]\n"+
			"      |   ^\n"+
			"      = did you mean \"hosts\"?")
		require.Contains(t, out, path+": 1 fault\n", "that the site has no host then is not another one")
	})
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		path := file(t, "sites: []\nlisten: {api: x}\n")
		code, out, stderr := run(t, nil, "validate", "-c", path, "-o", "json")
		require.Equal(t, cli.ExitFailed, code)
		require.Empty(t, stderr)
		var got struct {
			Valid  bool `json:"valid"`
			Faults []struct {
				File, Path, Problem, Remedy string
				Line, Column                int
			} `json:"faults"`
			Warnings []any `json:"warnings"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.False(t, got.Valid)
		require.Len(t, got.Faults, 2)
		require.Equal(t, "listen.api", got.Faults[1].Path)
		require.Equal(t, 2, got.Faults[1].Line)
		require.NotNil(t, got.Warnings)
	})
	t.Run("strict", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(example)
		require.NoError(t, err)
		path := file(t, "unknown_hosts: allow\n"+string(text))
		code, out, _ := run(t, nil, "validate", "-c", path)
		require.Equal(t, cli.ExitOK, code, out)
		require.Contains(t, out, ":1:16: warning: unknown_hosts:")
		code, _, _ = run(t, nil, "validate", "-c", path, "--strict")
		require.Equal(t, cli.ExitFailed, code)
	})
	t.Run("secrets that are elsewhere", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(example)
		require.NoError(t, err)
		path := file(t, strings.Replace(string(text), "register: {}", "register: {initial_access_token: {file: nowhere}}", 1))
		code, out, _ := run(t, nil, "validate", "-c", path)
		require.Equal(t, cli.ExitFailed, code)
		require.Contains(t, out, "beside the configuration")
		code, out, _ = run(t, nil, "validate", "-c", path, "--skip-secrets")
		require.Equal(t, cli.ExitOK, code, out)
	})
	for name, client := range map[string]string{
		"warning":        "{id: rs, secret: hunter2}",
		"fault after it": "{id: rs, secret: hunter2, tokn: x}",
		"fault before":   "{idd: rs, secret: 'hunter2'}",
		"misspelt key":   "{id: rs, client_secret: hunter2}",
		"quoted key":     `{id: rs, "secret": "hunter2", x: y}`,
		"next line":      "\n        id: rs\n        secret:\n          hunter2",
		"wrong kind":     "{id: rs, secret: [hunter2]}",
		"other source":   "{id: rs, secret: {value: hunter2}}",
	} {
		t.Run("excerpt without the secret/"+name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(example)
			require.NoError(t, err)
			before, after, ok := strings.Cut(string(text), "    client:\n")
			require.True(t, ok)
			_, after, ok = strings.Cut(after, "\n")
			require.True(t, ok)
			path := file(t, before+"    client: "+client+"\n"+after)
			_, out, stderr := run(t, nil, "validate", "-c", path)
			require.Contains(t, out, "authorization_server.client", "it is told of")
			require.NotContains(t, out+stderr, "hunter2")
			_, out, stderr = run(t, nil, "render", "bootstrap", "-c", path)
			require.NotContains(t, out+stderr, "hunter2")
		})
	}
	for name, tt := range map[string]struct{ line, shown string }{
		"false":           {"  protect_commands_with_access_token: false", "protect_commands_with_access_token: false\n"},
		"with a comment":  {"  protect_commands_with_access_token: false # at first", "protect_commands_with_access_token: false # at first\n"},
		"not of YAML 1.2": {"  protect_commands_with_access_token: no", "protect_commands_with_access_token: no\n"},
		"a secret":        {"  op_hosts: [{url: 'https://op', initial_access_token: falsehood, x: y}]", "initial_access_token: [redacted]\n"},
	} {
		t.Run("excerpt of a boolean/"+name, func(t *testing.T) {
			t.Parallel()
			path := file(t, "oxd:\n  http: 127.0.0.1:1\n  op_hosts: [{url: 'https://op.example.com'}]\n"+tt.line+"\n")
			if name == "a secret" {
				path = file(t, "oxd:\n  http: 127.0.0.1:1\n"+tt.line+"\n")
			}
			_, out, _ := run(t, nil, "validate", "-c", path)
			require.Contains(t, out, tt.shown)
			require.NotContains(t, out, "falsehood")
		})
	}
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		code, out, stderr := run(t, nil, "validate", "-c", filepath.Join(t.TempDir(), "none.yaml"))
		require.Equal(t, cli.ExitFailed, code)
		require.Empty(t, out)
		require.Contains(t, stderr, "name the file with -c FILE")
	})
}

func TestRender(t *testing.T) {
	t.Parallel()
	static := "../site/testdata/examples/static.yaml"
	vars := map[string]string{"CLIENT_SECRET": "hunter2"}
	t.Run("envoy", func(t *testing.T) {
		t.Parallel()
		code, out, stderr := run(t, vars, "render", "envoy", "--offline", "-c", static, "--wasm", "/other/umagate.wasm")
		require.Equal(t, cli.ExitOK, code, stderr)
		require.Contains(t, out, "filename: /other/umagate.wasm")
		require.Contains(t, out, "hunter2")
	})
	t.Run("to a file that its owner alone can read", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "envoy.json")
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		code, out, stderr := run(t, vars, "render", "envoy", "--offline", "-c", static, "-o", "json", "--out", path)
		require.Equal(t, cli.ExitOK, code, stderr)
		require.Empty(t, out)
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, json.Valid(text))
	})
	t.Run("bootstrap and plugin-config have no secret", func(t *testing.T) {
		t.Parallel()
		for _, args := range [][]string{{"bootstrap"}, {"plugin-config", "--offline"}} {
			code, out, stderr := run(t, vars, append([]string{"render", args[0], "-c", static}, args[1:]...)...)
			require.Equal(t, cli.ExitOK, code, stderr)
			require.NotEmpty(t, out)
			require.NotContains(t, out+stderr, "hunter2")
		}
	})
	t.Run("a client that nobody registered", func(t *testing.T) {
		t.Parallel()
		path := file(t, "sites:\n- name: a\n  hosts: [a]\n  upstream: http://127.0.0.1:1\n  authorization_server: {issuer: \"https://as\", dialect: keycloak, client: {register: {}}}\n  resources: [{name: r, conditions: [{paths: [\"/\"], scopes: [s]}]}]\n")
		code, _, stderr := run(t, nil, "render", "envoy", "--offline", "-c", path)
		require.Equal(t, cli.ExitFailed, code)
		require.Contains(t, stderr, "client {id, secret}")
		require.Contains(t, stderr, "resource r has no id")
	})
	t.Run("json-schema", func(t *testing.T) {
		t.Parallel()
		_, out, _ := run(t, nil, "render", "json-schema")
		require.True(t, json.Valid([]byte(out)))
	})
}

// TestAcknowledge: registrations of a site, or Envoys.
func TestAcknowledge(t *testing.T) {
	t.Parallel()
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.EscapedPath())
		w.WriteHeader(http.StatusNoContent)
	}))
	defer api.Close()
	for _, args := range [][]string{{"--site", "photos", "album/1"}, {"--envoy", "edge 1", "edge/2"}} {
		code, _, stderr := run(t, nil, append([]string{"acknowledge", "--server", api.URL}, args...)...)
		require.Equal(t, cli.ExitOK, code, stderr)
	}
	require.Equal(t, []string{"DELETE /v1/sites/photos/lost/album%2F1", "DELETE /v1/envoys/edge%201", "DELETE /v1/envoys/edge%2F2"}, asked)
	code, _, stderr := run(t, nil, "acknowledge", "--site", "photos", "--envoy", "edge")
	require.Equal(t, cli.ExitUsage, code)
	require.Contains(t, stderr, "umagate acknowledge: ")
}
