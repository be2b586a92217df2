package flows

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const umaGrant = "urn:ietf:params:oauth:grant-type:uma-ticket"

// world is an issuer with its discovery document read.
type world struct {
	Issuer
	meta map[string]any
}

// reply is an answer with its JSON body.
type reply struct {
	status int
	header http.Header
	body   map[string]any // nil unless the body is a JSON object
	list   []any          // nil unless the body is a JSON array
	raw    string
}

// text returns a member that must be a string; "" when it is not there.
func (r reply) text(name string) string {
	s, _ := r.body[name].(string)
	return s
}

func (r reply) requireRefusal(t *testing.T, want Refusal) {
	t.Helper()
	require.Equal(t, want.Status, r.status, r.raw)
	require.Equal(t, want.Code, r.text("error"), r.raw)
}

func (w *world) client() *http.Client {
	if w.HTTP != nil {
		return w.HTTP
	}
	return http.DefaultClient
}

// endpoint returns an endpoint of the discovery document.
func (w *world) endpoint(t *testing.T, name string) string {
	t.Helper()
	s, _ := w.meta[name].(string)
	require.NotEmpty(t, s, "discovery has no %s", name)
	return s
}

// auth puts credentials on a request.
type auth func(*http.Request)

func bearer(token string) auth {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func basic(id, secret string) auth {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
}

func nobody(*http.Request) {}

func (w *world) do(t *testing.T, method, target, contentType, body string, as auth) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	require.NoError(t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("Accept", "application/json")
	as(req)
	resp, err := w.client().Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	require.NoError(t, err)
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(b)}
	var v any
	if json.Unmarshal(b, &v) == nil {
		r.body, _ = v.(map[string]any)
		r.list, _ = v.([]any)
	}
	return r
}

func (w *world) json(t *testing.T, method, target string, v any, as auth) reply {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return w.do(t, method, target, "application/json", string(b), as)
}

func (w *world) form(t *testing.T, target string, f url.Values, as auth) reply {
	t.Helper()
	return w.do(t, http.MethodPost, target, "application/x-www-form-urlencoded", f.Encode(), as)
}

func (w *world) token(t *testing.T, f url.Values, as auth) reply {
	t.Helper()
	return w.form(t, w.endpoint(t, "token_endpoint"), f, as)
}

// registered is a client that a row has registered.
type registered struct {
	id, secret, registrationToken, registrationURI string
	answer                                         map[string]any
	pat                                            string
}

func (w *world) register(t *testing.T, metadata map[string]any) reply {
	t.Helper()
	as := nobody
	if w.InitialAccessToken != "" {
		as = bearer(w.InitialAccessToken)
	}
	return w.json(t, http.MethodPost, w.endpoint(t, "registration_endpoint"), metadata, as)
}

// newClient registers a client, and removes it when the row ends.
func (w *world) newClient(t *testing.T, metadata map[string]any) *registered {
	t.Helper()
	r := w.register(t, metadata)
	require.Equal(t, http.StatusCreated, r.status, r.raw)
	c := &registered{}
	c.read(r)
	t.Cleanup(func() {
		// The test's context ends before its clean-up; what fails here was removed by
		// the row itself.
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodDelete, c.registrationURI, nil)
		if err != nil {
			return
		}
		bearer(c.registrationToken)(req)
		if resp, err := w.client().Do(req); err == nil {
			_ = resp.Body.Close()
		}
	})
	return c
}

func (c *registered) read(r reply) {
	c.answer = r.body
	c.id, c.secret = r.text("client_id"), r.text("client_secret")
	c.registrationToken, c.registrationURI = r.text("registration_access_token"), r.text("registration_client_uri")
}

func (c *registered) auth() auth { return basic(c.id, c.secret) }

// rsMetadata is what a resource server registers with.
func (w *world) rsMetadata() map[string]any {
	m := map[string]any{
		"client_name": "flows resource server", "grant_types": []string{"client_credentials", umaGrant},
		"token_endpoint_auth_method": "client_secret_basic",
	}
	if w.can(PATScope) {
		m["scope"] = "uma_protection"
	}
	return m
}

