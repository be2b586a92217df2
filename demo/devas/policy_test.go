package devas_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

func TestPolicies(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{Clients: []devas.Client{{ID: "other-app", Metadata: devas.Metadata{
		TokenEndpointAuthMethod: devas.AuthNone, GrantTypes: []string{devas.GrantPassword, devas.GrantUMA},
	}}}})
	id := k.resource(t, "album", "view", "edit")
	other := k.resource(t, "other", "view")
	for _, tt := range []struct {
		name   string
		policy devas.Policy
		// what alice and bob are granted of view and edit, with the client "app"
		alice, bob []any
	}{
		{"one person, one scope", devas.Policy{Resource: id, Scopes: []string{"view"}, Subjects: []string{"alice"}}, []any{"view"}, nil},
		{"by name", devas.Policy{Resource: "album", Subjects: []string{"bob"}}, nil, []any{"view", "edit"}},
		{"everybody", devas.Policy{Resource: "*", Scopes: []string{"edit"}, Subjects: []string{"*"}}, []any{"edit"}, []any{"edit"}},
		{"another resource", devas.Policy{Resource: other, Subjects: []string{"*"}}, nil, nil},
		{"another client", devas.Policy{Resource: id, Subjects: []string{"*"}, Clients: []string{"other-app"}}, nil, nil},
		{"this client, for alice", devas.Policy{Resource: id, Subjects: []string{"alice"}, Clients: []string{"app"}}, []any{"view", "edit"}, nil},
		{"this client, whoever uses it", devas.Policy{Resource: id, Clients: []string{"app"}}, []any{"view", "edit"}, []any{"view", "edit"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k.ForbidAll()
			policy, err := k.Permit(tt.policy)
			require.NoError(t, err)
			for user, want := range map[string][]any{"alice": tt.alice, "bob": tt.bob} {
				a := k.grant(t, user, id, "view", "edit")
				if want == nil {
					require.Equal(t, "request_denied", a.body["error"], "%s: %s", user, a.raw)
					continue
				}
				require.Equal(t, 200, a.status, "%s: %s", user, a.raw)
				rpt, _ := a.body["access_token"].(string)
				list, _ := k.introspect(t, rpt).body["permissions"].([]any)
				require.Len(t, list, 1)
				granted, _ := list[0].(map[string]any)
				require.ElementsMatch(t, want, granted["resource_scopes"], user)
			}
			require.True(t, k.Forbid(policy))
			require.False(t, k.Forbid(policy))
			require.Empty(t, k.Policies())
		})
	}
	t.Run("replaced by its id", func(t *testing.T) {
		_, err := k.Permit(devas.Policy{ID: "p", Resource: id, Subjects: []string{"alice"}})
		require.NoError(t, err)
		_, err = k.Permit(devas.Policy{ID: "p", Resource: other, Subjects: []string{"alice"}})
		require.NoError(t, err)
		require.Len(t, k.Policies(), 1)
		require.Equal(t, 403, k.grant(t, "alice", id, "view").status)
		k.rpt(t, "alice", other, "view")
	})
	for _, p := range []devas.Policy{{}, {Resource: id}, {Subjects: []string{"alice"}}} {
		_, err := k.Permit(p)
		require.Error(t, err, "%+v says nothing", p)
	}
}

func TestNoPartialGrants(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{NoPartialGrants: true})
	id := k.resource(t, "album", "view", "edit")
	_, err := k.Permit(devas.Policy{Resource: id, Scopes: []string{"view"}, Subjects: []string{"alice"}})
	require.NoError(t, err)
	k.rpt(t, "alice", id, "view")
	require.Equal(t, "request_denied", k.grant(t, "alice", id, "view", "edit").body["error"])
}

func TestAnAccessTokenAsClaim(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	id := k.resource(t, "album", "view")
	_, err := k.Permit(devas.Policy{Resource: id, Subjects: []string{"alice"}})
	require.NoError(t, err)
	grant := func(claim string) answer {
		a := k.json(t, http.MethodPost, "/uma/permission", map[string]any{"resource_id": id, "resource_scopes": []string{"view"}})
		ticket, _ := a.body["ticket"].(string)
		return k.post(t, "/token", "", url.Values{
			"grant_type": {devas.GrantUMA}, "ticket": {ticket}, "claim_token": {claim}, "claim_token_format": {devas.FormatAccessToken},
		})
	}
	require.Equal(t, 200, grant(k.party(t, "alice")).status)
	require.Equal(t, "request_denied", grant(k.party(t, "bob")).body["error"])
	require.Equal(t, "need_info", grant("garbage").body["error"])
	require.Equal(t, "need_info", grant(k.pat).body["error"], "a client's own token is about nobody")
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{RPTFormat: devas.FormatJWT})
	_, err := k.Permit(devas.Policy{Resource: "*", Subjects: []string{"alice"}})
	require.NoError(t, err)
	alice := k.party(t, "alice")
	var all sync.WaitGroup
	failures := make(chan string, 100)
	for i := range 6 {
		all.Go(func() {
			for range 5 {
				if why := k.story(t, fmt.Sprint("album ", i), alice); why != "" {
					failures <- why
				}
			}
		})
	}
	all.Go(func() {
		for range 3 {
			k.RotateKeys(true)
			k.Resources()
			k.Policies()
			k.Calls(devas.EndpointToken)
		}
	})
	all.Wait()
	close(failures)
	for why := range failures {
		t.Error(why)
	}
}

// story registers a resource and gets to it. It says what went wrong.
func (k *kit) story(t *testing.T, name, party string) string {
	t.Helper()
	call := func(method, path, bearer, contentType, body string) answer {
		a, err := k.send(t, method, path, bearer, contentType, body)
		if err != nil {
			a.raw = err.Error()
		}
		return a
	}
	const form = "application/x-www-form-urlencoded"
	a := call(http.MethodPost, "/uma/resources", k.pat, "application/json", fmt.Sprintf(`{"name":%q,"resource_scopes":["view"]}`, name))
	id, _ := a.body["_id"].(string)
	a = call(http.MethodPost, "/uma/permission", k.pat, "application/json", fmt.Sprintf(`{"resource_id":%q,"resource_scopes":["view"]}`, id))
	ticket, _ := a.body["ticket"].(string)
	a = call(http.MethodPost, "/token", party, form, url.Values{"grant_type": {devas.GrantUMA}, "ticket": {ticket}}.Encode())
	rpt, _ := a.body["access_token"].(string)
	a = call(http.MethodPost, "/introspect", k.pat, form, url.Values{"token": {rpt}}.Encode())
	if active, _ := a.body["active"].(bool); !active || a.body["permissions"] == nil {
		return "the story of " + name + " ended with " + a.raw
	}
	call(http.MethodDelete, "/uma/resources/"+id, k.pat, "", "")
	return ""
}
