package oxd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/demo/devas"
)

// serveSocket returns the address of a socket, and stop, which ends it.
func serveSocket(t *testing.T, s *oxd.Server, limits oxd.SocketLimits) (address string, stop func()) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.ServeSocket(ctx, listener, limits) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func frame(body string) string { return fmt.Sprintf("%04d%s", len([]rune(body)), body) }

// readAnswer reads one answer of a socket.
func readAnswer(t *testing.T, r io.Reader) (status string, data map[string]any) {
	t.Helper()
	prefix := make([]byte, 4)
	_, err := io.ReadFull(r, prefix)
	require.NoError(t, err)
	length, err := strconv.Atoi(string(prefix))
	require.NoError(t, err)
	body := make([]byte, length)
	_, err = io.ReadFull(r, body)
	require.NoError(t, err)
	var got struct {
		Status string         `json:"status"`
		Data   map[string]any `json:"data"`
	}
	require.NoError(t, json.Unmarshal(body, &got))
	return got.Status, got.Data
}

const unknownSite = `{"command":"get_rp","params":{"oxd_id":"nobody"}}`

// served asks on a connection of its own.
func served(t *testing.T, address string) {
	t.Helper()
	conn := dial(t, address)
	_, err := io.WriteString(conn, frame(unknownSite))
	require.NoError(t, err)
	status, data := readAnswer(t, conn)
	require.Equal(t, "error", status)
	require.Equal(t, "invalid_oxd_id", data["error"])
}

func TestSocket(t *testing.T) {
	t.Parallel()
	k := newKit(t, startOP(t, devas.Options{}), nil)
	address, _ := serveSocket(t, k.Server, oxd.SocketLimits{})
	tests := []struct {
		name, send string
		// codes are those of the answers, in their order; closed says that nothing follows.
		codes  []string
		closed bool
	}{
		{"one", frame(unknownSite), []string{"invalid_oxd_id"}, false},
		{"several at once", frame(unknownSite) + frame(`{"command":"none"}`) + frame(unknownSite), []string{"invalid_oxd_id", "unsupported_operation", "invalid_oxd_id"}, false},
		{"the name's case", frame(`{"command":"GET_RP","params":{"oxd_id":"x"}}`), []string{"invalid_oxd_id"}, false},
		{"the old name", frame(`{"command":"update_site_registration","params":{"oxd_id":"x"}}`), []string{"invalid_oxd_id"}, false},
		{"unknown parameters", frame(`{"command":"get_rp","params":{"oxd_id":"x","host":"h","port":1,"https_extension":false}}`), []string{"invalid_oxd_id"}, false},
		{"no oxd_id", frame(`{"command":"get_rp","params":{}}`), []string{"bad_request"}, false},
		{"no params", frame(`{"command":"get_rp"}`), []string{"bad_request"}, false},
		{"params of another type", frame(`{"command":"get_rp","params":[]}`), []string{"internal_error"}, false},
		{"a parameter of another type", frame(`{"command":"get_rp","params":{"oxd_id":7}}`), []string{"internal_error"}, false},
		{"not JSON", frame(`hello`) + frame(unknownSite), []string{"internal_error", "invalid_oxd_id"}, false},
		{"not an object", frame(`[]`), []string{"internal_error"}, false},
		{"no command", frame(`{}`), []string{"unsupported_operation"}, false},
		{"no prefix", `{"command":"get_rp"}`, []string{"internal_error"}, true},
		{"zero", "0000", []string{"internal_error"}, true},
		{"not UTF-8", "0004\xff\xff\xff\xff", []string{"internal_error"}, true},
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", []string{"internal_error"}, true},
		{"half a command", "0100{", nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, address)
			_, err := io.WriteString(conn, tt.send)
			require.NoError(t, err)
			for _, code := range tt.codes {
				status, data := readAnswer(t, conn)
				require.Equal(t, "error", status)
				require.Equal(t, code, data["error"], data)
			}
			if tt.closed {
				_, err := io.ReadAll(conn)
				require.NoError(t, err)
			}
			served(t, address)
		})
	}
}

// TestSocketOneWrite: what comes first is the whole answer, since oxd-node takes it for that.
func TestSocketOneWrite(t *testing.T) {
	t.Parallel()
	k := newKit(t, startOP(t, devas.Options{}), nil)
	address, _ := serveSocket(t, k.Server, oxd.SocketLimits{})
	conn := dial(t, address)
	_, err := io.WriteString(conn, frame(`{"command":"get_discovery","params":{}}`))
	require.NoError(t, err)
	buffer := make([]byte, 64<<10)
	n, err := conn.Read(buffer)
	require.NoError(t, err)
	length, err := strconv.Atoi(string(buffer[:4]))
	require.NoError(t, err)
	require.Equal(t, length, n-4)
	require.Greater(t, length, 1000)
}

// TestSocketLetsGo: clients that misbehave take nothing for ever, and the next is served.
func TestSocketLetsGo(t *testing.T) { //nolint:paralleltest // it counts goroutines
	k := newKit(t, startOP(t, devas.Options{}), nil)
	k.ok(t, "get_discovery", map[string]any{}) // its connection to the OP stays
	before := runtime.NumGoroutine()
	address, stop := serveSocket(t, k.Server, oxd.SocketLimits{Connections: 4, Frame: 200 * time.Millisecond, Idle: 30 * time.Second, Write: time.Second})

	t.Run("a command that does not arrive", func(t *testing.T) {
		conn := dial(t, address)
		_, err := io.WriteString(conn, "0100{")
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1)) // closed by the server
		require.ErrorIs(t, err, io.EOF)
	})
	t.Run("idle ones make room", func(t *testing.T) {
		idle := make([]net.Conn, 8)
		for i := range idle {
			idle[i] = dial(t, address)
			_, err := io.WriteString(idle[i], frame(unknownSite))
			require.NoError(t, err)
			readAnswer(t, idle[i])
		}
		served(t, address)
		_, err := idle[0].Read(make([]byte, 1))
		require.Error(t, err)
		_, err = io.WriteString(idle[7], frame(unknownSite)) // the newest are still there
		require.NoError(t, err)
		readAnswer(t, bufio.NewReader(idle[7]))
	})
	t.Run("one that never reads", func(t *testing.T) {
		conn := dial(t, address)
		flood := strings.Repeat(frame(`{"command":"get_discovery","params":{}}`), 20_000)
		_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, flood) // the server stops reading when it cannot write
		served(t, address)
	})
	stop()
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, 2*time.Minute, 20*time.Millisecond, "goroutines are left")
	var dialer net.Dialer
	_, err := dialer.DialContext(t.Context(), "tcp", address)
	require.Error(t, err)
}
