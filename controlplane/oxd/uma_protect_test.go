package oxd_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

func TestProtect(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	k.protect(t, id, photo, nil)
	require.Equal(t, map[string][]string{"[GET] /photo": {"view"}, "[PUT, POST] /photo": {"add", "all"}, "[GET] /albums/{id}/**": {"view"}}, k.atAS(t))
	require.Equal(t, int64(1), k.pushed.Load())
	before := k.records(t, id)
	require.Len(t, before, 3)

	// A second time needs overwrite; nothing is changed without.
	again := map[string]any{"oxd_id": id, "resources": json.RawMessage(photo)}
	k.fails(t, "uma_protection_exists", "uma_rs_protect", again)
	again["overwrite"] = false
	k.fails(t, "uma_protection_exists", "uma_rs_protect", again)
	require.Equal(t, before, k.records(t, id))

	// Overwrite: what is gone is deleted, what stays keeps its id and so its policies.
	k.protect(t, id, `[{"path":"/photo","conditions":[{"httpMethods":["GET"],"scopes":["view","print"]}]},{"path":"/new","conditions":[{"httpMethods":["DELETE"],"scopes":["all"]}]}]`,
		map[string]any{"overwrite": true})
	require.Equal(t, map[string][]string{"[GET] /photo": {"print", "view"}, "[DELETE] /new": {"all"}}, k.atAS(t))
	after := k.records(t, id)
	require.Equal(t, before["[GET] /photo"], after["[GET] /photo"])
	require.Len(t, after, 2)
	require.Equal(t, int64(2), k.pushed.Load())

	// One application's are not another's.
	other := k.register(t, nil)
	k.protect(t, other, photo, nil)
	require.Equal(t, after, k.records(t, id))
	data := k.fails(t, "invalid_request", "uma_rs_check_access", map[string]any{"oxd_id": k.register(t, nil), "rpt": "", "path": "/photo", "http_method": "GET"})
	require.Equal(t, "Resource is not protected. Please protect your resource first with uma_rs_protect command.", data["error_description"])

	// A removed site protects nothing any more.
	k.ok(t, "remove_site", map[string]any{"oxd_id": other})
	_, err := k.store.Protection(t.Context(), other)
	require.Error(t, err)
}

