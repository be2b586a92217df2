package as

import (
	"net/url"
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// DialectName names a [Dialect] in umagate.yaml.
type DialectName string

// The dialects. DialectAuto detects one of the others from the metadata.
const (
	DialectAuto     DialectName = "auto"
	DialectGeneric  DialectName = "generic"
	DialectKeycloak DialectName = "keycloak"
	DialectGluu     DialectName = "gluu" // Janssen too
	DialectWSO2     DialectName = "wso2"
)

// Credential is what an endpoint of the AS is called with.
type Credential string

// CredentialNone is what a call has that brings its own.
const CredentialNone Credential = "none"

// The credentials of the introspection endpoint (RFC 7662 section 2.1 leaves it
// open).
const (
	CredentialClient Credential = "client" // the client's own authentication
	CredentialPAT    Credential = "pat"    // Authorization: Bearer PAT
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

// The formats of a claim_token (UMA Grant section 3.3.1, RFC 8693 section 3).
const (
	FormatAccessToken = "urn:ietf:params:oauth:token-type:access_token"                //nolint:gosec // the name of a format
	FormatIDToken     = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken" //nolint:gosec // the name of a format
)

const scopeUMAProtection = "uma_protection"

// Dialect is what an AS does otherwise than the specifications, and nothing
// else. It is data: the code that reads it names no product.
type Dialect struct {
	Name DialectName
	// Introspection is the credential of the introspection endpoint.
	Introspection Credential
	// TokenTypeHint is sent with an introspection, where permissions need it.
	TokenTypeHint string
	// EvaluatesTokens says that the token endpoint tells what a requesting party's token
	// may: the UMA grant, with the token as the credential and permissions instead of a
	// ticket.
	EvaluatesTokens bool
	// ClaimTokenFormat is the claim_token_format by which the token endpoint takes a
	// requesting party's access token with a permission ticket (UMA Grant section 3.3.1).
	ClaimTokenFormat string
	// tokenIntrospection is where access tokens are introspected, from what is known,
	// where the introspection endpoint knows RPTs only; nil where it knows all.
	tokenIntrospection func(m Metadata) string
	// Claims is where the filter reads sub, iss, aud and client_id.
	Claims config.ClaimsSource
	// Roles is the claim that has the roles of a token's owner.
	Roles []string
	// PATScopes are asked for with a PAT; none where the AS refuses them.
	PATScopes []string
	// PATRefused are the statuses of the protection API that mean "renew the PAT".
	PATRefused []int
	// GrantTypes are registered for a client that protects resources.
	GrantTypes []string
	// RegisterScope is the "scope" member of a registration; empty leaves it out.
	RegisterScope string
	// Audience is the aud of client assertions, as [Config.Audience] has it.
	Audience string
	// RefusesSoftwareStatement says that a registration with one is refused.
	RefusesSoftwareStatement bool
	// PageSize is how many resources a list holds at most, asked for with first and max;
	// 0 for a list that is whole. IDPageSize is the same for a list of ids.
	PageSize, IDPageSize int
	// DeepList says that ?deep=true lists the resources themselves.
	DeepList bool
	// Names is how a resource is found by name.
	Names NameSearch
	// NameTaken is the error code of a 409 that says that a name is taken: one with
	// another code is [ErrCollision]. Empty: every 409 says so.
	NameTaken string
	// Description says that a resource may have a description.
	Description bool
	// URIs says that a resource may have addresses, in its member "uris".
	URIs bool
	// Lifetime is asked for a resource, in its member "exp", where the AS forgets
	// resources by itself; 0 where it does not.
	Lifetime time.Duration
	// MergeOnUpdate says that an update must carry along the members that the AS
	// keeps in a resource, or they are lost.
	MergeOnUpdate bool
	// DropOnUpdate are members that say the same as one that is sent, and win over
	// it: they are not carried along.
	DropOnUpdate []string
	// Owner is how a resource is given to a person.
	Owner OwnerDialect
	// Undiscovered says that the AS's metadata never names its UMA endpoints.
	Undiscovered bool
	// endpoints gives the endpoints as the AS has them when nobody changed them,
	// from what is known: without discovery, that is the issuer.
	endpoints func(m Metadata) Endpoints
	// detect recognises the AS by its metadata.
	detect func(m Metadata) bool
}

// TokenIntrospection is where access tokens are introspected, where that is not the
// introspection endpoint.
func (s *Server) TokenIntrospection() string {
	if s.dialect.tokenIntrospection == nil {
		return ""
	}
	return s.dialect.tokenIntrospection(s.metadata)
}

// DialectNames lists the names that umagate.yaml may have.
func DialectNames() []DialectName {
	return []DialectName{DialectAuto, DialectGeneric, DialectKeycloak, DialectGluu, DialectWSO2}
}

// RolesOf is the claim that has the roles of a token's owner, by the name of a dialect:
// "roles" (RFC 9068 section 2.2.3.1) where nothing else is known.
func RolesOf(name DialectName) []string {
	for _, d := range dialects() {
		if d.Name == name {
			return d.Roles
		}
	}
	return genericDialect().Roles
}

// chooseDialect returns the dialect of that name, or the one that m shows.
func chooseDialect(name DialectName, m Metadata) (Dialect, bool) {
	for _, d := range dialects() {
		if d.Name == name || (name == DialectAuto || name == "") && d.detect(m) {
			return d, true
		}
	}
	return Dialect{}, false
}

// origin is scheme, host and port.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
