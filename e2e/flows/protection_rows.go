package flows

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func protectionRows() []row {
	return []row{
		{name: "a bad PAT is refused", run: func(t *testing.T, w *world) {
			t.Helper()
			for name, as := range map[string]auth{"none": nobody, "garbage": bearer("garbage")} {
				r := w.do(t, http.MethodGet, w.endpoint(t, "resource_registration_endpoint"), "", "", as)
				require.Equal(t, w.BadPAT.Status, r.status, name)
				require.Equal(t, w.BadPAT.Code, r.text("error"), name)
				r = w.json(t, http.MethodPost, w.endpoint(t, "permission_endpoint"), []asked{{"x", []string{"view"}}}, as)
				require.Equal(t, w.BadPAT.Status, r.status, name)
			}
		}},
		{name: "a person's token is no PAT", run: func(t *testing.T, w *world) {
			t.Helper()
			r := w.do(t, http.MethodGet, w.endpoint(t, "resource_registration_endpoint"), "", "", bearer(w.login(t, "bob").text("access_token")))
			require.Contains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, r.status, r.raw)
		}},
		{name: "the life of a resource", run: resourceLife},
		{name: "a resource tells where it is", needs: []Capability{ResourceLocation}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			r := w.json(t, http.MethodPost, w.endpoint(t, "resource_registration_endpoint"),
				map[string]any{"name": "located", "resource_scopes": []string{"view"}}, bearer(rs.pat))
			require.Equal(t, http.StatusCreated, r.status, r.raw)
			at := r.header.Get("Location")
			require.NotEmpty(t, at)
			require.Equal(t, http.StatusOK, w.do(t, http.MethodGet, at, "", "", bearer(rs.pat)).status)
		}},
		{name: "another resource server's resource cannot be reached", needs: []Capability{OwnResourcesOnly}, run: func(t *testing.T, w *world) {
			t.Helper()
			one, other := w.resourceServer(t), w.resourceServer(t)
			id := w.resource(t, one, "private", "view")
			require.Equal(t, http.StatusBadRequest, w.permission(t, other, []asked{{id, []string{"view"}}}).status)
			require.NotContains(t, w.list(t, other), id)
		}},
		{name: "permission requests that are refused", run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			for name, tt := range map[string]struct {
				body any
				code string
			}{
				"a resource that is not there": {[]asked{{"no-such-resource", []string{"view"}}}, "invalid_resource_id"},
				"a scope that it has not":      {[]asked{{id, []string{"fly"}}}, "invalid_scope"},
				"one bad of two":               {[]asked{{id, []string{"view"}}, {"no-such-resource", []string{"view"}}}, "invalid_resource_id"},
			} {
				r := w.permission(t, rs, tt.body)
				require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", name, r.raw)
				require.Equal(t, tt.code, r.text("error"), name)
			}
			require.Equal(t, http.StatusBadRequest, w.permission(t, rs, []asked{}).status)
		}},
		{name: "a permission request of one object", needs: []Capability{SinglePermission}, run: func(t *testing.T, w *world) {
			t.Helper()
			rs := w.resourceServer(t)
			id := w.resource(t, rs, "album", "view")
			r := w.permission(t, rs, asked{id, []string{"view"}})
			require.Equal(t, http.StatusCreated, r.status, r.raw)
			require.NotEmpty(t, r.text("ticket"))
		}},
	}
}

// list returns all ids, page by page.
func (w *world) list(t *testing.T, rs *registered) []string {
	t.Helper()
	r := w.do(t, http.MethodGet, w.endpoint(t, "resource_registration_endpoint"), "", "", bearer(rs.pat))
	require.Equal(t, http.StatusOK, r.status, r.raw)
	ids := []string{}
	for _, v := range r.list {
		id, ok := v.(string)
		require.True(t, ok, r.raw)
		ids = append(ids, id)
	}
	return ids
}

func resourceLife(t *testing.T, w *world) {
	t.Helper()
	rs := w.resourceServer(t)
	at := func(id string) string { return w.endpoint(t, "resource_registration_endpoint") + "/" + id }
	id := w.resource(t, rs, "album-1", "view", "edit")
	other := w.resource(t, rs, "album-2", "view")
	require.Subset(t, w.list(t, rs), []string{id, other})

	r := w.do(t, http.MethodGet, at(id), "", "", bearer(rs.pat))
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, "album-1", r.text("name"))
	require.Equal(t, []string{"edit", "view"}, scopeNames(r))

	r = w.json(t, http.MethodPut, at(id), map[string]any{"name": "album one", "resource_scopes": []string{"view", "print"}}, bearer(rs.pat))
	require.Contains(t, []int{http.StatusOK, http.StatusNoContent}, r.status, r.raw)
	r = w.do(t, http.MethodGet, at(id), "", "", bearer(rs.pat))
	require.Equal(t, "album one", r.text("name"))
	require.Equal(t, []string{"print", "view"}, scopeNames(r))

	require.Equal(t, http.StatusNoContent, w.do(t, http.MethodDelete, at(id), "", "", bearer(rs.pat)).status)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		require.Equal(t, http.StatusNotFound, w.do(t, method, at(id), "", "", bearer(rs.pat)).status, method)
	}
	require.NotContains(t, w.list(t, rs), id)
	require.Contains(t, w.list(t, rs), other)
}

// scopeNames reads resource_scopes, whose entries are strings or objects.
func scopeNames(r reply) []string {
	list, _ := r.body["resource_scopes"].([]any)
	names := []string{}
	for _, v := range list {
		switch s := v.(type) {
		case string:
			names = append(names, s)
		case map[string]any:
			name, _ := s["name"].(string)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
