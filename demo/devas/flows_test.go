package devas_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/flows"
)

const redirectURI = "http://127.0.0.1/callback"

// start makes a server with alice, bob and the public client "app", and starts it.
func start(t *testing.T, options devas.Options) *devas.Server {
	t.Helper()
	options.Users = []devas.User{
		{Name: "alice", Password: "alice", Email: "alice@example.test", FullName: "Alice A"},
		{Name: "bob", Password: "bob", Email: "bob@example.test", FullName: "Bob B"},
	}
	options.Clients = append(options.Clients, devas.Client{ID: "app", Metadata: devas.Metadata{
		ClientName: "The App", TokenEndpointAuthMethod: devas.AuthNone, RedirectURIs: []string{redirectURI},
		PostLogoutRedirectURIs: []string{redirectURI},
	}})
	as, err := devas.New(options)
	require.NoError(t, err)
	stop, err := as.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	return as
}

// issuer describes the server to the flows.
func issuer(as *devas.Server) flows.Issuer {
	return flows.Issuer{
		URL: as.Issuer(), PartyClient: "app", RedirectURI: redirectURI, Users: map[string]string{"alice": "alice", "bob": "bob"},
		Can: []flows.Capability{
			flows.UMAGrantListed, flows.OwnResourcesOnly, flows.PATScope, flows.PATIntrospection, flows.PlainIntrospection, flows.SinglePermission, flows.ResourceLocation, flows.SingleUseTickets, flows.NeedInfo,
			flows.PCT, flows.Upgrade, flows.PermissionTimes, flows.Sub, flows.LiveResources, flows.RefreshRotation,
		},
		Denied:    flows.Refusal{Status: 403, Code: "request_denied"},
		BadTicket: flows.Refusal{Status: 400, Code: "invalid_grant"},
		BadPAT:    flows.Refusal{Status: 401, Code: "invalid_token"},
		Permit: func(t *testing.T, p flows.Policy) {
			t.Helper()
			_, err := as.Permit(devas.Policy{Resource: p.ResourceID, Scopes: p.Scopes, Subjects: []string{p.User}})
			require.NoError(t, err)
		},
		Forbid: func(t *testing.T, p flows.Policy) {
			t.Helper()
			for _, policy := range as.Policies() {
				if policy.Resource == p.ResourceID {
					require.True(t, as.Forbid(policy.ID))
				}
			}
		},
	}
}

func TestFlows(t *testing.T) {
	t.Parallel()
	t.Run("specification", func(t *testing.T) {
		t.Parallel()
		as := start(t, devas.Options{})
		i := issuer(as)
		i.AskOwner = func(t *testing.T, p flows.Policy) func() {
			t.Helper()
			require.NoError(t, as.SetOwner(p.ResourceID, "alice", true))
			return func() {
				for _, r := range as.Requests() {
					require.NoError(t, as.Answer(r.ID, true))
				}
			}
		}
		flows.Run(t, i)
	})
	t.Run("signed tokens, initial access token", func(t *testing.T) {
		t.Parallel()
		as := start(t, devas.Options{
			AccessTokenFormat: devas.FormatJWT, RPTFormat: devas.FormatJWT, SigningAlg: "ES256", LiveIntrospection: true, SkipConsent: true,
			Registration: devas.RegistrationToken, InitialAccessTokens: []devas.InitialAccessToken{{Token: "iat"}},
		})
		i := issuer(as)
		i.Can = append(i.Can, flows.JWTRPT)
		i.InitialAccessToken = "iat"
		flows.Run(t, i)
	})
	t.Run("Keycloak's dialect", func(t *testing.T) {
		t.Parallel()
		as := start(t, devas.Options{Dialect: devas.Keycloak(), AccessTokenFormat: devas.FormatJWT, RPTFormat: devas.FormatJWT})
		i, hooks := keycloakIssuer(as.Issuer()), issuer(as)
		i.Permit, i.Forbid = hooks.Permit, hooks.Forbid
		flows.Run(t, i)
	})
}
