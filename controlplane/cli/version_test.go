package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

// TestVersion runs the two spellings, and the one for programs, in a folder as an
// archive has it.
func TestVersion(t *testing.T) {
	t.Parallel()
	const sum = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae" // of "foo"
	folder, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	program := filepath.Join(folder, "umagate")
	require.NoError(t, os.WriteFile(program, nil, 0o600))
	version := func(args ...string) string {
		var out, stderr bytes.Buffer
		env := cli.Environment{Stdout: &out, Stderr: &stderr, Executable: func() (string, error) { return program, nil }}
		require.Equal(t, cli.ExitOK, cli.Run(t.Context(), env, args), stderr.String())
		return out.String()
	}
	require.Contains(t, version("version"), "none came with this program")

	wasm := filepath.Join(folder, "umagate.wasm")
	require.NoError(t, os.WriteFile(wasm, []byte("foo"), 0o600))
	text := version("version")
	require.Contains(t, text, wasm+", sha256 "+sum)
	require.Equal(t, text, version("--version"))

	var got struct {
		Version, Go string
		Contract    int
		Module      struct{ Path, SHA256 string }
	}
	require.NoError(t, json.Unmarshal([]byte(version("version", "--output", "json")), &got))
	require.NotEmpty(t, got.Version)
	require.NotEmpty(t, got.Go)
	require.Equal(t, 1, got.Contract)
	require.Equal(t, wasm, got.Module.Path)
	require.Equal(t, sum, got.Module.SHA256)
}

func TestDemoArguments(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		args  []string
		code  int
		wrong string
	}{
		{"a gateway that is none", []string{"--gateway", "nginx"}, cli.ExitUsage, "must be one of auto, envoy, wazero"},
		{"an argument too many", []string{"twice"}, cli.ExitUsage, "twice"},
		{"no module with the program", []string{"--once"}, cli.ExitFailed, "no umagate.wasm found"},
		{"no module there", []string{"--once", "--wasm", "/nonexistent"}, cli.ExitFailed, "/nonexistent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := run(t, nil, append([]string{"demo"}, tt.args...)...)
			require.Equal(t, tt.code, code)
			require.Contains(t, stderr, tt.wrong)
		})
	}
}
