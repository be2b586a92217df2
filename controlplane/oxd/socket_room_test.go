package oxd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
)

// pipes is a listener whose connections are pipes, so that time is virtual.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from is a connection of a peer.
type from struct {
	net.Conn

	peer string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.peer), Port: 1} }

// dial connects as the peer.
func (p *pipes) dial(peer string) net.Conn {
	client, server := net.Pipe()
	p.accepted <- from{server, peer}
	synctest.Wait()
	return client
}

// documented is an OP that has a discovery document and nothing else.
type documented struct{}

func (documented) RoundTrip(r *http.Request) (*http.Response, error) {
	const host = "https://op.example.com"
	body, status := "{}", http.StatusNotFound
	if r.URL.Path == "/.well-known/openid-configuration" {
		document := map[string]any{"issuer": host, "id_token_signing_alg_values_supported": []string{"ES256"}}
		for _, name := range []string{"authorization", "token", "userinfo", "introspection", "registration"} {
			document[name+"_endpoint"] = host + "/" + name
		}
		document["jwks_uri"] = host + "/jwks"
		encoded, err := json.Marshal(document)
		if err != nil {
			return nil, err
		}
		body, status = string(encoded), http.StatusOK
	}
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// serveVirtual serves a socket on pipes, within a bubble.
func serveVirtual(t *testing.T, limits oxd.SocketLimits) *pipes {
	t.Helper()
	server, err := oxd.New(oxd.Config{OPs: []oxd.OP{{Host: "https://op.example.com", Transport: documented{}}}, DefaultOP: "https://op.example.com"})
	require.NoError(t, err)
	p := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.ServeSocket(ctx, p, limits) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	return p
}

const (
	succeeds = `{"command":"get_discovery","params":{}}`
	fails    = `{"command":"get_everything","params":{}}`
)

// asks runs a command; an error says that the connection was closed.
func asks(t *testing.T, conn net.Conn, command string) error {
	t.Helper()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Hour)))
	if _, err := io.WriteString(conn, frame(command)); err != nil {
		return err
	}
	readAnswer(t, conn)
	synctest.Wait()
	return nil
}

// open says whether the server has the connection still.
func open(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if conn.SetReadDeadline(time.Now().Add(time.Nanosecond)) != nil {
		return false // the other end is closed
	}
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// TestSocketMakesRoom: connections that do nothing, or half of something, go before
// those that have worked; a new client is served however many there are.
func TestSocketMakesRoom(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, sent string }{
		{"one byte", "0"},
		{"a prefix", "0100"},
		{"half a command", "0100{"},
		{"nothing", ""},
		{"commands that fail", frame(fails)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := serveVirtual(t, oxd.SocketLimits{Connections: 16})
				working := []net.Conn{p.dial("127.0.0.1"), p.dial("127.0.0.1")}
				for _, conn := range working {
					require.NoError(t, asks(t, conn, succeeds))
				}
				time.Sleep(time.Hour) // they have been idle longest
				for i := range 256 {
					conn := p.dial("127.0.0.1")
					if tt.sent != "" {
						_, err := io.WriteString(conn, tt.sent)
						require.NoError(t, err)
					}
					if tt.sent == frame(fails) {
						readAnswer(t, conn)
					}
					synctest.Wait()
					if i%16 == 0 {
						require.NoError(t, asks(t, p.dial("127.0.0.1"), fails), "a new client")
					}
				}
				for _, conn := range working {
					require.NoError(t, asks(t, conn, succeeds), "a client that has worked")
				}
			})
		})
	}
}

// TestSocketMakesRoomByPeer: a peer with many connections gives way to one with few.
func TestSocketMakesRoomByPeer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serveVirtual(t, oxd.SocketLimits{Connections: 4})
		quiet := p.dial("192.0.2.1")
		time.Sleep(time.Second)
		var many []net.Conn
		for range 20 {
			many = append(many, p.dial("192.0.2.66"))
			time.Sleep(time.Second)
		}
		require.True(t, open(t, quiet))
		require.False(t, open(t, many[16]), "its own oldest made room")
		require.True(t, open(t, many[19]))
	})
}

// TestSocketMakesRoomByAnswer: who was answered first has been idle longest, also where the
// server was late to see that the answer had gone.
func TestSocketMakesRoomByAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serveVirtual(t, oxd.SocketLimits{Connections: 2})
		first, second := p.dial("127.0.0.1"), p.dial("127.0.0.1")
		_, err := io.WriteString(first, frame(fails))
		require.NoError(t, err)
		time.Sleep(time.Second) // its answer is being written
		require.NoError(t, asks(t, second, fails))
		time.Sleep(time.Second)
		readAnswer(t, first)
		synctest.Wait()
		p.dial("127.0.0.1")
		require.False(t, open(t, first))
		require.True(t, open(t, second))
	})
}

// TestSocketPatience: how long a connection may take, by what it has shown of itself.
func TestSocketPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := serveVirtual(t, oxd.SocketLimits{})
		silent, half, working, drip := p.dial("127.0.0.1"), p.dial("127.0.0.1"), p.dial("127.0.0.1"), p.dial("127.0.0.1")
		require.NoError(t, asks(t, working, fails))
		_, err := io.WriteString(half, "0100{")
		require.NoError(t, err)
		_, err = io.WriteString(drip, "0100")
		require.NoError(t, err)
		for range 9 { // a byte each second gains nothing
			time.Sleep(time.Second)
			_, err := io.WriteString(drip, " ")
			require.NoError(t, err)
		}
		for _, step := range []struct {
			after time.Duration
			open  []bool // silent, half, drip, working
		}{
			{500 * time.Millisecond, []bool{true, true, true, true}},
			{time.Second, []bool{true, false, false, true}},
			{49 * time.Second, []bool{true, false, false, true}},
			{time.Second, []bool{false, false, false, true}},
			{11 * time.Hour, []bool{false, false, false, true}},
			{time.Hour, []bool{false, false, false, false}},
		} {
			time.Sleep(step.after)
			synctest.Wait()
			var got []bool
			for _, conn := range []net.Conn{silent, half, drip, working} {
				got = append(got, open(t, conn))
			}
			require.Equal(t, fmt.Sprint(step.open), fmt.Sprint(got), step.after)
		}
	})
}
