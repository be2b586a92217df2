package as

import (
	"fmt"
	"net/url"
	"strings"

	"github.com/umagate/umagate/controlplane/loopback"
)

// Metadata is what is known of an AS: the members of its discovery document that
// umagate uses (RFC 8414 section 2, UMA Grant section 2, UMA Federated
// Authorization section 2). It is stored as JSON and holds no secret.
type Metadata struct {
	Issuer                       string   `json:"issuer"`
	AuthorizationEndpoint        string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint                string   `json:"token_endpoint,omitempty"`
	IntrospectionEndpoint        string   `json:"introspection_endpoint,omitempty"`
	RegistrationEndpoint         string   `json:"registration_endpoint,omitempty"`
	ResourceRegistrationEndpoint string   `json:"resource_registration_endpoint,omitempty"`
	PermissionEndpoint           string   `json:"permission_endpoint,omitempty"`
	ClaimsInteractionEndpoint    string   `json:"claims_interaction_endpoint,omitempty"`
	RevocationEndpoint           string   `json:"revocation_endpoint,omitempty"`
	EndSessionEndpoint           string   `json:"end_session_endpoint,omitempty"`
	JWKSURI                      string   `json:"jwks_uri,omitempty"`
	GrantTypes                   []string `json:"grant_types_supported,omitempty"`
	Scopes                       []string `json:"scopes_supported,omitempty"`
	// IssParameter: the answer to an authorization request has iss (RFC 9207).
	IssParameter bool `json:"authorization_response_iss_parameter_supported,omitempty"`
	// Aliases are the endpoints for clients with a certificate (RFC 8705 section 5).
	Aliases MTLSAliases `json:"mtls_endpoint_aliases,omitzero"`
}

// MTLSAliases are the endpoints of mtls_endpoint_aliases that umagate calls.
type MTLSAliases struct {
	TokenEndpoint                string `json:"token_endpoint,omitempty"`
	IntrospectionEndpoint        string `json:"introspection_endpoint,omitempty"`
	RevocationEndpoint           string `json:"revocation_endpoint,omitempty"`
	RegistrationEndpoint         string `json:"registration_endpoint,omitempty"`
	ResourceRegistrationEndpoint string `json:"resource_registration_endpoint,omitempty"`
	PermissionEndpoint           string `json:"permission_endpoint,omitempty"`
}

// endpoints are the aliases in the form of overrides.
func (a MTLSAliases) endpoints() Endpoints {
	return Endpoints{
		Token: a.TokenEndpoint, Introspection: a.IntrospectionEndpoint, Revocation: a.RevocationEndpoint,
		Registration: a.RegistrationEndpoint, ResourceRegistration: a.ResourceRegistrationEndpoint, Permission: a.PermissionEndpoint,
	}
}

// Endpoints overrides endpoints of the metadata, each where it is not empty. The tags
// are its keys in umagate.yaml.
type Endpoints struct {
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
	// OpenID Connect end session endpoint.
	EndSession string `yaml:"end_session"`
}

// pairs lists each endpoint of m beside its override.
func (m *Metadata) pairs(over Endpoints) []struct {
	name  string
	field *string
	value string
} {
	return []struct {
		name  string
		field *string
		value string
	}{
		{"authorization_endpoint", &m.AuthorizationEndpoint, over.Authorization},
		{"token_endpoint", &m.TokenEndpoint, over.Token},
		{"introspection_endpoint", &m.IntrospectionEndpoint, over.Introspection},
		{"registration_endpoint", &m.RegistrationEndpoint, over.Registration},
		{"resource_registration_endpoint", &m.ResourceRegistrationEndpoint, over.ResourceRegistration},
		{"permission_endpoint", &m.PermissionEndpoint, over.Permission},
		{"claims_interaction_endpoint", &m.ClaimsInteractionEndpoint, over.ClaimsInteraction},
		{"revocation_endpoint", &m.RevocationEndpoint, over.Revocation},
		{"end_session_endpoint", &m.EndSessionEndpoint, over.EndSession},
		{"jwks_uri", &m.JWKSURI, over.JWKS},
	}
}

// override sets the endpoints that over names.
func (m *Metadata) override(over Endpoints) {
	for _, p := range m.pairs(over) {
		if p.value != "" {
			*p.field = p.value
		}
	}
}

// fill sets the endpoints that m lacks.
func (m *Metadata) fill(defaults Endpoints) {
	for _, p := range m.pairs(defaults) {
		if *p.field == "" {
			*p.field = p.value
		}
	}
}

// check refuses addresses that are not absolute http(s), and those that the AS's own
// document names and that exposed tells of. What the operator wrote is the
// operator's: over is exempt from the latter.
func (m *Metadata) check(over Endpoints, insecureHTTP bool) error {
	for _, p := range m.pairs(over) {
		if *p.field == "" {
			continue
		}
		u, err := url.Parse(*p.field)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%w: %s is not an absolute http or https address", ErrMalformed, p.name)
		}
		if p.value == "" && m.exposed(u, insecureHTTP) {
			return fmt.Errorf("%w: %s %s", ErrInsecureEndpoint, p.name, printableURL(*p.field))
		}
	}
	return nil
}

// exposed reports whether what is sent to an address goes over a network in the clear, and
// that nobody has asked for it: the issuer is https and the address http, not on
// loopback and not by [Config.InsecureHTTP]. A back channel inside a cluster is often
// like that (Keycloak's hostname-backchannel-dynamic).
func (m *Metadata) exposed(u *url.URL, insecureHTTP bool) bool {
	if u.Scheme != "http" || insecureHTTP || !strings.HasPrefix(m.Issuer, "https:") {
		return false
	}
	return !loopback.IsHost(u.Hostname())
}

// wellKnown appends to the issuer, as OpenID Connect Discovery section 4 and
// UMA Grant section 2 do.
func wellKnown(issuer, name string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/" + name
}

// wellKnownInserted puts the well-known part between host and path, as RFC 8414
// section 3.1 does.
func wellKnownInserted(issuer, name string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	u.Path = "/.well-known/" + name + strings.TrimSuffix(u.Path, "/")
	return u.String(), nil
}
