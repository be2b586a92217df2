package cli_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
)

// echo answers what it was asked, or a challenge for a path that names one.
func echo(t *testing.T) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/open", func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		_, _ = w.Write([]byte(r.Method + " " + r.Host + " " + r.Header.Get("Content-Type") + " " + string(body)))
	})
	mux.HandleFunc("/basic", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `UMA realm="x", as_uri="https://evil.example.com", ticket="t"`)
		w.WriteHeader(http.StatusUnauthorized)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func TestRPT(t *testing.T) {
	t.Parallel()
	base := echo(t)
	body := filepath.Join(t.TempDir(), "body.json")
	require.NoError(t, os.WriteFile(body, []byte(`{"a":1}`), 0o600))
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"no token needed", []string{base + "/open", "-H", "Host: photos.example.com"}, cli.ExitOK, "GET photos.example.com  ", "< 200 OK"},
		{"body", []string{base + "/open", "-H", "Host: h", "-d", "@" + body}, cli.ExitOK, `POST h application/json {"a":1}`, "ask without a token"},
		{"form", []string{base + "/open", "-H", "Host: h", "-X", "PUT", "-d", "a=b"}, cli.ExitOK, "PUT h application/x-www-form-urlencoded a=b", ""},
		{"quiet", []string{base + "/open", "-H", "Host: h", "-q"}, cli.ExitOK, "GET h  ", ""},
		{"no UMA", []string{base + "/basic"}, cli.ExitFailed, "", "without a UMA challenge"},
		{"another AS", []string{base + "/elsewhere", "--as", "https://as.example.com"}, cli.ExitFailed, "", "not trusted"},
		{"no RPT to print", []string{base + "/open", "--print-token"}, cli.ExitFailed, "", "there is no RPT"},
		{"nobody there", []string{"http://127.0.0.1:1/"}, cli.ExitFailed, "", "connection refused"},
		{"no such body", []string{base + "/open", "-d", "@/nowhere/body"}, cli.ExitUsage, "", "--data"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, out, stderr := run(t, nil, append([]string{"rpt"}, tt.args...)...)
			require.Equal(t, tt.code, code, stderr)
			require.Equal(t, tt.stdout, out)
			require.Contains(t, stderr, tt.stderr)
			if tt.name == "quiet" {
				require.Empty(t, stderr)
			}
		})
	}
	t.Run("json", func(t *testing.T) {
		t.Parallel()
		code, out, _ := run(t, nil, "rpt", base+"/basic", "-o", "json")
		require.Equal(t, cli.ExitFailed, code)
		var got struct {
			Steps   []map[string]any `json:"steps"`
			Status  int              `json:"status"`
			Error   string           `json:"error"`
			Granted bool             `json:"granted"`
		}
		require.NoError(t, json.Unmarshal([]byte(out), &got))
		require.Len(t, got.Steps, 1)
		require.Equal(t, http.StatusUnauthorized, got.Status)
		require.NotEmpty(t, got.Error)
		require.False(t, got.Granted)
	})
}
