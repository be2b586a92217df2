package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/e2e/pki"
)

// asProgram makes the test binary the program.
const asProgram = "UMAGATE_TEST_AS_PROGRAM"

// within bounds every wait for a line of the log.
const within = 2 * time.Minute

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
	}
	os.Exit(m.Run())
}

func program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// event parses a line, which has to be one.
func event(t *testing.T, line string) map[string]any {
	t.Helper()
	var e map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &e), "no JSON: %s", line)
	for _, member := range []string{"time", "level", "msg"} {
		require.Contains(t, e, member, line)
	}
	return e
}

// lines are what a program has written so far.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) read(from io.Reader) {
	for scan := bufio.NewScanner(from); scan.Scan(); {
		l.mu.Lock()
		l.all = append(l.all, scan.Text())
		l.mu.Unlock()
	}
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// until waits for an event that has a text.
func (l *lines) until(t *testing.T, text string) map[string]any {
	t.Helper()
	var found string
	require.Eventually(t, func() bool {
		for _, line := range l.get() {
			if strings.Contains(line, text) {
				found = line
				return true
			}
		}
		return false
	}, within, 10*time.Millisecond, "no line has %s: %v", text, l)
	return event(t, found)
}

const config = `
listen:
  api: 127.0.0.1:0
  xds: 127.0.0.1:0
  api_tls: {certificate: tls.crt, key: tls.key, client_ca: ca.crt}
  xds_tls: {certificate: tls.crt, key: tls.key, client_ca: ca.crt}
envoy:
  xds_tls: {certificate: tls.crt, key: tls.key, ca: ca.crt}
sites:
- name: photos
  hosts: [photos.example.com]
  authorization_server: {issuer: "http://127.0.0.1:1", client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}
`

// TestEveryLineIsJSON runs the program through start, a reload with faults, handshakes
// that fail, and stop.
func TestEveryLineIsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca := pki.New(t, "umagate")
	pair := ca.Issue(t, pki.Leaf{Names: []string{"127.0.0.1"}})
	pki.Write(t, dir, "tls.crt", pair.Certificate)
	pki.Write(t, dir, "tls.key", pair.Key)
	pki.Write(t, dir, "ca.crt", ca.PEM)
	path := pki.Write(t, dir, "umagate.yaml", []byte(config))
	cmd := program(t.Context(), "serve", "-c", path, "--log-format", "json", "--log-level", "debug")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var log lines
	read := make(chan struct{})
	go func() { defer close(read); log.read(stderr) }()

	serving := log.until(t, `"msg":"serving"`)
	for _, listener := range []string{"api", "xds"} {
		// One that speaks no TLS, and one that trusts nobody.
		address, _ := serving[listener].(string)
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		require.NoError(t, err)
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, conn)
		require.NoError(t, conn.Close())
		_, err = (&tls.Dialer{Config: &tls.Config{MinVersion: tls.VersionTLS12}}).DialContext(t.Context(), "tcp", address)
		require.Error(t, err)
	}
	require.Equal(t, "WARN", log.until(t, "http: TLS handshake error")["level"])
	pki.Write(t, dir, "umagate.yaml", []byte(strings.Replace(config, "hosts", "hots", 1)))
	require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
	log.until(t, "hots")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	<-read
	require.NoError(t, cmd.Wait())
	log.until(t, `"msg":"stopped"`)
	all := log.get()
	for _, line := range all {
		event(t, line)
	}
	require.Empty(t, stdout.String())
}

// TestEveryLineOfAFailureIsJSON runs the program where it cannot start.
func TestEveryLineOfAFailureIsJSON(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var lc net.ListenConfig
	taken, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	plain := "listen: {api: \"" + taken.Addr().String() + "\", xds: \"127.0.0.1:0\"}\n" + config[strings.Index(config, "sites:"):]
	faulty := pki.Write(t, dir, "faulty.yaml", []byte(strings.Replace(config, "hosts", "hots", 1)))
	unavailable := pki.Write(t, dir, "unavailable.yaml", []byte(plain))
	tests := []struct {
		name, says string
		code       int
		args       []string
	}{
		{"no file", "no such file", cli.ExitFailed, []string{"serve", "-c", filepath.Join(dir, "none.yaml"), "--log-format", "json"}},
		{"faults", "hots", cli.ExitFailed, []string{"serve", "-c", faulty, "--log-json"}},
		{"an address that is taken", "address already in use", cli.ExitFailed, []string{"serve", "-c", unavailable, "--log-format=json"}},
		{"an unknown flag", "unknown flag", cli.ExitUsage, []string{"serve", "--nothing", "--log-format", "json"}},
		{"a flag that only serve has", "unknown flag", cli.ExitUsage, []string{"validate", "--log-format", "json"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := program(t.Context(), tt.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			require.ErrorAs(t, cmd.Run(), &exit)
			require.Equal(t, tt.code, exit.ExitCode(), stderr.String())
			require.Contains(t, stderr.String(), tt.says)
			for line := range strings.Lines(stderr.String()) {
				event(t, line)
			}
			require.Empty(t, stdout.String())
		})
	}
}