// resourceServer registers a resource server and gets its PAT.
func (w *world) resourceServer(t *testing.T) *registered {
	t.Helper()
	rs := w.newClient(t, w.rsMetadata())
	r := w.token(t, w.patForm(), rs.auth())
	require.Equal(t, http.StatusOK, r.status, r.raw)
	rs.pat = r.text("access_token")
	require.NotEmpty(t, rs.pat)
	return rs
}

func (w *world) patForm() url.Values {
	f := url.Values{"grant_type": {"client_credentials"}}
	if w.can(PATScope) {
		f.Set("scope", "uma_protection")
	}
	return f
}

// resource registers a resource and returns its id.
func (w *world) resource(t *testing.T, rs *registered, name string, scopes ...string) string {
	t.Helper()
	r := w.json(t, http.MethodPost, w.endpoint(t, "resource_registration_endpoint"),
		map[string]any{"name": name, "resource_scopes": scopes}, bearer(rs.pat))
	require.Equal(t, http.StatusCreated, r.status, r.raw)
	id := r.text("_id")
	require.NotEmpty(t, id)
	return id
}

// permit lets alice.
func (w *world) permit(t *testing.T, rs *registered, id, name string, scopes ...string) Policy {
	t.Helper()
	p := Policy{ResourceServer: rs.id, ResourceID: id, ResourceName: name, Scopes: scopes, User: "alice"}
	w.Permit(t, p)
	return p
}

// asked is one entry of a permission request.
type asked struct {
	ResourceID string   `json:"resource_id"`
	Scopes     []string `json:"resource_scopes"`
}

func (w *world) permission(t *testing.T, rs *registered, body any) reply {
	t.Helper()
	return w.json(t, http.MethodPost, w.endpoint(t, "permission_endpoint"), body, bearer(rs.pat))
}

func (w *world) ticket(t *testing.T, rs *registered, list ...asked) string {
	t.Helper()
	r := w.permission(t, rs, list)
	require.Equal(t, http.StatusCreated, r.status, r.raw)
	require.NotEmpty(t, r.text("ticket"))
	return r.text("ticket")
}

// login gets a person's tokens by the password grant.
func (w *world) login(t *testing.T, user string) reply {
	t.Helper()
	r := w.token(t, url.Values{
		"grant_type": {"password"}, "client_id": {w.PartyClient}, "username": {user}, "password": {w.Users[user]}, "scope": {"openid"},
	}, nobody)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.NotEmpty(t, r.text("access_token"))
	return r
}

// grant asks for an RPT as the person, whose access token is the credential.
func (w *world) grant(t *testing.T, user, ticket string) reply {
	t.Helper()
	return w.token(t, url.Values{"grant_type": {umaGrant}, "ticket": {ticket}}, bearer(w.login(t, user).text("access_token")))
}

// rpt gets one for alice, or fails.
func (w *world) rpt(t *testing.T, ticket string) string {
	t.Helper()
	r := w.grant(t, "alice", ticket)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.True(t, strings.EqualFold("Bearer", r.text("token_type")), r.raw)
	return r.text("access_token")
}

func (w *world) introspect(t *testing.T, rs *registered, token string) reply {
	t.Helper()
	f := url.Values{"token": {token}}
	if w.TokenTypeHint != "" {
		f.Set("token_type_hint", w.TokenTypeHint)
	}
	return w.form(t, w.endpoint(t, "introspection_endpoint"), f, rs.auth())
}

// permissions reads those of an active RPT, in one spelling and order.
func (w *world) permissions(t *testing.T, rs *registered, rpt string) map[string][]string {
	t.Helper()
	r := w.introspect(t, rs, rpt)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, true, r.body["active"], r.raw)
	return readPermissions(t, r.body["permissions"])
}

func readPermissions(t *testing.T, v any) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	list, _ := v.([]any)
	for _, entry := range list {
		m, ok := entry.(map[string]any)
		require.True(t, ok, "a permission is not an object: %v", entry)
		id, _ := m["resource_id"].(string)
		if id == "" {
			id, _ = m["rsid"].(string)
		}
		scopes, ok := m["resource_scopes"].([]any)
		if !ok {
			scopes, _ = m["scopes"].([]any)
		}
		names := []string{}
		for _, s := range scopes {
			name, ok := s.(string)
			require.True(t, ok, "a scope is not a string: %v", s)
			names = append(names, name)
		}
		slices.Sort(names)
		out[id] = names
	}
	return out
}
