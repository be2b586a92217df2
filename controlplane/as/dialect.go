package as

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

// DialectName names a [Dialect] in umagate.yaml.
type DialectName string

// The dialects. DialectAuto detects one of the others from the metadata.
const (
	DialectAuto     DialectName = "auto"
	DialectGeneric  DialectName = "generic"
	DialectKeycloak DialectName = "keycloak"
	DialectGluu     DialectName = "gluu"
	DialectWSO2     DialectName = "wso2"
)

// CredentialKind says which credential an endpoint takes.
type CredentialKind string

// The credentials of the introspection endpoint (RFC 7662 section 2.1 leaves it
// open).
const (
	CredentialClient CredentialKind = "client" // the client's own authentication
	CredentialPAT    CredentialKind = "pat"    // Authorization: Bearer PAT
)

// NameSearch says how a resource is found by its name.
type NameSearch string

// The ways to find a resource by name.
const (
	// SearchEach lists the ids and reads each: the specification has no other.
	SearchEach NameSearch = "each"
	// SearchExactName asks with ?name=…&exactName=true.
	SearchExactName NameSearch = "exact_name"
)

const (
	grantClientCredentials = "client_credentials"
	grantUMATicket         = "urn:ietf:params:oauth:grant-type:uma-ticket"
	scopeUMAProtection     = "uma_protection"
)

// Dialect is what an AS does otherwise than the specifications, and nothing
// else. It is data: the code that reads it names no product.
type Dialect struct {
	Name DialectName
	// Introspection is the credential of the introspection endpoint.
	Introspection CredentialKind
	// TokenTypeHint is sent with an introspection, where permissions need it.
	TokenTypeHint string
	// Claims is where the filter reads sub, iss, aud and client_id.
	Claims config.ClaimsSource
	// PATScopes are asked for with a PAT; none where the AS refuses them.
	PATScopes []string
	// PATRefused are the statuses of the protection API that mean "renew the PAT".
	PATRefused []int
	// GrantTypes are registered for a client that protects resources.
	GrantTypes []string
	// RegisterScope is the "scope" member of a registration; empty leaves it out.
	RegisterScope string
	// PageSize is how many ids a list holds at most; 0 for a list that is whole.
	PageSize int
	// Names is how a resource is found by name.
	Names NameSearch
	// Description says that a resource may have a description.
	Description bool
	// MergeOnUpdate says that an update must carry along the members that the AS
	// keeps in a resource, or they are lost.
	MergeOnUpdate bool
	// DropOnUpdate are members that say the same as one that is sent, and win over
	// it: they are not carried along.
	DropOnUpdate []string
	// defaults gives the endpoints that the AS has but does not name.
	defaults func(issuer *url.URL) Endpoints
	// detect recognises the AS by its metadata.
	detect func(m Metadata) bool
}

// dialects lists the dialects, in the order of detection; the last takes all.
func dialects() []Dialect {
	generic := Dialect{
		Name:          DialectGeneric,
		Introspection: CredentialClient,
		Claims:        config.ClaimsFromResponse,
		PATScopes:     []string{scopeUMAProtection},
		PATRefused:    []int{http.StatusUnauthorized},
		GrantTypes:    []string{grantClientCredentials},
		RegisterScope: scopeUMAProtection,
		Names:         SearchEach,
		Description:   true,
		detect:        func(Metadata) bool { return true },
	}

	keycloak := generic
	keycloak.Name = DialectKeycloak
	// Without the hint the answer has claims and no permissions; with it, the
	// other way round. The claims are in the JWT itself.
	keycloak.TokenTypeHint = "requesting_party_token"
	keycloak.Claims = config.ClaimsFromToken
	keycloak.PATScopes = nil // scope=uma_protection is invalid_scope: the right is a client role
	keycloak.PATRefused = []int{http.StatusUnauthorized, http.StatusForbidden}
	// The UMA grant type is what gives a client authorization services.
	keycloak.GrantTypes = []string{grantClientCredentials, grantUMATicket}
	keycloak.RegisterScope = ""
	keycloak.PageSize = 100
	keycloak.Names = SearchExactName
	keycloak.Description = false
	keycloak.MergeOnUpdate = true
	keycloak.DropOnUpdate = []string{"scopes"} // another name of resource_scopes
	keycloak.detect = func(m Metadata) bool {
		return strings.Contains(m.ResourceRegistrationEndpoint, "/authz/protection/resource_set") ||
			strings.Contains(m.TokenEndpoint, "/protocol/openid-connect/token")
	}

	gluu := generic
	gluu.Name = DialectGluu
	gluu.Introspection = CredentialPAT // its RPT status endpoint wants the PAT
	gluu.detect = func(m Metadata) bool {
		return strings.Contains(m.ResourceRegistrationEndpoint, "/restv1/") || strings.Contains(m.TokenEndpoint, "/restv1/")
	}

	wso2 := generic
	wso2.Name = DialectWSO2
	wso2.defaults = func(issuer *url.URL) Endpoints {
		base := issuer.Scheme + "://" + issuer.Host
		return Endpoints{
			Introspection:        base + "/oauth2/introspect",
			ResourceRegistration: base + "/api/identity/oauth2/uma/resourceregistration/v1.0/resource",
			Permission:           base + "/api/identity/oauth2/uma/permission/v1.0/permission",
			Registration:         base + "/api/identity/oauth2/dcr/v1.1/register",
		}
	}
	wso2.detect = func(m Metadata) bool {
		return strings.Contains(m.ResourceRegistrationEndpoint, "/api/identity/oauth2/uma/") ||
			strings.HasSuffix(m.Issuer, "/oauth2/token") || strings.HasSuffix(m.TokenEndpoint, "/oauth2/token") &&
			strings.Contains(m.AuthorizationEndpoint, "/oauth2/authorize") && strings.Contains(m.JWKSURI, "/oauth2/jwks")
	}
	return []Dialect{keycloak, gluu, wso2, generic}
}

// DialectNames lists the names that umagate.yaml may have.
func DialectNames() []DialectName {
	return []DialectName{DialectAuto, DialectGeneric, DialectKeycloak, DialectGluu, DialectWSO2}
}

// chooseDialect gives the dialect of that name, or the one that m shows.
func chooseDialect(name DialectName, m Metadata) (Dialect, bool) {
	for _, d := range dialects() {
		if d.Name == name || (name == DialectAuto || name == "") && d.detect(m) {
			return d, true
		}
	}
	return Dialect{}, false
}