func TestProtectErrors(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	tests := []struct{ name, code, resources string }{
		{"none", "invalid_uma_request", `[]`},
		{"left out", "invalid_uma_request", `null`},
		{"not unique", "http_method_not_unique", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scopes":["a"]},{"httpMethods":["GET"],"scopes":["b"]}]}]`},
		{"expression", "invalid_scope_expressioin", `[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":0},"data":[]}}]}]`},
		{"method", "invalid_http_method", `[{"path":"/a","conditions":[{"httpMethods":["G T"],"scopes":["a"]}]}]`},
		{"path", "invalid_path_parameter", `[{"path":"a","conditions":[{"httpMethods":["GET"],"scopes":["a"]}]}]`},
		{"scope", "invalid_scope", `[{"path":"/a","conditions":[{"httpMethods":["GET"]}]}]`},
		{"a list of strings", "internal_error", `["/a"]`},
		{"an object", "internal_error", `{"path":"/a"}`},
		{"methods are one string", "internal_error", `[{"path":"/a","conditions":[{"httpMethods":"GET","scopes":["a"]}]}]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k.fails(t, tt.code, "uma_rs_protect", map[string]any{"oxd_id": id, "resources": json.RawMessage(tt.resources)})
		})
	}
	k.fails(t, "invalid_oxd_id", "uma_rs_protect", map[string]any{"oxd_id": "nobody", "resources": json.RawMessage(photo)})
	k.fails(t, "bad_request", "uma_rs_protect", map[string]any{"resources": json.RawMessage(photo)})
	require.Empty(t, k.atAS(t), "nothing of what was refused is registered")
	require.Zero(t, k.pushed.Load())
}

func TestModify(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, nil)
	change := map[string]any{"oxd_id": id, "path": "/photo", "http_method": "get", "scopes": []string{"print"}}
	k.fails(t, "invalid_request", "uma_rs_modify", change)
	k.protect(t, id, photo, nil)
	before := k.records(t, id)
	require.Equal(t, map[string]any{"oxd_id": id}, k.ok(t, "uma_rs_modify", change))
	require.Equal(t, []string{"print"}, k.atAS(t)["[GET] /photo"])
	require.Equal(t, before, k.records(t, id))
	k.ok(t, "uma_rs_modify", map[string]any{"oxd_id": id, "path": "/photo", "http_method": "POST", "scope_expression": map[string]any{"rule": map[string]any{"and": []any{map[string]int{"var": 0}, map[string]int{"var": 1}}}, "data": []string{"x", "y"}}})
	require.Equal(t, []string{"x", "y"}, k.atAS(t)["[PUT, POST] /photo"])
	for code, params := range map[string]map[string]any{
		"invalid_http_method":       {"path": "/photo", "scopes": []string{"a"}},
		"invalid_path_parameter":    {"http_method": "GET", "scopes": []string{"a"}},
		"invalid_uma_request":       {"http_method": "GET", "path": "/photo"},
		"invalid_request":           {"http_method": "DELETE", "path": "/photo", "scopes": []string{"a"}},
		"invalid_scope":             {"http_method": "GET", "path": "/photo", "scopes": []string{"a b"}},
		"invalid_scope_expressioin": {"http_method": "GET", "path": "/photo", "scope_expression": map[string]any{"rule": 1}},
	} {
		params["oxd_id"] = id
		k.fails(t, code, "uma_rs_modify", params)
	}
}

// TestProtectSurvivesTheAS: what goes wrong at the AS is told, and the next try
// goes on from there.
func TestProtectSurvivesTheAS(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		fault devas.Fault
		code  string // empty: it succeeds all the same
	}{
		{"a PAT that ended", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultBadToken, Count: 1}, ""},
		{"a bad request once", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus, Status: 400, Count: 1}, ""},
		{"a bad request always", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus, Status: 400}, "http_status_400"},
		{"an error", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultStatus}, "http_status_500"},
		{"down", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultDown}, "internal_error"},
		{"down after the first", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultDown, Skip: 2}, "internal_error"},
		{"html", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultHTML}, "internal_error"},
		{"half an answer", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultTruncated}, "internal_error"},
		{"wrong types", devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultWrongTypes}, "internal_error"},
		{"no PAT", devas.Fault{Endpoint: devas.EndpointToken, Kind: devas.FaultStatus, Status: 401}, "http_status_401"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, devas.Options{})
			id := k.register(t, nil)
			require.NoError(t, k.op.SetFault(tt.fault))
			params := map[string]any{"oxd_id": id, "resources": json.RawMessage(photo)}
			if tt.code != "" {
				k.fails(t, tt.code, "uma_rs_protect", params)
				k.op.ClearFaults("")
			}
			// A first protection that failed is no protection: no overwrite is needed.
			k.protect(t, id, photo, nil)
			require.Len(t, k.atAS(t), 3)
			require.Len(t, k.op.Resources(), 3, "nothing is registered twice")
			k.fails(t, "uma_protection_exists", "uma_rs_protect", params)

			// Overwriting fails in the middle: what was there is not given up for open.
			k.permit(t, "[GET] /photo")
			require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: devas.EndpointResources, Kind: devas.FaultDown, Skip: 3}))
			next := map[string]any{"oxd_id": id, "overwrite": true, "resources": json.RawMessage(`[{"path":"/other","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)}
			k.fails(t, "internal_error", "uma_rs_protect", next)
			k.op.ClearFaults("")
			k.ok(t, "uma_rs_protect", next)
			require.Len(t, k.op.Resources(), 1)
		})
	}
}

// TestProtectTakesOver: overwrite takes over what the client had registered before
// umagate was there, and nothing that another oxd_id has.
func TestProtectTakesOver(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"names are unique": devas.Keycloak(), "names are free": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newUMAKit(t, devas.Options{Dialect: dialect})
			scope := []string{"openid"}
			if !dialect.PATWithoutScope {
				scope = append(scope, "uma_protection")
			}
			id := k.register(t, map[string]any{"scope": scope})
			rp, err := k.store.RP(t.Context(), id)
			require.NoError(t, err)
			k.protect(t, id, photo, nil)
			ids := k.records(t, id)

			// The same client again, under another oxd_id that knows nothing.
			other := k.register(t, map[string]any{"client_id": rp.ClientID, "client_secret": k.secret(t, id), "scope": scope})
			params := map[string]any{"oxd_id": other, "resources": json.RawMessage(photo), "overwrite": true}
			k.fails(t, "uma_protection_exists", "uma_rs_protect", params)
			require.Empty(t, k.records(t, other))
			k.ok(t, "uma_rs_protect", map[string]any{"oxd_id": other, "overwrite": true, "resources": json.RawMessage(`[{"path":"/other","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`)})
			require.Equal(t, ids, k.records(t, id))
			require.Equal(t, ids, k.idsAtAS(t, ids))

			// What nobody has any more may be taken over.
			k.ok(t, "remove_site", map[string]any{"oxd_id": id})
			k.ok(t, "uma_rs_protect", params)
			require.Equal(t, ids, k.records(t, other))
		})
	}
}

// TestProtectLeavesTheFilesSites: overwrite takes nothing that a site of the file has
// registered with the same client.
func TestProtectLeavesTheFilesSites(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{Dialect: devas.Keycloak()})
	first := k.register(t, map[string]any{"scope": []string{"openid"}})
	rp, err := k.store.RP(t.Context(), first)
	require.NoError(t, err)
	second := k.register(t, map[string]any{"client_id": rp.ClientID, "client_secret": k.secret(t, first), "scope": []string{"openid"}})
	k.protect(t, first, photo, nil)
	ids := k.records(t, first)
	k.ok(t, "remove_site", map[string]any{"oxd_id": first})
	// What is left at the AS, a site of the file has taken over.
	file := store.Key{Site: "photos", Issuer: rp.Issuer}
	require.NoError(t, k.store.PutResource(t.Context(), file, store.Resource{Name: "photo", State: store.ResourceRegistered, ID: ids["[GET] /photo"]}))
	params := map[string]any{"oxd_id": second, "resources": json.RawMessage(photo), "overwrite": true}
	k.fails(t, "uma_protection_exists", "uma_rs_protect", params)
	require.NoError(t, k.store.DeleteResource(t.Context(), file, "photo"))
	k.ok(t, "uma_rs_protect", params)
	require.Equal(t, ids, k.records(t, second))
}

// secret is the client secret of an RP.
func (k *umaKit) secret(t *testing.T, id string) string {
	t.Helper()
	rp, err := k.store.RP(t.Context(), id)
	require.NoError(t, err)
	var sealed struct {
		Secret string `json:"client_secret"`
	}
	require.NoError(t, json.Unmarshal([]byte(rp.Secrets.Reveal()), &sealed))
	return sealed.Secret
}

// idsAtAS are those of ids that the AS has.
func (k *umaKit) idsAtAS(t *testing.T, ids map[string]string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range k.op.Resources() {
		if ids[r.Name] == r.ID {
			out[r.Name] = r.ID
		}
	}
	return out
}
