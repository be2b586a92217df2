package devas_test

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// TestKeycloakShape holds the dialect to what Keycloak does; TestKeycloak runs the
// same on the real one.
func TestKeycloakShape(t *testing.T) {
	t.Parallel()
	server := start(t, devas.Options{
		Dialect: devas.Keycloak(), RPTFormat: devas.FormatJWT, AccessTokenFormat: devas.FormatJWT,
		Clients: []devas.Client{{ID: "photos-api", Secret: "photos-api-secret"}},
	})
	_, err := server.Permit(devas.Policy{Resource: "*", Subjects: []string{"alice"}})
	require.NoError(t, err)
	keycloakShape(t, &kit{Server: server, id: "photos-api", secret: "photos-api-secret"})
}

const (
	keycloakToken        = "/protocol/openid-connect/token"
	keycloakIntrospect   = keycloakToken + "/introspect"
	keycloakResources    = "/authz/protection/resource_set"
	keycloakRegistration = "/clients-registrations/openid-connect"
	keycloakPermission   = "/authz/protection/permission"
)

// keycloakShape checks what is peculiar to Keycloak and to its dialect. In both,
// alice may view and edit everything of the resource server, and bob nothing.
func keycloakShape(t *testing.T, k *kit) {
	t.Helper()
	a := k.post(t, keycloakToken, "", url.Values{"grant_type": {"client_credentials"}})
	require.Equal(t, 200, a.status, a.raw)
	k.pat, _ = a.body["access_token"].(string)
	post := func(t *testing.T, body string) answer {
		t.Helper()
		a, err := k.send(t, http.MethodPost, keycloakResources, k.pat, "application/json", body)
		require.NoError(t, err)
		return a
	}
	created := post(t, `{"name":"album","resource_scopes":["view","edit"],"uris":["/albums"],"attributes":{"a":["b"]}}`)
	id, _ := created.body["_id"].(string)
	party := func(t *testing.T, user string) string {
		t.Helper()
		a, err := k.send(t, http.MethodPost, keycloakToken, "none", "application/x-www-form-urlencoded",
			"grant_type=password&client_id=app&scope=openid&username="+user+"&password="+user)
		require.NoError(t, err)
		token, _ := a.body["access_token"].(string)
		return token
	}
	ticket := func(t *testing.T, scope string) string {
		t.Helper()
		a := k.json(t, http.MethodPost, keycloakPermission, []map[string]any{{"resource_id": id, "resource_scopes": []string{scope}}})
		require.Equal(t, 201, a.status, a.raw)
		text, _ := a.body["ticket"].(string)
		return text
	}
	umaGrant := func(t *testing.T, user, ticket string, more ...string) answer {
		t.Helper()
		f := url.Values{"grant_type": {devas.GrantUMA}, "ticket": {ticket}}
		for i := 0; i < len(more); i += 2 {
			f.Set(more[i], more[i+1])
		}
		return k.post(t, keycloakToken, party(t, user), f)
	}

	t.Run("the issuer has the realm's path", func(t *testing.T) {
		require.Contains(t, k.issuer(), "/realms/")
		a, err := k.send(t, http.MethodGet, "/.well-known/uma2-configuration", "", "", "")
		require.NoError(t, err)
		require.Equal(t, k.issuer(), a.body["issuer"])
		require.Equal(t, k.issuer()+keycloakResources, a.body["resource_registration_endpoint"])
		require.NotContains(t, a.body, "claims_interaction_endpoint")
		require.NotContains(t, a.body, "uma_profiles_supported")
	})
	t.Run("the scope uma_protection is refused", func(t *testing.T) {
		a := k.post(t, keycloakToken, "", url.Values{"grant_type": {"client_credentials"}, "scope": {"uma_protection"}})
		require.Equal(t, 400, a.status)
		require.Equal(t, "invalid_scope", a.body["error"])
	})
	t.Run("a bad PAT is 403", func(t *testing.T) {
		for _, path := range []string{keycloakResources, keycloakResources + "/" + id} {
			a, err := k.send(t, http.MethodGet, path, "garbage", "", "")
			require.NoError(t, err)
			require.Equal(t, 403, a.status)
			require.Equal(t, "invalid_bearer_token", a.body["error"])
		}
	})
	t.Run("a client without the UMA grant gets no PAT", func(t *testing.T) {
		c := k.register(t, keycloakRegistration, `{"grant_types":["client_credentials"]}`)
		require.Equal(t, 201, c.status, c.raw)
		other := &kit{Server: k.Server, url: k.url}
		other.id, _ = c.body["client_id"].(string)
		other.secret, _ = c.body["client_secret"].(string)
		a := other.post(t, keycloakToken, "", url.Values{"grant_type": {"client_credentials"}})
		require.Equal(t, 200, a.status, a.raw)
		token, _ := a.body["access_token"].(string)
		a, err := k.send(t, http.MethodGet, keycloakResources, token, "", "")
		require.NoError(t, err)
		require.Equal(t, 403, a.status, a.raw)
	})
	t.Run("resources", func(t *testing.T) {
		require.Equal(t, 201, created.status, created.raw)
		require.Empty(t, created.header.Get("Location"))
		require.Equal(t, 409, post(t, `{"name":"album","resource_scopes":[]}`).status)
		require.Equal(t, 400, post(t, `{"name":"x","description":"y"}`).status)
		require.Equal(t, 400, post(t, `{"name":"x","unknown":"y"}`).status)
		a := k.json(t, http.MethodGet, keycloakResources+"/"+id, nil)
		// Objects, with id and name in the answer to the registration, and later with
		// the name alone.
		require.ElementsMatch(t, []any{map[string]any{"name": "view"}, map[string]any{"name": "edit"}}, a.body["resource_scopes"])
		require.Contains(t, a.body["owner"], "id")
		scopes, _ := created.body["resource_scopes"].([]any)
		require.Len(t, scopes, 2)
		require.Contains(t, scopes[0], "id")
		require.Contains(t, created.body["owner"], "name")
		require.Equal(t, []any{"/albums"}, a.body["uris"])
		// A full replace, attributes apart.
		a = k.json(t, http.MethodPut, keycloakResources+"/"+id, map[string]any{
			"name": "album", "resource_scopes": []any{map[string]string{"name": "view"}, map[string]string{"name": "edit"}},
		})
		require.Equal(t, 204, a.status)
		a = k.json(t, http.MethodGet, keycloakResources+"/"+id, nil)
		require.Empty(t, a.body["uris"])
		require.Equal(t, map[string]any{"a": []any{"b"}}, a.body["attributes"])
	})
	t.Run("permission requests are arrays", func(t *testing.T) {
		a := k.json(t, http.MethodPost, keycloakPermission, map[string]any{"resource_id": id, "resource_scopes": []string{"view"}})
		require.Equal(t, 400, a.status)
		a = k.json(t, http.MethodPost, keycloakPermission, []any{})
		require.Equal(t, "invalid_permission_request", a.body["error"])
	})
	t.Run("a refusal is access_denied", func(t *testing.T) {
		a := umaGrant(t, "bob", ticket(t, "edit"))
		require.Equal(t, 403, a.status)
		require.Equal(t, "access_denied", a.body["error"])
		require.Equal(t, "request_submitted", a.body["error_description"])
		a = umaGrant(t, "bob", ticket(t, "edit"), "submit_request", "false")
		require.Equal(t, "not_authorized", a.body["error_description"])
		require.Equal(t, "invalid_ticket", umaGrant(t, "bob", "garbage").body["error"])
		a = umaGrant(t, "bob", ticket(t, "edit"), "submit_request", "true", "response_mode", "permissions")
		require.Equal(t, "request_submitted", a.body["error_description"])
	})
	t.Run("permissions instead of an RPT", func(t *testing.T) {
		a := umaGrant(t, "alice", ticket(t, "view"), "submit_request", "true", "response_mode", "permissions")
		require.Equal(t, 200, a.status, a.raw)
		require.Equal(t, []any{map[string]any{"rsid": id, "rsname": "album", "scopes": []any{"view"}}}, a.list)
	})
	t.Run("a token is evaluated", func(t *testing.T) {
		other := post(t, `{"name":"other","resource_scopes":["view","edit"]}`)
		otherID, _ := other.body["_id"].(string)
		ask := func(t *testing.T, token string, form url.Values, permissions ...string) answer {
			t.Helper()
			f := url.Values{"grant_type": {devas.GrantUMA}, "audience": {k.id}, "response_mode": {"permissions"}, "permission": permissions}
			maps.Copy(f, form)
			if len(f["response_mode"]) == 0 {
				f.Del("response_mode")
			}
			return k.post(t, keycloakToken, token, f)
		}
		alice, bob := party(t, "alice"), party(t, "bob")
		a := ask(t, alice, nil, id+"#view,edit")
		require.Equal(t, 200, a.status, a.raw)
		require.Len(t, a.list, 1)
		got, _ := a.list[0].(map[string]any)
		require.Equal(t, id, got["rsid"])
		require.Equal(t, "album", got["rsname"])
		require.ElementsMatch(t, []any{"view", "edit"}, got["scopes"])
		require.NotContains(t, got, "resource_id")
		both := ask(t, alice, nil, id+"#view", otherID+"#edit")
		require.Len(t, both.list, 2, both.raw)
		require.GreaterOrEqual(t, len(ask(t, alice, nil).list), 2, "everything")
		require.Len(t, ask(t, alice, nil, "album#view").list, 1, "by its name")
		require.Equal(t, map[string]any{"result": true}, ask(t, alice, url.Values{"response_mode": {"decision"}}, id+"#view").body)
		rpt, _ := ask(t, alice, url.Values{"response_mode": nil}, id+"#view").body["access_token"].(string)
		require.NotEmpty(t, rpt)
		require.Len(t, ask(t, rpt, nil, id+"#edit").list, 1, "an RPT does, too, and for more than it has")
		for _, refused := range []struct {
			status            int
			code, description string
			got               answer
		}{
			{403, "access_denied", "not_authorized", ask(t, bob, nil, id+"#view")},
			{403, "access_denied", "not_authorized", ask(t, bob, url.Values{"submit_request": {"true"}}, id+"#view")},
			{cmp.Or(k.badBearer, 400), "invalid_grant", "Invalid bearer token", ask(t, "garbage", nil, id+"#view")},
			{400, "invalid_resource", "Resource with id [nope] does not exist.", ask(t, alice, nil, "nope#view")},
			{400, "invalid_resource", "Resource with id [nope] does not exist.", ask(t, alice, nil, "nope#view", id+"#view")}, // the other way round, Keycloak leaves it out
			{400, "invalid_scope", "One of the given scopes [nope] is invalid", ask(t, alice, nil, id+"#nope")},
			{400, "invalid_request", "Unknown resource server id: [nope]", ask(t, alice, url.Values{"audience": {"nope"}}, id+"#view")},
			{400, "invalid_request", "Invalid response_mode", ask(t, alice, url.Values{"response_mode": {"nope"}}, id+"#view")},
		} {
			require.Equal(t, refused.status, refused.got.status, refused.got.raw)
			require.Equal(t, refused.code, refused.got.body["error"])
			require.Equal(t, refused.description, refused.got.body["error_description"])
		}
		require.Equal(t, 204, k.json(t, http.MethodDelete, keycloakResources+"/"+otherID, nil).status)
	})
	t.Run("introspection", func(t *testing.T) {
		used := ticket(t, "view")
		a := umaGrant(t, "alice", used)
		require.Equal(t, 200, a.status, a.raw)
		require.Equal(t, 200, umaGrant(t, "alice", used).status, "a ticket is reusable")
		rpt, _ := a.body["access_token"].(string)
		require.Equal(t, 401, k.post(t, keycloakIntrospect, k.pat, url.Values{"token": {rpt}}).status, "a PAT does not do")

		hinted := k.post(t, keycloakIntrospect, "", url.Values{"token": {rpt}, "token_type_hint": {"requesting_party_token"}})
		require.Equal(t, true, hinted.body["active"])
		require.Equal(t, []any{map[string]any{
			"rsid": id, "rsname": "album", "scopes": []any{"view"}, "resource_id": id, "resource_scopes": []any{"view"},
		}}, hinted.body["permissions"])
		plain := k.post(t, keycloakIntrospect, "", url.Values{"token": {rpt}})
		require.NotContains(t, plain.body, "permissions")
		for _, member := range []string{"sub", "iss", "client_id"} {
			require.NotContains(t, hinted.body, member)
			require.Contains(t, plain.body, member)
		}
		require.Equal(t, 204, k.json(t, http.MethodDelete, keycloakResources+"/"+id, nil).status)
		hinted = k.post(t, keycloakIntrospect, "", url.Values{"token": {rpt}, "token_type_hint": {"requesting_party_token"}})
		require.NotEmpty(t, hinted.body["permissions"], "an RPT is a snapshot")
	})
	t.Run("the list has pages and filters", func(t *testing.T) {
		var ids []any
		for i := range 130 {
			a := post(t, `{"name":"R-`+strconv.Itoa(i)+`","type":"t","resource_scopes":["view"]}`)
			require.Equal(t, 201, a.status)
			ids = append(ids, a.body["_id"])
		}
		list := func(query string) []any {
			t.Helper()
			a := k.json(t, http.MethodGet, keycloakResources+query, nil)
			require.Equal(t, 200, a.status)
			return a.list
		}
		require.Len(t, list(""), 100)
		pages := slices.Concat(list("?name=r-&first=0&max=100"), list("?name=r-&first=100&max=100"))
		require.Len(t, pages, 130)
		require.Subset(t, ids, pages, "the pages have them all, in an order of Keycloak's own")
		require.Empty(t, list("?first=1000"))
		require.Equal(t, []any{ids[7]}, list("?name=r-7&exactName=true"))
		require.Len(t, list("?name=r-7"), 11)
		require.Len(t, list("?type=t&scope=view&max=500"), 130)
		require.Empty(t, list("?type=u"))
		first, ok := list("?deep=true&max=1")[0].(map[string]any)
		require.True(t, ok)
		require.Contains(t, ids, first["_id"])
	})
	t.Run("registration", func(t *testing.T) {
		register := func(body string) answer {
			t.Helper()
			return k.register(t, keycloakRegistration, body)
		}
		require.Equal(t, 201, register(`{"grant_types":["`+devas.GrantUMA+`"]}`).status)
		require.Equal(t, 400, register(`{"grant_types":["`+devas.GrantUMA+`"],"software_statement":"x"}`).status)
		require.Equal(t, 400, register(`{"grant_types":["`+devas.GrantUMA+`"],"unknown":"x"}`).status)
		require.Equal(t, 400, register(`{"grant_types":["`+devas.GrantUMA+`"],"client_id":"x"}`).status)
	})
}
