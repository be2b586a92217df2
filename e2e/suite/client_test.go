package suite_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/sampleapi"
)

// client1 sends one request after the other on one connection, so that they meet
// the same worker. It is not [http.Transport], which gives a connection up where the
// goroutine that has written the request is late to say so.
type client1 struct {
	address string
	dials   atomic.Int64

	mu     sync.Mutex
	conn   net.Conn
	reader *bufio.Reader
}

func newClient(t *testing.T, address string) *client1 {
	t.Helper()
	c := &client1{address: address}
	t.Cleanup(c.hangUp)
	return c
}

// hangUp has the next request come on a new connection.
func (c *client1) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.close()
}

func (c *client1) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn, c.reader = nil, nil
	}
}

// RoundTrip implements http.RoundTripper. The answer has been read to its end.
func (c *client1) RoundTrip(r *http.Request) (*http.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	reused := c.conn != nil
	response, err := c.exchange(r)
	if err != nil && reused && r.Body == http.NoBody && r.Context().Err() == nil {
		response, err = c.exchange(r) // the gateway had closed the connection
	}
	return response, err
}

func (c *client1) exchange(r *http.Request) (_ *http.Response, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.conn == nil {
		c.dials.Add(1)
		var d net.Dialer
		if c.conn, err = d.DialContext(r.Context(), "tcp", c.address); err != nil {
			return nil, err //nolint:wrapcheck // a test's own
		}
		c.reader = bufio.NewReader(c.conn)
	}
	conn := c.conn
	defer context.AfterFunc(r.Context(), func() { _ = conn.Close() })()
	written := make(chan error, 1)
	go func() { written <- r.Write(conn) }() // an early answer need not wait for the body's end
	var response *http.Response
	for response == nil || response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		if response, err = http.ReadResponse(c.reader, r); err != nil {
			return nil, err //nolint:wrapcheck // a test's own
		}
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	if response.Close {
		c.close()
	}
	if err := <-written; err != nil {
		c.close() // it was answered before its end
	}
	return response, nil
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   string         // of a problem body
	echo   sampleapi.Echo // of the API, if it echoed
}

func (c *client1) do(t *testing.T, r *http.Request) *answer {
	t.Helper()
	a, err := roundTrip(c, r)
	require.NoError(t, err)
	return a
}

func roundTrip(transport http.RoundTripper, r *http.Request) (*answer, error) {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Opaque, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Opaque, err)
	}
	return newAnswer(response, body), nil
}

func newAnswer(response *http.Response, body []byte) *answer {
	a := &answer{status: response.StatusCode, header: response.Header, body: body}
	switch response.Header.Get("Content-Type") {
	case "application/problem+json":
		var problem struct {
			Code   string `json:"code"`
			Status int    `json:"status"`
		}
		if json.Unmarshal(body, &problem) == nil {
			a.code = problem.Code
		}
	case "application/json":
		var denied struct {
			Error struct {
				Data struct {
					Code string `json:"code"`
				} `json:"data"`
			} `json:"error"`
		}
		if json.Unmarshal(body, &denied) == nil {
			a.code = denied.Error.Data.Code // of who called an MCP server
		}
		if bytes.Contains(body, []byte(`"target"`)) {
			_ = json.Unmarshal(body, &a.echo)
		}
	}
	return a
}

// challenge is a WWW-Authenticate header taken apart. It reads what the project
// writes, by other code than the project's.
type challenge struct {
	scheme string
	params map[string]string
}

func parseChallenge(s string) challenge {
	c := challenge{params: map[string]string{}}
	var rest string
	c.scheme, rest, _ = strings.Cut(s, " ")
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, `="`)
		var value strings.Builder
		for rest != "" && rest[0] != '"' {
			if rest[0] == '\\' && len(rest) > 1 {
				rest = rest[1:]
			}
			value.WriteByte(rest[0])
			rest = rest[1:]
		}
		c.params[strings.TrimSpace(strings.TrimLeft(name, ", "))] = value.String()
		rest = strings.TrimLeft(strings.TrimPrefix(rest, `"`), ", ")
	}
	return c
}

// crowd sends requests side by side.
func crowd(address string, connections int) *http.Transport {
	return &http.Transport{
		DisableCompression: true, MaxIdleConnsPerHost: connections,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			d := net.Dialer{Timeout: patience}
			return d.DialContext(ctx, "tcp", address) //nolint:wrapcheck // a test's own
		},
	}
}
