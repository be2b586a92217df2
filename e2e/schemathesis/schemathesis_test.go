package schemathesis_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/e2e/schemathesis"
)

const token = "schemathesis-0123456789abcdef"

const configuration = `
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0", instances: "127.0.0.1:0"}
api: {tokens: [{name: schemathesis, token: %s, role: write}]}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: %s, client: {register: {}}}
  resources:
  - {name: albums, type: "https://example.com/albums", conditions: [{paths: ["/albums/**"], scopes: [view, edit]}]}
  - {name: "album-{id}", type: "https://example.com/album", conditions: [{paths: ["/album/{id}"], scopes: [view, edit]}]}
`

// settings say where a request that fits the document may be refused all the same:
// by a signature, and by what members mean together.
const settings = `
[[operations]]
include-operation-id = ["backChannelLogout", "keycloakPushNotBefore", "keycloakLogout", "createRevocation", "createResource"]
checks.positive_data_acceptance.enabled = false
`

// TestTheAPIIsAsItsDocumentSays runs every check on a control plane that serves.
func TestTheAPIIsAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	binary := processtest.Require(t, "Schemathesis", schemathesis.Find)
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stopAS, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stopAS)
	folder := t.TempDir()
	address := serve(t, folder, as.Issuer())

	require.NoError(t, os.WriteFile(filepath.Join(folder, "schemathesis.toml"), []byte(settings), 0o600))
	command := exec.CommandContext(t.Context(), binary, "--config-file", "schemathesis.toml", "run", "http://"+address+"/v1/openapi.json",
		"--header", "Authorization: Bearer "+token,
		"--phases", "examples,coverage,fuzzing,stateful", "--mode", "all", "--max-examples", "15", "--seed", "1",
		"--request-timeout", "30", "--suppress-health-check", "all", "--no-color")
	command.Dir = folder
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
}

// serve runs a control plane until the test ends, and waits until all is well.
func serve(t *testing.T, folder, issuer string) string {
	t.Helper()
	path := filepath.Join(folder, "umagate.yaml")
	require.NoError(t, os.WriteFile(path, fmt.Appendf(nil, configuration, token, issuer), 0o600))
	log, err := os.Create(filepath.Join(folder, "serve.log"))
	require.NoError(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("the control plane's log ends:\n%s", text[max(0, len(text)-4000):])
		}
		_ = log.Close()
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	started, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- server.Run(ctx, server.Options{
			Path: path, Logger: slog.New(slog.NewTextHandler(log, nil)), Version: "test", Started: func(api, _ string) { started <- api },
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	var address string
	select {
	case address = <-started:
	case err := <-done:
		done <- err
		require.FailNow(t, "not started", "%v", err)
	}
	control, err := client.Local(address, filepath.Join(folder, "umagate.db.token"))
	require.NoError(t, err)
	var status server.Status
	require.Eventually(t, func() bool {
		return control.Do(t.Context(), http.MethodGet, "/v1/status", nil, &status) == nil && status.OK
	}, time.Minute, 20*time.Millisecond, "%v", &status.Conditions)
	return address
}
