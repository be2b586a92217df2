package devas

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// The grant types a client may register.
const (
	GrantAuthorizationCode = "authorization_code"
	GrantClientCredentials = "client_credentials"
	GrantPassword          = "password"
	GrantRefreshToken      = "refresh_token"
	GrantUMA               = "urn:ietf:params:oauth:grant-type:uma-ticket"
)

// The ways a client authenticates at the token endpoint.
const (
	AuthBasic         = "client_secret_basic"
	AuthPost          = "client_secret_post"
	AuthSecretJWT     = "client_secret_jwt"
	AuthPrivateKeyJWT = "private_key_jwt"
	AuthNone          = "none"
	// AuthSelfSignedTLS is the client's own certificate, which its JWKS has (RFC 8705
	// section 2.2). It needs the server to be behind TLS that asks for certificates.
	AuthSelfSignedTLS = "self_signed_tls_client_auth"
)

// ScopePAT is the scope of a protection API access token.
const ScopePAT = "uma_protection"

// Client is a client of the server, which a resource server is, too.
type Client struct {
	ID     string `json:"client_id"`
	Secret Secret `json:"client_secret,omitempty"`
	Metadata

	issued        time.Time
	secretExpires time.Time // zero: never
	// registration is the registration access token (RFC 7592).
	registration string
}

// Metadata is what a client says of itself (RFC 7591 section 2, OpenID Connect
// Dynamic Client Registration section 2, UMA Grant section 2).
type Metadata struct {
	RedirectURIs            []string            `json:"redirect_uris,omitempty"`
	TokenEndpointAuthMethod string              `json:"token_endpoint_auth_method,omitempty"`
	TokenEndpointAuthAlg    string              `json:"token_endpoint_auth_signing_alg,omitempty"`
	GrantTypes              []string            `json:"grant_types,omitempty"`
	ResponseTypes           []string            `json:"response_types,omitempty"`
	ClientName              string              `json:"client_name,omitempty"`
	ClientURI               string              `json:"client_uri,omitempty"`
	LogoURI                 string              `json:"logo_uri,omitempty"`
	Scope                   string              `json:"scope,omitempty"`
	Contacts                []string            `json:"contacts,omitempty"`
	TOSURI                  string              `json:"tos_uri,omitempty"`
	PolicyURI               string              `json:"policy_uri,omitempty"`
	JWKSURI                 string              `json:"jwks_uri,omitempty"`
	JWKS                    *jose.JSONWebKeySet `json:"jwks,omitempty"`
	SoftwareID              string              `json:"software_id,omitempty"`
	SoftwareVersion         string              `json:"software_version,omitempty"`
	SoftwareStatement       string              `json:"software_statement,omitempty"`
	ApplicationType         string              `json:"application_type,omitempty"`
	SubjectType             string              `json:"subject_type,omitempty"`
	SectorIdentifierURI     string              `json:"sector_identifier_uri,omitempty"`
	IDTokenAlg              string              `json:"id_token_signed_response_alg,omitempty"`
	RequestObjectAlg        string              `json:"request_object_signing_alg,omitempty"`
	UserInfoAlg             string              `json:"userinfo_signed_response_alg,omitempty"`
	DefaultMaxAge           int                 `json:"default_max_age,omitempty"`
	RequireAuthTime         bool                `json:"require_auth_time,omitempty"`
	DefaultACRValues        []string            `json:"default_acr_values,omitempty"`
	RequestURIs             []string            `json:"request_uris,omitempty"`
	PostLogoutRedirectURIs  []string            `json:"post_logout_redirect_uris,omitempty"`
	FrontchannelLogoutURI   string              `json:"frontchannel_logout_uri,omitempty"`
	BackchannelLogoutURI    string              `json:"backchannel_logout_uri,omitempty"`
	ClaimsRedirectURIs      []string            `json:"claims_redirect_uris,omitempty"`
}

func (c *Client) allows(grant string) bool { return slices.Contains(c.GrantTypes, grant) }

func (c *Client) name() string {
	if c.ClientName != "" {
		return c.ClientName
	}
	return c.ID
}

