package rpt_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/plugin/config"
)

// world is an API that speaks UMA, and a development AS.
type world struct {
	as  *devas.Server
	api *httptest.Server
}

func newWorld(t *testing.T, dialect devas.Dialect) *world {
	t.Helper()
	server, err := devas.New(devas.Options{
		Dialect:     dialect,
		SkipConsent: true,
		Users:       []devas.User{{Name: "alice", Password: "alice-password"}, {Name: "bob", Password: "bob-password"}},
		Clients: []devas.Client{
			{ID: "app", Secret: "app-secret"},
			{ID: "robot", Secret: "robot-secret"},
			{ID: "rs", Secret: "rs-secret"},
		},
	})
	require.NoError(t, err)
	stop, err := server.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { stop() })
	w := &world{as: server}
	w.api = httptest.NewServer(w.guard(t))
	t.Cleanup(w.api.Close)
	for _, p := range []devas.Policy{{Resource: "albums", Subjects: []string{"alice"}}, {Resource: "albums", Clients: []string{"robot"}}} {
		_, err := server.Permit(p)
		require.NoError(t, err)
	}
	return w
}

// guard is a resource server in thirty lines.
func (w *world) guard(t *testing.T) http.Handler {
	t.Helper()
	client, err := as.New(as.Config{Issuer: w.as.Issuer()})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("rs-secret"), nil)
	require.NoError(t, err)
	pat, err := server.PAT(t.Context(), auth)
	require.NoError(t, err)
	pats := as.NewPATSource(pat, nil, nil, nil)
	protection := server.Protection(pats)
	albums, err := protection.Create(t.Context(), as.Resource{Name: "albums", Scopes: []string{"view"}})
	require.NoError(t, err)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token := r.Header.Get("Authorization"); len(token) > len("Bearer ") {
			answer, err := server.Introspect(r.Context(), auth, pats, secret.New(token[len("Bearer "):]))
			var got struct {
				Permissions []json.RawMessage `json:"permissions"`
			}
			if err == nil && json.Unmarshal(answer, &got) == nil && len(got.Permissions) > 0 {
				_, _ = rw.Write([]byte("an album of " + r.Host))
				return
			}
		}
		ticket, err := protection.Permission(r.Context(), []config.Permission{{ResourceID: albums.ID, ResourceScopes: []string{"view"}}})
		if err != nil {
			http.Error(rw, err.Error(), http.StatusForbidden)
			return
		}
		rw.Header().Add("WWW-Authenticate", `Bearer realm="x"`)
		rw.Header().Add("WWW-Authenticate", `UMA realm="x", as_uri="`+w.as.Issuer()+`", ticket="`+ticket+`"`)
		rw.WriteHeader(http.StatusUnauthorized)
	})
}

// scripted is an AS whose token endpoint answers what a test says, one after
// another.
type scripted struct {
	*httptest.Server

	answers []func(form url.Values) (int, map[string]any)
	forms   []url.Values
	logins  []url.Values
}

func newScripted(t *testing.T, answers ...func(url.Values) (int, map[string]any)) *scripted {
	t.Helper()
	s := &scripted{answers: answers}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/uma2-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]any{
			"issuer": s.URL, "token_endpoint": s.URL + "/token", "authorization_endpoint": s.URL + "/authorize",
			"introspection_endpoint": s.URL + "/i", "permission_endpoint": s.URL + "/p", "resource_registration_endpoint": s.URL + "/r",
			"jwks_uri": s.URL + "/jwks",
		})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s.logins = append(s.logins, q)
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {"c"}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("GET /claims", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		http.Redirect(w, r, q.Get("claims_redirect_uri")+"?"+url.Values{"ticket": {q.Get("ticket") + "-gathered"}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil || len(s.answers) == 0 {
			http.Error(w, "unexpected", http.StatusTeapot)
			return
		}
		s.forms = append(s.forms, r.PostForm)
		status, body := s.answers[0](r.PostForm)
		s.answers = s.answers[1:]
		writeJSON(w, status, body)
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// challenging is an API that wants the RPT "rpt", of an AS.
func challenging(t *testing.T, asURI string) *httptest.Server {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer rpt" {
			_, _ = w.Write([]byte("the album"))
			return
		}
		w.Header().Set("WWW-Authenticate", `UMA realm="x", as_uri="`+asURI+`", ticket="t0"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	return api
}
