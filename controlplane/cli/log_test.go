package cli_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

// A panic of a command is an event of the log, too.
func TestPanicInJSON(t *testing.T) {
	t.Parallel()
	var out, problems bytes.Buffer
	env := cli.Environment{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems,
		LookupEnv: func(string) (string, bool) { panic("at the disco") },
	}
	path := file(t, "sites: [{name: photos, hosts: [photos.example.com], authorization_server: {issuer: \"${ISSUER}\", client: {register: {}}}}]")
	require.Equal(t, cli.ExitPanic, cli.Run(t.Context(), env, []string{"serve", "-c", path, "--log-format", "json"}))
	var event struct{ Level, Msg, Error, Stack string }
	require.NoError(t, json.Unmarshal(problems.Bytes(), &event), problems.String())
	require.Equal(t, "ERROR", event.Level)
	require.Equal(t, "at the disco", event.Error)
	require.Contains(t, event.Stack, "log_test.go")
}
