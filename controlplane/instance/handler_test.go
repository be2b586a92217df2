package instance_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/secret"
)

// TestHandler walks what the filter asks and tells, and what anybody else gets.
func TestHandler(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	counted := map[string]int{}
	handler := &instance.Handler{
		Credential: secret.New("hush"), Logger: slog.New(slog.DiscardHandler),
		Manager: func(site string) *instance.Manager {
			if site != "photos" {
				return nil
			}
			return w.manager
		},
		Observe: func(call string, _ int) { counted[call]++ },
	}
	const album = `{"site":"photos","resource":"album-{id}","values":["7"]`
	tests := []struct {
		name, method, path, credential, body string
		before                               func()
		status                               int
		answer                               string
	}{
		{name: "nobody", path: "lookup", credential: "-", body: album + `}`, status: 401},
		{name: "somebody else", path: "lookup", credential: "Bearer other", body: album + `}`, status: 401},
		{name: "another scheme", path: "lookup", credential: "Basic hush", body: album + `}`, status: 401},
		{name: "GET", method: "GET", path: "lookup", status: 405},
		{name: "another call", path: "forget", body: album + `}`, status: 404},
		{name: "no JSON", path: "lookup", body: `<`, status: 400},
		{name: "a member too many", path: "lookup", body: album + `,"x":1}`, status: 400},
		{name: "a body without end", path: "lookup", body: `{"site":"` + strings.Repeat("a", 20_000), status: 400},
		{name: "another site", path: "lookup", body: `{"site":"other","resource":"album-{id}","values":["7"]}`, status: 404},
		{name: "another resource", path: "lookup", body: `{"site":"photos","resource":"box-{id}","values":["7"]}`, status: 404},
		{name: "not registered", path: "lookup", body: album + `}`, status: 404, answer: `"unknown"`},
		{name: "made by nobody", path: "register", body: album + `}`, status: 422},
		{name: "made", path: "register", body: album + `,"owner":"alice"}`, status: 201, answer: `"resource_id":"id-1"`},
		{name: "made again", path: "register", body: album + `,"owner":"alice"}`, status: 201, answer: `"resource_id":"id-1"`},
		{name: "made by somebody else", path: "register", body: album + `,"owner":"bob"}`, status: 409, answer: `"another_owner"`},
		{name: "registered", path: "lookup", body: album + `}`, status: 200, answer: `"resource_id":"id-1"`},
		{name: "removed", path: "remove", body: album + `}`, status: 202},
		{name: "removed again", path: "remove", body: album + `}`, status: 204},
		{name: "the AS is down", path: "lookup", body: strings.Replace(album, "7", "8", 1) + `}`, status: 500, before: func() { w.as.fail = unavailable }},
		{name: "made while it is", path: "register", body: album + `,"owner":"alice"}`, status: 202, answer: `"pending"`},
	}
	for _, tt := range tests {
		if tt.before != nil {
			w.as.set(tt.before)
		}
		if tt.method == "" {
			tt.method = http.MethodPost
		}
		r := httptest.NewRequestWithContext(t.Context(), tt.method, "/v1/instances/"+tt.path, strings.NewReader(tt.body))
		switch tt.credential {
		case "-":
		case "":
			r.Header.Set("Authorization", "Bearer hush")
		default:
			r.Header.Set("Authorization", tt.credential)
		}
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		require.Equal(t, tt.status, answer.Code, "%s: %s", tt.name, answer.Body)
		require.Contains(t, answer.Body.String(), tt.answer, tt.name)
		require.Equal(t, "no-store", answer.Header().Get("Cache-Control"))
		require.NotContains(t, answer.Body.String(), "hush")
	}
	require.Equal(t, 1, counted["other"])

	// Without a credential of its own it lets nobody in.
	handler.Credential = secret.Text{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/instances/lookup", strings.NewReader(album+`}`))
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, r)
	require.Equal(t, 401, answer.Code)
}
