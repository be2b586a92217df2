package cli_test

import (
	"context"
	"encoding/json"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestServeAndStatus(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stopAS, err := as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stopAS)
	path := file(t, `
listen: {api: "`+freeAddress(t)+`", xds: "127.0.0.1:0"}
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "`+as.Issuer()+`", client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}
`)
	code, _, stderr := run(t, nil, "status", "-c", path)
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "is umagate serve running?")

	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	log := &process.Log{}
	served := make(chan int, 1)
	go func() {
		served <- cli.Run(ctx, cli.Environment{Stdin: strings.NewReader(""), Stdout: log, Stderr: log}, []string{"serve", "-c", path, "-v"})
	}()
	t.Cleanup(stop)
	require.Eventually(t, func() bool {
		code, out, _ := run(t, nil, "status", "-c", path)
		return code == cli.ExitOK && strings.Contains(out, "1/1")
	}, 20*time.Second, 20*time.Millisecond)
	require.FileExists(t, filepath.Join(filepath.Dir(path), "umagate.db"), "the store is beside the file")

	_, out, _ := run(t, nil, "status", "-c", path)
	require.Regexp(t, `(?m)^SITE +PHASE +DIALECT +CLIENT +PAT EXPIRES +RESOURCES$`, out)
	require.Regexp(t, `(?m)^photos +serving +generic +\S+ +in \d+m\d+s +1/1$`, out)
	require.Contains(t, out, "No Envoy has connected")
	code, out, _ = run(t, nil, "status", "-c", path, "-o", "json")
	require.Equal(t, cli.ExitOK, code)
	var s server.Status
	require.NoError(t, json.Unmarshal([]byte(out), &s))
	require.Equal(t, registration.Serving, s.Sites[0].Phase)

	// A PAT that cannot be renewed is told, with a remedy, and fails the command.
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointAny, Kind: devas.FaultHTML}))
	as.ExpirePATs()
	require.Eventually(t, func() bool {
		code, out, _ = run(t, nil, "status", "-c", path)
		return code == cli.ExitFailed
	}, 2*time.Minute, 50*time.Millisecond)
	require.Contains(t, out, "(site photos, for ")
	require.Contains(t, out, "an HTML page")
	require.Contains(t, out, "  = ")

	stop()
	require.Equal(t, cli.ExitOK, <-served, log.String())
	require.Contains(t, log.String(), "msg=stopped")
	for _, call := range as.Calls(devas.EndpointResources) {
		_, credential, _ := strings.Cut(call.Header.Get("Authorization"), " ")
		require.NotContains(t, log.String()+out, credential)
	}
}
