package cli_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token-of-a-test" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"code":"unauthorized","title":"Nobody knows you","remedy":"Ask for a token."}`))
			return
		}
		asked = append(asked, r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Query().Get("cursor") == "" {
			_, _ = w.Write([]byte(`{"items":[{"id":2,"at":"2026-01-02T03:04:05Z","actor":{"kind":"api","name":"ci"},"action":"resource.delete",
				"site":"photos","target":"albums\u001b[2J","outcome":"failed","detail":{"error":"the AS\nsaid no"}}],"next_cursor":"Mg"}`))
			return
		}
		_, _ = w.Write([]byte(`{"items":[{"id":1,"at":"2026-01-02T03:04:04Z","actor":{"kind":"serve"},"action":"config.reload","outcome":"done"}]}`))
	}))
	t.Cleanup(server.Close)
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("the-token-of-a-test\n"), 0o600))

	code, out, stderr := run(t, nil, "audit", "--server", server.URL, "--token-file", token, "--site", "photos", "--limit", "0")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, out, "api ci")
	require.Contains(t, out, `failed error="the AS\nsaid no"`)
	require.Contains(t, out, "config.reload")
	require.NotContains(t, out, "\x1b", "what an AS or a file says does not move the cursor")
	require.Equal(t, []string{"site=photos", "cursor=Mg&site=photos"}, asked)

	code, out, _ = run(t, nil, "audit", "--server", server.URL, "--token-file", token, "--limit", "1", "-o", "json")
	require.Equal(t, 0, code)
	require.NotContains(t, out, "config.reload")

	code, _, stderr = run(t, nil, "audit", "--server", server.URL)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "Nobody knows you")
	require.Contains(t, stderr, "Ask for a token.")
	require.NotContains(t, stderr, "the-token-of-a-test")
}
