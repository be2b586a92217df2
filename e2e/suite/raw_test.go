package suite_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// dialRaw opens a connection that ends with the test.
func dialRaw(t *testing.T, address string) net.Conn {
	t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// rawRequest writes bytes and reads one answer; nil when the connection was closed
// without one.
func rawRequest(t *testing.T, address, request string) *answer {
	t.Helper()
	conn := dialRaw(t, address)
	defer conn.Close()
	_, err := io.WriteString(conn, request)
	require.NoError(t, err)
	method, _, _ := strings.Cut(request, " ")
	reader := bufio.NewReader(conn)
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	for err == nil && response.StatusCode == http.StatusContinue {
		_ = response.Body.Close()
		response, err = http.ReadResponse(reader, &http.Request{Method: method})
	}
	if err != nil {
		return nil
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return newAnswer(response, body)
}
