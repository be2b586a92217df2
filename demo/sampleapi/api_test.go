package sampleapi_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/sampleapi"
)

func start(t *testing.T) sampleapi.Running {
	t.Helper()
	api, err := sampleapi.New().Start(t.Context(), "127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(api.Stop)
	return api
}

// call sends a request and returns status, Location and body.
func call(t *testing.T, address, method, path, body string) (status int, location, text string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, resp.Header.Get("Location"), strings.TrimSpace(string(b))
}

func TestAlbums(t *testing.T) {
	t.Parallel()
	api := start(t)
	// The steps build on each other.
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		location, contains       string
	}{
		{"healthy", "GET", "/healthz", "", 200, "", `"ok"`},
		{"all albums", "GET", "/albums", "", 200, "", `"owner":"bob"`},
		{"alice's album", "GET", "/albums/1", "", 200, "", `"owner":"alice"`},
		{"head", "HEAD", "/albums/1", "", 200, "", ""},
		{"no album", "GET", "/albums/99", "", 404, "", "no such album"},
		{"photos", "GET", "/albums/1/photos", "", 200, "", "Reine"},
		{"add a photo", "POST", "/albums/1/photos", `{"title":"Gulls"}`, 201, "/albums/1/photos/3", `{"id":"3","title":"Gulls"}`},
		{"it is there", "GET", "/albums/1/photos", "", 200, "", "Gulls"},
		{"a photo needs a title", "POST", "/albums/1/photos", `{}`, 400, "", "title"},
		{"no album to add to", "POST", "/albums/99/photos", `{"title":"x"}`, 404, "", ""},
		{"not JSON", "PUT", "/albums/1", `<`, 400, "", "JSON"},
		{"an album needs an owner", "PUT", "/albums/1", `{"title":"x"}`, 400, "", "owner"},
		{"create", "POST", "/albums", `{"owner":"bob","title":"Boats"}`, 201, "/albums/4", `"title":"Boats"`},
		{"create nobody's", "POST", "/albums", `{"title":"Boats"}`, 400, "", "owner"},
		{"rename", "PUT", "/albums/1", `{"owner":"alice","title":"Lofoten"}`, 200, "", `"Gulls"`},
		{"create", "PUT", "/albums/a b", `{"owner":"bob","title":"New"}`, 201, "/albums/a%20b", `"photos":[]`},
		{"delete", "DELETE", "/albums/1", "", 204, "", ""},
		{"deleted", "DELETE", "/albums/1", "", 404, "", ""},
		{"method", "PATCH", "/albums/2", "", 405, "", ""},
	} {
		status, location, body := call(t, api.Address, tt.method, strings.ReplaceAll(tt.path, " ", "%20"), tt.body)
		require.Equal(t, tt.status, status, tt.name)
		require.Equal(t, tt.location, location, tt.name)
		require.Contains(t, body, tt.contains, tt.name)
	}
}

func TestEchoShowsTheTargetAsReceived(t *testing.T) {
	t.Parallel()
	api := start(t)
	for _, target := range []string{
		"/echo", "/echo/", "/echo/a?b=c&b=d", "/echo/../albums/1", "/echo//a", "/echo/%2e%2E/a", "/echo/a;b=c", "/echo/a%2Fb", "/%65cho/x",
		"/echo/a#b", "/echo/\u00e9", "http://other.example/echo/x",
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			var d net.Dialer
			conn, err := d.DialContext(t.Context(), "tcp", api.Address)
			require.NoError(t, err)
			defer func() { _ = conn.Close() }()
			_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: photos.example\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", target)
			require.NoError(t, err)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			defer func() { _ = resp.Body.Close() }()
			var e sampleapi.Echo
			require.NoError(t, json.NewDecoder(resp.Body).Decode(&e))
			require.Equal(t, target, e.Target)
			require.Equal(t, "POST", e.Method)
			require.Equal(t, "hi", e.Body)
			require.Equal(t, []string{"a", "b"}, e.Headers["X-Two"])
			if strings.HasPrefix(target, "/") {
				require.Equal(t, "photos.example", e.Host)
			}
		})
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	api := start(t)
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			for _, m := range []string{"PUT", "GET", "DELETE"} {
				path := fmt.Sprintf("/albums/n%d", i%3)
				req, err := http.NewRequestWithContext(t.Context(), m, "http://"+api.Address+path, strings.NewReader(`{"owner":"bob","title":"t"}`))
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
			}
		})
	}
	all.Wait()
	status, _, body := call(t, api.Address, "GET", "/albums/3", "")
	require.Equal(t, 200, status)
	require.Contains(t, body, "bob")
}

func TestStopEndsServing(t *testing.T) {
	t.Parallel()
	api := start(t)
	api.Stop()
	api.Stop()
	var d net.Dialer
	_, err := d.DialContext(t.Context(), "tcp", api.Address)
	require.Error(t, err)
}
