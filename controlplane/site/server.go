package site

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// AuthorizationServer is a site's AS, and the site's client there.
type AuthorizationServer struct {
	// The issuer: discovery starts from it, and it is the as_uri of challenges.
	Issuer string `yaml:"issuer" jsonschema:"required"`
	// Which AS it is: auto (default, told from discovery), generic, keycloak, gluu or wso2.
	Dialect Dialect `yaml:"dialect"`
	// on (default) reads the AS's metadata; off takes the endpoints below, and for
	// keycloak, gluu (Janssen's paths) and wso2 those that follow from the issuer.
	Discovery Discovery `yaml:"discovery"`
	// Endpoints that differ from what discovery says, or that it does not say.
	Endpoints Endpoints `yaml:"endpoints"`
	// The site's client at the AS.
	Client Client `yaml:"client" jsonschema:"required"`
	// The protection API access token (PAT), and whose it is.
	PAT PAT `yaml:"pat"`
	// How the filter reads introspection answers, where the dialect's way does not fit.
	Introspection Introspection `yaml:"introspection"`
	// TLS towards the AS.
	TLS TLS `yaml:"tls"`
	// Take http where the AS is not on loopback, for its issuer or for endpoints of an
	// https issuer (a back channel inside a cluster): tokens and credentials go in the clear.
	InsecureHTTP bool `yaml:"insecure_http"`
	// How long a call to the AS may take. Default 5s.
	Timeout time.Duration `yaml:"timeout" range:"1ms to 1m, such as 5s"`
}

// Dialect is what an AS does otherwise than the specification.
type Dialect string

// The dialects.
const (
	DialectAuto     Dialect = "auto"
	DialectGeneric  Dialect = "generic"
	DialectKeycloak Dialect = "keycloak"
	DialectGluu     Dialect = "gluu" // Janssen too
	DialectWSO2     Dialect = "wso2"
)

// Discovery says whether the AS's metadata is read.
type Discovery string

// The values of Discovery.
const (
	DiscoveryOn  Discovery = "on"
	DiscoveryOff Discovery = "off"
)

// Endpoints override what discovery says. Each is a whole URL; empty means as discovered.
type Endpoints struct {
	// The discovery document itself, for an AS that keeps it elsewhere.
	Discovery string `yaml:"discovery"`
	// Token endpoint (RFC 6749).
	Token string `yaml:"token"`
	// Authorization endpoint (RFC 6749).
	Authorization string `yaml:"authorization"`
	// Introspection endpoint (RFC 7662).
	Introspection string `yaml:"introspection"`
	// Revocation endpoint (RFC 7009).
	Revocation string `yaml:"revocation"`
	// Client registration endpoint (RFC 7591).
	Registration string `yaml:"registration"`
	// Permission endpoint (UMA Federated Authorization section 4).
	Permission string `yaml:"permission"`
	// Resource registration endpoint (UMA Federated Authorization section 3).
	ResourceRegistration string `yaml:"resource_registration"`
	// Claims interaction endpoint (UMA Grant section 3.3.2).
	ClaimsInteraction string `yaml:"claims_interaction"`
	// JSON Web Key Set (RFC 7517).
	JWKS string `yaml:"jwks"`
	// OpenID Connect UserInfo endpoint.
	UserInfo string `yaml:"userinfo"`
	// OpenID Connect end session endpoint.
	EndSession string `yaml:"end_session"`
}

// Introspection overrides how the dialect asks for and reads introspection.
type Introspection struct {
	// token_type_hint of the request. Keycloak needs requesting_party_token.
	TokenTypeHint string `yaml:"token_type_hint"`
	// Where sub, iss, aud, client_id and exp are read: response or token.
	Claims config.ClaimsSource `yaml:"claims"`
	// What the endpoint is called with: client (its credential) or pat.
	Credential Credential `yaml:"credential"`
}

// Credential is what an endpoint of the AS is called with.
type Credential string

// The credentials. The empty one leaves it to the dialect.
const (
	CredentialClient Credential = "client"
	CredentialPAT    Credential = "pat"
)

// TLS is how the AS's certificate is judged.
type TLS struct {
	// File with the certificates to trust, in PEM, instead of the system's.
	CAFile string `yaml:"ca_file"`
	// Name expected in the certificate, when it is not the host of the URL.
	ServerName string `yaml:"server_name"`
	// Take any certificate: whoever is in between reads every credential.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`

	// CA is the content of CAFile, read when the file was parsed; relative names
	// start beside umagate.yaml.
	CA []byte `yaml:"-"`
}

func (a *AuthorizationServer) setDefaults() {
	a.Dialect = DialectAuto
	a.Discovery = DiscoveryOn
	a.Timeout = 5 * time.Second
	a.Client.TokenEndpointAuthMethod = AuthSecretBasic
	a.PAT.setDefaults()
}
