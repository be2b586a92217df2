package devas_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/flows"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// TestKeycloak is what tells whether TestFlows and TestKeycloakShape are right: the
// same rows, with the same words for a refusal as in the dialect, on the real one.
func TestKeycloak(t *testing.T) {
	server := keycloaktest.Start(t)
	t.Run("flows", func(t *testing.T) { flowsOnKeycloak(t, server) })
	t.Run("shape", func(t *testing.T) {
		k := &kit{url: server.Issuer(), id: "photos-api", secret: "photos-api-secret"}
		if server.Version == keycloak.CompatibleVersion {
			k.badBearer = http.StatusUnauthorized
		}
		keycloakShape(t, k)
	})
}

func flowsOnKeycloak(t *testing.T, server *keycloak.Server) {
	t.Helper()
	i := keycloakIssuer(server.Issuer())
	if server.Version == keycloak.CompatibleVersion {
		// It does not list the UMA grant, and knows a resource by its id alone; later
		// ones do, and ask whose it is.
		i.Can = slices.DeleteFunc(i.Can, func(c flows.Capability) bool { return c == flows.UMAGrantListed || c == flows.OwnResourcesOnly })
	}
	grant := func(t *testing.T, p flows.Policy, person string) {
		t.Helper()
		// Its policies are for a scope on every resource of the resource server; no
		// row needs them narrower.
		require.NoError(t, server.ImportPolicies(t.Context(), p.ResourceServer, keycloak.Grant{Persons: []string{person}, Scopes: p.Scopes}))
	}
	i.Permit = func(t *testing.T, p flows.Policy) {
		t.Helper()
		grant(t, p, p.User)
	}
	i.Forbid = func(t *testing.T, p flows.Policy) {
		t.Helper()
		grant(t, p, "bob") // The same policy, for somebody else.
	}
	flows.Run(t, i)
}

// keycloakIssuer is what flows need to know of Keycloak and of its dialect here.
func keycloakIssuer(url string) flows.Issuer {
	return flows.Issuer{
		URL: url, PartyClient: "app", RedirectURI: redirectURI, Users: map[string]string{"alice": "alice", "bob": "bob"},
		Can: []flows.Capability{flows.JWTRPT, flows.UMAGrantListed, flows.OwnResourcesOnly}, TokenTypeHint: "requesting_party_token",
		Denied:    flows.Refusal{Status: 403, Code: "access_denied"},
		BadTicket: flows.Refusal{Status: 403, Code: "invalid_ticket"},
		BadPAT:    flows.Refusal{Status: 403, Code: "invalid_bearer_token"},
	}
}
