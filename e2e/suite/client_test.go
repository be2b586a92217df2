package suite_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/sampleapi"
)

// client1 sends one request after the other on one connection, so that they meet
// the same worker.
type client1 struct {
	address   string
	transport *http.Transport
	dials     atomic.Int64
}

func newClient(t *testing.T, address string) *client1 {
	t.Helper()
	c := &client1{address: address}
	c.transport = &http.Transport{DisableCompression: true, MaxConnsPerHost: 1, DialContext: c.dial}
	t.Cleanup(c.transport.CloseIdleConnections)
	return c
}

func (c *client1) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c.dials.Add(1)
	var d net.Dialer
	return d.DialContext(ctx, "tcp", c.address) //nolint:wrapcheck // a test's own
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
	a, err := roundTrip(c.transport, r)
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
