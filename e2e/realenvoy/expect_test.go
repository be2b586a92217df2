package realenvoy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hastyAPI answers each block of headers as soon as it has come, without a look at its body,
// and takes what follows on the connection for the next request. It says 100 before, to one
// for /continue.
func hastyAPI(t *testing.T) (address string, seen func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var mu sync.Mutex
	var all strings.Builder
	serve := func(connection net.Conn) {
		defer connection.Close()
		says100 := false
		for lines := bufio.NewScanner(connection); lines.Scan(); {
			line := strings.TrimSuffix(lines.Text(), "\r")
			mu.Lock()
			fmt.Fprintln(&all, line)
			mu.Unlock()
			says100 = says100 || strings.Contains(line, "/continue")
			switch {
			case line != "":
			case says100:
				says100 = false
				_, _ = io.WriteString(connection, "HTTP/1.1 100 Continue\r\n\r\n")
			default:
				_, _ = io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
		}
	}
	go func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			go serve(connection)
		}
	}()
	return l.Addr().String(), func() string {
		mu.Lock()
		defer mu.Unlock()
		return all.String()
	}
}

// TestExpectContinue: with the listener that is rendered, who waits for 100 before the body
// sends none that is refused, the API says 100, and no body is taken for the next request,
// however hasty the API is.
func TestExpectContinue(t *testing.T) {
	wasm, err := filepath.Abs("../../build/umagate.wasm")
	require.NoError(t, err)
	as := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/introspect":
			fmt.Fprintf(w, `{"active":%t,"permissions":[{"resource_id":"r-1","resource_scopes":["view"]}]}`, r.FormValue("token") == "good")
		case "/permission":
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"ticket":"t1"}`)
		default:
			fmt.Fprint(w, `{"access_token":"pat","token_type":"Bearer","expires_in":3600}`)
		}
	}))
	t.Cleanup(as.Close)
	api, seen := hastyAPI(t)
	_, base := rendered(t, wasm, as.URL, "http://"+api, "")
	const body = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, c := range []struct {
		name, path, token string
		says              []int // statuses until the body is sent, or all
	}{
		{"no token", "/a", "", []int{401}},
		{"a bad token", "/a", "bad", []int{401}},
		{"an API that says 100", "/continue", "good", []int{100, 200}},
		{"one that answers at once", "/hasty", "good", []int{200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			connection, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			require.NoError(t, err)
			defer connection.Close()
			require.NoError(t, connection.SetDeadline(time.Now().Add(patience)))
			authorization := ""
			if c.token != "" {
				authorization = "Authorization: Bearer " + c.token + "\r\n"
			}
			_, err = fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: h\r\n%sExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", c.path, authorization, len(body))
			require.NoError(t, err)
			r := bufio.NewReader(connection)
			for i, want := range c.says {
				response, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				require.Equal(t, want, response.StatusCode, "before the body")
				if i == 0 {
					_, _ = io.WriteString(connection, body) // as one who does not wait would
				}
			}
			require.Equal(t, http.StatusOK, fetch(t.Context(), http.DefaultTransport, base+"/next", "good"))
		})
	}
	got := seen()
	require.Equal(t, 1, strings.Count(got, "POST /continue"))
	require.Equal(t, 2, strings.Count(got, "expect: 100-continue"))
	require.Equal(t, 1, strings.Count(got, "POST /hasty"))
	require.NotContains(t, got, "POST /a")
	require.Equal(t, 1, strings.Count(got, "/smuggled"), "as a body, where 100 was said: %s", got)
}
