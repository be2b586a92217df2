package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

func TestDeregister(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("{register: {}}", "albums: [view]", "people: [view]")
	code, out, stderr := b.run("deregister")
	require.Equal(t, cli.ExitOK, code, stderr)
	require.Contains(t, out, "nothing to remove")
	code, out, stderr = b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)

	code, out, stderr = b.run("deregister", "--site", "photos")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, out, "- resource albums")
	require.Contains(t, out, "- client ")
	require.Contains(t, stderr, "--yes", "without a terminal nobody is asked")
	require.Len(t, b.resources(), 2)

	code, out, stderr = b.run("deregister", "--yes", "--output", "json")
	require.Equal(t, cli.ExitOK, code, stderr)
	var done []struct {
		Site      string   `json:"site"`
		Client    string   `json:"client_id"`
		Resources []string `json:"resources"`
		Done      bool     `json:"done"`
		Left      []string `json:"left"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &done))
	require.Len(t, done, 1)
	require.True(t, done[0].Done)
	require.NotEmpty(t, done[0].Client)
	require.ElementsMatch(t, []string{"albums", "people"}, done[0].Resources)
	require.Empty(t, done[0].Left)
	require.Empty(t, b.resources())
	code, _, stderr = b.run("deregister", "--site", "nobody")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "no such site")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	b.declare("{id: rs, secret: rs-secret}", "albums: [view]")
	code, _, stderr := run(t, nil, "keys", "rotate", "-c", b.path())
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "private_key_jwt")
	b.declare("{register: {}, token_endpoint_auth_method: private_key_jwt}", "albums: [view]")
	code, out, stderr := b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	kids := func(args ...string) map[string]string {
		t.Helper()
		code, out, stderr := run(t, nil, append(args, "-c", b.path(), "--output", "json")...)
		require.Equal(t, cli.ExitOK, code, stderr)
		require.NotContains(t, out, "PRIVATE")
		var lists []struct {
			Keys []struct {
				ID    string `json:"kid"`
				State string `json:"state"`
			} `json:"keys"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &lists))
		found := map[string]string{}
		for _, k := range lists[0].Keys {
			found[k.State] = k.ID
		}
		return found
	}
	first := kids("keys", "list")
	require.Len(t, first, 1)
	second := kids("keys", "rotate", "--site", "photos")
	require.Equal(t, first["active"], second["retiring"])
	require.NotEqual(t, first["active"], second["active"])
	require.Equal(t, second, kids("keys", "list"))
	code, out, stderr = run(t, nil, "keys", "list", "-c", b.path())
	require.Equal(t, cli.ExitOK, code, stderr)
	require.Contains(t, out, "retiring")
	require.Contains(t, out, second["active"])
}

// TestLogin walks through the login as a person with a browser does.
func TestLogin(t *testing.T) {
	t.Parallel()
	b := newSyncBench(t, devas.Dialect{})
	require.NoError(t, b.as.AddUser(devas.User{Name: "alice", Password: "alice"}))
	b.declare("{register: {}}, pat: {grant: authorization_code}", "albums: [view]")
	var wg sync.WaitGroup
	visit := func(ctx context.Context, address string) error {
		u, err := url.Parse(address)
		require.NoError(t, err)
		require.Equal(t, "S256", u.Query().Get("code_challenge_method"))
		redirect := u.Query().Get("redirect_uri")
		require.Regexp(t, `^http://127\.0\.0\.1:\d+/callback$`, redirect)
		back := browser.New(t, nil).Visit(t, address, redirect, "alice", "alice")
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, back.String(), nil)
		require.NoError(t, err)
		wg.Go(func() {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		})
		return nil
	}
	var shown, told bytes.Buffer
	code := cli.Run(t.Context(), cli.Environment{Stdin: strings.NewReader(""), Stdout: &shown, Stderr: &told, OpenBrowser: visit},
		[]string{"login", "-c", b.path(), "--browser", "--timeout", "1m"})
	wg.Wait()
	require.Equal(t, cli.ExitOK, code, told.String())
	require.Contains(t, shown.String(), "logged in as alice")
	require.Contains(t, told.String(), b.issuer)
	code, out, stderr := b.run("apply", "--yes")
	require.Equal(t, cli.ExitOK, code, out+stderr)
	require.Equal(t, "alice", b.as.Resources()[0].Owner)

	code, _, stderr = b.run("login", "--timeout", "50ms")
	require.Equal(t, cli.ExitFailed, code)
	require.Contains(t, stderr, "nobody logged in within 50ms")
}
