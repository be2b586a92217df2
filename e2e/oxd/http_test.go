package oxd_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestHTTPOfServe: what is no command is told in the envelope, by umagate serve.
func TestHTTPOfServe(t *testing.T) {
	t.Parallel()
	to := serve(t, devOP(t).host, true)
	for _, tt := range []struct {
		name, host, path, body string
		status                 int
	}{
		{"another host", "rebound.example.com", "/get-rp", "{}", http.StatusMisdirectedRequest},
		{"no such command", "", "/get-nothing", "{}", http.StatusNotFound},
		{"not JSON", "", "/get-rp", "{", http.StatusBadRequest},
		{"an error of oxd's", "", "/get-rp", "{}", http.StatusOK},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to.http+tt.path, strings.NewReader(tt.body))
		require.NoError(t, err)
		request.Host = tt.host
		request.Header.Set("Authorization", "Bearer any")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		var got struct {
			Status string         `json:"status"`
			Data   map[string]any `json:"data"`
		}
		require.NoError(t, json.NewDecoder(response.Body).Decode(&got), tt.name)
		require.NoError(t, response.Body.Close())
		require.Equal(t, tt.status, response.StatusCode, tt.name)
		require.Equal(t, "error", got.Status, tt.name)
		require.Contains(t, got.Data, "error_description", tt.name)
	}
}
