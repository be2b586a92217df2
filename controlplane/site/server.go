package site

import (
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/plugin/config"
)

// AuthorizationServer is a site's AS, and the site's client there.
type AuthorizationServer struct {
	// The issuer: discovery starts from it, and it is the as_uri of challenges.
	Issuer string `yaml:"issuer" jsonschema:"required"`
	// Further names of the same AS: a former one, or one that it has inside a cluster.
	// They are taken in its metadata and in iss. With them, an iss that is neither one of
	// them nor the issuer is refused.
	IssuerAliases []string `yaml:"issuer_aliases" jsonschema:"minItems=1"`
	// Which AS it is: auto (default, told from discovery), generic, keycloak, gluu or wso2.
	Dialect as.DialectName `yaml:"dialect"`
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
	// With token.evaluate: at_as, ask with a permission ticket and the caller's token as a
	// claim_token of this format, as the site's own client, instead of the dialect's way.
	ClaimTokenFormat string `yaml:"claim_token_format"`
	// TLS towards the AS.
	TLS TLS `yaml:"tls"`
	// Take http where the AS is not on loopback, for its issuer or for endpoints of an
	// https issuer (a back channel inside a cluster): tokens and credentials go in the clear.
	InsecureHTTP bool `yaml:"insecure_http"`
	// How long a call to the AS may take. Default 5s.
	Timeout time.Duration `yaml:"timeout" range:"1ms to 1m, such as 5s"`
}

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
	as.Endpoints
	// OpenID Connect UserInfo endpoint.
	UserInfo string `yaml:"userinfo"`
}

// Introspection overrides how the dialect asks for and reads introspection.
type Introspection struct {
	// token_type_hint of the request. Keycloak needs requesting_party_token.
	TokenTypeHint string `yaml:"token_type_hint"`
	// Where sub, iss, aud, client_id and exp are read: response or token.
	Claims config.ClaimsSource `yaml:"claims"`
	// What the endpoint is called with: client (its credential) or pat.
	Credential as.Credential `yaml:"credential"`
}

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

// Names are the issuer and its aliases.
func (a *AuthorizationServer) Names() []string { return append([]string{a.Issuer}, a.IssuerAliases...) }

func (a *AuthorizationServer) setDefaults() {
	a.Dialect = as.DialectAuto
	a.Discovery = DiscoveryOn
	a.Timeout = 5 * time.Second
	a.Client.TokenEndpointAuthMethod = clientauth.SecretBasic
	a.PAT.setDefaults()
}
