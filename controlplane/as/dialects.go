package as

import (
	"net/http"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// tenYears is long enough never to be renewed in practice, and its end fits the
// 32 bits that some ASs have for it.
const tenYears = 10 * 365 * 24 * time.Hour

// dialects lists the dialects, in the order of detection; the last takes all.
// What each is taken from stands in testdata/README.md.
func dialects() []Dialect {
	return []Dialect{keycloakDialect(), gluuDialect(), wso2Dialect(), genericDialect()}
}

// genericDialect is what the specifications say.
func genericDialect() Dialect {
	return Dialect{
		Name:          DialectGeneric,
		Introspection: CredentialClient,
		Claims:        config.ClaimsFromResponse,
		Roles:         []string{"roles"},
		PATScopes:     []string{scopeUMAProtection},
		PATRefused:    []int{http.StatusUnauthorized},
		GrantTypes:    []string{GrantClientCredentials},
		RegisterScope: scopeUMAProtection,
		Audience:      AudienceTokenEndpoint,
		Names:         SearchEach,
		Description:   true,

		ClaimTokenFormat: FormatAccessToken,

		endpoints: func(Metadata) Endpoints { return Endpoints{} },
		detect:    func(Metadata) bool { return true },
	}
}

func keycloakDialect() Dialect {
	d := genericDialect()
	d.Name = DialectKeycloak
	// Without the hint the answer has claims and no permissions; with it, the
	// other way round. The claims are in the JWT itself.
	d.TokenTypeHint = "requesting_party_token"
	d.Claims = config.ClaimsFromToken
	d.Roles = []string{"realm_access", "roles"} // those of clients are in resource_access
	d.EvaluatesTokens = true
	d.ClaimTokenFormat = FormatIDToken // or an access token; of the resource server's own client only
	d.PATScopes = nil                  // scope=uma_protection is invalid_scope: the right is a client role
	d.PATRefused = []int{http.StatusUnauthorized, http.StatusForbidden}
	// The UMA grant type is what gives a client authorization services.
	d.GrantTypes = []string{GrantClientCredentials, GrantUMATicket}
	d.RegisterScope = ""
	d.Audience = AudienceIssuer // it does not change with the address the AS is reached by
	d.RefusesSoftwareStatement = true
	d.PageSize = 100
	d.IDPageSize = 10_000 // 390 KB; a hundred pages of a hundred take it thirty times as long
	d.DeepList = true
	d.Names = SearchExactName
	d.NameTaken = "invalid_request" // two that bring the same new scope at once: "conflict"
	d.Description = false
	d.URIs = true
	d.MergeOnUpdate = true
	d.DropOnUpdate = []string{"scopes"} // another name of resource_scopes
	// 26.0 takes the owner that a resource server names, 26.7 ignores it; the
	// administration API takes it in both, from a service account with the role
	// manage-authorization of realm-management. It looks for a user of that id, and then for
	// one of that name; where there is neither, it fails.
	d.Owner = OwnerDialect{
		Member: "owner", With: map[string]any{"ownerManagedAccess": true}, adminPath: "/authz/resource-server/resource", unknown: "unknown_error",
		admin: func(m Metadata) string {
			before, _, ok := strings.Cut(m.ResourceRegistrationEndpoint, "/authz/protection/")
			i := strings.LastIndex(before, "/realms/")
			if !ok || i < 0 {
				return ""
			}
			return before[:i] + "/admin" + before[i:] + "/clients"
		},
	}
	d.endpoints = func(m Metadata) Endpoints {
		realm := strings.TrimSuffix(m.Issuer, "/")
		oidc := realm + "/protocol/openid-connect"
		return Endpoints{
			Authorization:        oidc + "/auth",
			Token:                oidc + "/token",
			Introspection:        oidc + "/token/introspect",
			Revocation:           oidc + "/revoke",
			EndSession:           oidc + "/logout",
			JWKS:                 oidc + "/certs",
			Registration:         realm + "/clients-registrations/openid-connect",
			ResourceRegistration: realm + "/authz/protection/resource_set",
			Permission:           realm + "/authz/protection/permission",
		}
	}
	d.detect = func(m Metadata) bool {
		return strings.Contains(m.ResourceRegistrationEndpoint, "/authz/protection/resource_set") ||
			strings.Contains(m.TokenEndpoint, "/protocol/openid-connect/token")
	}
	return d
}

// gluuDialect is Gluu Server's, and that of Janssen, which came from it.
func gluuDialect() Dialect {
	const api = "/restv1"
	d := genericDialect()
	d.Name = DialectGluu
	d.Introspection = CredentialPAT // the RPT's own status endpoint wants the PAT
	// 406 is a PAT without the scope uma_protection.
	d.PATRefused = []int{http.StatusUnauthorized, http.StatusNotAcceptable}
	d.ClaimTokenFormat = FormatIDToken // any JWT of its own
	d.tokenIntrospection = func(m Metadata) string {
		base, found := strings.CutSuffix(m.IntrospectionEndpoint, "/rpt/status")
		if !found {
			return ""
		}
		return base + "/introspection"
	}
	d.Lifetime = tenYears // a resource without exp is forgotten after a month
	d.endpoints = func(m Metadata) Endpoints {
		base := strings.TrimSuffix(m.Issuer, "/") + "/jans-auth" + api
		if before, _, found := strings.Cut(m.TokenEndpoint, api+"/"); found {
			base = before + api // Gluu Server 4 has /oxauth
		}
		return Endpoints{
			Authorization:        base + "/authorize",
			Token:                base + "/token",
			Introspection:        base + "/rpt/status",
			Revocation:           base + "/revoke",
			EndSession:           base + "/end_session",
			JWKS:                 base + "/jwks",
			Registration:         base + "/register",
			ResourceRegistration: base + "/host/rsrc/resource_set",
			Permission:           base + "/host/rsrc_pr",
			ClaimsInteraction:    base + "/uma/gather_claims",
		}
	}
	d.detect = func(m Metadata) bool {
		return strings.Contains(m.ResourceRegistrationEndpoint, api+"/") || strings.Contains(m.TokenEndpoint, api+"/")
	}
	return d
}

func wso2Dialect() Dialect {
	const tokenPath = "/oauth2/token" //nolint:gosec // a path
	d := genericDialect()
	d.Name = DialectWSO2
	d.Introspection = CredentialPAT
	d.ClaimTokenFormat = FormatIDToken
	// The second is the right to introspect.
	d.PATScopes = []string{scopeUMAProtection, "internal_application_mgt_view"}
	d.PATRefused = []int{http.StatusUnauthorized, http.StatusForbidden}
	d.GrantTypes = []string{GrantClientCredentials, GrantUMATicket}
	d.RegisterScope = "" // scopes are given to an application's roles, not registered
	d.Undiscovered = true
	d.endpoints = func(m Metadata) Endpoints {
		// A tenant is a path before /oauth2: https://is.example.com/t/acme/oauth2/token.
		base, ok := strings.CutSuffix(m.Issuer, tokenPath)
		if !ok {
			base, ok = strings.CutSuffix(m.TokenEndpoint, tokenPath)
		}
		if !ok {
			base = origin(m.Issuer)
		}
		return Endpoints{
			Authorization:        base + "/oauth2/authorize",
			Token:                base + tokenPath,
			Introspection:        base + "/oauth2/introspect",
			Revocation:           base + "/oauth2/revoke",
			EndSession:           base + "/oidc/logout",
			JWKS:                 base + "/oauth2/jwks",
			Registration:         base + "/api/identity/oauth2/dcr/v1.1/register",
			ResourceRegistration: base + "/api/identity/oauth2/uma/resourceregistration/v1.0/resource",
			Permission:           base + "/api/identity/oauth2/uma/permission/v1.0/permission",
		}
	}
	d.detect = func(m Metadata) bool {
		// Its paths /oauth2/token and /oauth2/authorize are Spring's too; its issuer and
		// its own API's are not.
		return strings.HasSuffix(m.Issuer, tokenPath) ||
			strings.Contains(m.ResourceRegistrationEndpoint, "/api/identity/oauth2/") ||
			strings.Contains(m.RegistrationEndpoint, "/api/identity/oauth2/dcr/")
	}
	return d
}
