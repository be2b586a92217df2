package suite_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
)

// devASKind is the development AS as the specifications have it.
func devASKind() asKind {
	return asKind{"devas", func(t *testing.T, o owner) *authServer {
		t.Helper()
		return startDevAS(t, o, devas.Dialect{PermissionGrant: true})
	}}
}

// startDevAS starts the development AS under a dialect.
func startDevAS(t *testing.T, o owner, dialect devas.Dialect) *authServer {
	t.Helper()
	server, err := devas.New(devas.Options{
		Users: []devas.User{{
			Name: "alice", ID: "sub-of-alice", Password: "alice",
			Claims: map[string]any{"realm_access": map[string]any{"roles": []string{"user", "editor"}}, "groups": []string{"crew, and friends", "staff"}, "level": 3, "employed": true},
		}, {Name: "bob", ID: "sub-of-bob", Password: "bob"}},
		Clients: []devas.Client{
			{ID: "photos-rs", Secret: "rs secret/+%"},
			{ID: "app", Secret: "app-secret"},
		},
		Scopes:  []string{"view", "edit", "share"},
		Dialect: dialect,
	})
	require.NoError(t, err)
	stop, err := server.Start(o.Context())
	require.NoError(t, err)
	o.Cleanup(stop)
	a := &authServer{
		kind: "devas", issuer: server.Issuer(), caps: canUpgradeRPT | canOAuth | canExpire,
		rs: client{"photos-rs", secret.New("rs secret/+%")}, app: newAppClient(), light: newAppClient(),
		claimFormat: devas.FormatAccessToken, claimant: newAppClient(),
		patScope: devas.ScopePAT, expirePATs: server.ExpirePATs,
		subjects: map[string]string{"alice": "sub-of-alice", "bob": "sub-of-bob"},
	}
	a.discover(t, o)
	a.register(t)
	for _, p := range []devas.Policy{
		{Resource: "album", Scopes: []string{"view", "edit"}, Subjects: []string{"alice"}},
		{Resource: "gated", Scopes: []string{"view", "edit", "share"}, Subjects: []string{"alice"}},
		{Resource: "other", Scopes: []string{"view"}, Subjects: []string{"bob"}},
	} {
		_, err := server.Permit(p)
		require.NoError(t, err)
	}
	a.registerOne(t, "owned", "view", "edit")
	require.NoError(t, server.SetOwner("owned", "alice", true))
	id := a.resources["owned"]
	a.owned = ownedResource{
		requests: func(*testing.T) int { return len(server.Requests()) },
		approve: func(t *testing.T) {
			t.Helper()
			for _, r := range server.Requests() {
				require.Equal(t, []any{id, "bob"}, []any{r.Resource, r.Subject})
				require.NoError(t, server.Answer(r.ID, true))
			}
		},
		takeBack: func(*testing.T) {
			for _, p := range server.Policies() {
				if p.Resource == id {
					server.Forbid(p.ID)
				}
			}
		},
	}
	return a
}

// newAppClient is the people's client at the development AS.
func newAppClient() client { return client{"app", secret.New("app-secret")} }