// complete fills in the defaults of RFC 7591 section 2 and checks the rest.
func (m *Metadata) complete() *protocolError {
	refuse := func(format string, args ...any) *protocolError {
		return newError(400, "invalid_client_metadata", fmt.Sprintf(format, args...))
	}
	if m.TokenEndpointAuthMethod == "" {
		m.TokenEndpointAuthMethod = AuthBasic
	}
	if m.TokenEndpointAuthMethod != AuthSelfSignedTLS && !slices.Contains(authMethods(), m.TokenEndpointAuthMethod) {
		return refuse("token_endpoint_auth_method %q: want one of %v", m.TokenEndpointAuthMethod, authMethods())
	}
	if len(m.GrantTypes) == 0 {
		m.GrantTypes = []string{GrantAuthorizationCode}
	}
	for _, g := range m.GrantTypes {
		if !slices.Contains(grantTypes(), g) {
			return refuse("grant_types: %q is not supported", g)
		}
	}
	if len(m.ResponseTypes) == 0 && m.usesCode() {
		m.ResponseTypes = []string{"code"}
	}
	for _, r := range m.ResponseTypes {
		if !slices.Contains(responseTypes(), r) {
			return refuse("response_types: %q is not supported", r)
		}
	}
	if m.IDTokenAlg != "" && !slices.Contains(signingAlgs(), m.IDTokenAlg) {
		return refuse("id_token_signed_response_alg %q: want one of %v", m.IDTokenAlg, signingAlgs())
	}
	if m.JWKS != nil && m.JWKSURI != "" {
		return refuse("jwks and jwks_uri together")
	}
	if m.hasKeys() && m.JWKS == nil && m.JWKSURI == "" {
		return refuse("this token_endpoint_auth_method needs jwks or jwks_uri")
	}
	if m.usesCode() && len(m.RedirectURIs) == 0 {
		return newError(400, "invalid_redirect_uri", "the authorization_code grant needs redirect_uris")
	}
	for _, u := range slices.Concat(m.RedirectURIs, m.ClaimsRedirectURIs, m.PostLogoutRedirectURIs) {
		if !absoluteURI(u) {
			return newError(400, "invalid_redirect_uri", fmt.Sprintf("%q is not an absolute URI without fragment", u))
		}
	}
	return nil
}

func (m *Metadata) usesCode() bool { return slices.Contains(m.GrantTypes, GrantAuthorizationCode) }

func absoluteURI(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Fragment == "" && !strings.Contains(text, "#")
}

func grantTypes() []string {
	return []string{GrantAuthorizationCode, GrantClientCredentials, GrantPassword, GrantRefreshToken, GrantUMA}
}

func authMethods() []string {
	return []string{AuthBasic, AuthPost, AuthSecretJWT, AuthPrivateKeyJWT, AuthNone}
}

func responseTypes() []string { return []string{"code"} }

// AddClient makes a client known, or replaces the one of that id. Without grant
// types it may use all of them.
func (s *Server) AddClient(c Client) error {
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = grantTypes()
		if len(c.RedirectURIs) == 0 {
			c.GrantTypes = c.GrantTypes[1:] // all but authorization_code
		}
	}
	if err := c.complete(); err != nil {
		return fmt.Errorf("add client %q: %w", c.ID, err)
	}
	if c.ID == "" || (c.Secret == "" && c.needsSecret()) {
		return fmt.Errorf("add client %q: an id, and a secret unless it is public or has keys, are needed", c.ID)
	}
	c.issued = s.now()
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.clients[c.ID] = &c
	return nil
}

func (c *Client) needsSecret() bool {
	return c.TokenEndpointAuthMethod != AuthNone && !c.hasKeys()
}

// hasKeys reports whether the client authenticates with keys of its own.
func (m *Metadata) hasKeys() bool {
	return m.TokenEndpointAuthMethod == AuthPrivateKeyJWT || m.TokenEndpointAuthMethod == AuthSelfSignedTLS
}

// AddUser makes a person known, or replaces the one of that name.
func (s *Server) AddUser(u User) error {
	if u.Name == "" || u.Password == "" {
		return fmt.Errorf("add user %q: name and password are needed", u.Name)
	}
	if u.ID == "" {
		u.ID = u.Name
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.users[u.Name] = &u
	return nil
}

// ForgetClients makes every registered client unknown, with its tokens and
// resources, as an Authorization Server that lost its database does.
func (s *Server) ForgetClients() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for id, c := range s.state.clients {
		if c.registration != "" {
			s.state.dropClient(id)
		}
	}
}

// ExpireTokens makes the access tokens, RPTs and PATs of a client inactive; of
// every client when clientID is empty. Refresh tokens stay.
func (s *Server) ExpireTokens(clientID string) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	expire(s.state.tokens, func(t *token) bool { return clientID == "" || t.clientID == clientID })
}

// ExpirePATs makes every PAT inactive, and nothing else.
func (s *Server) ExpirePATs() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	expire(s.state.tokens, func(t *token) bool { return t.pat })
}
