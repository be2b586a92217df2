package devas

import (
	"net/http"
	"strings"
)

// metadata is the discovery document (OpenID Connect Discovery section 3, RFC
// 8414 section 2, UMA Grant section 2, UMA Federated Authorization section 2).
type metadata struct {
	Issuer                string `json:"issuer"`
	AuthorizationEndpoint string `json:"authorization_endpoint"`
	TokenEndpoint         string `json:"token_endpoint"`
	JWKSURI               string `json:"jwks_uri"`
	RegistrationEndpoint  string `json:"registration_endpoint,omitempty"`
	IntrospectionEndpoint string `json:"introspection_endpoint"`
	RevocationEndpoint    string `json:"revocation_endpoint"`
	UserInfoEndpoint      string `json:"userinfo_endpoint"`
	EndSessionEndpoint    string `json:"end_session_endpoint"`
	Permission            string `json:"permission_endpoint"`
	Resources             string `json:"resource_registration_endpoint"`
	ClaimsInteraction     string `json:"claims_interaction_endpoint,omitempty"`

	GrantTypes           []string `json:"grant_types_supported"`
	ResponseTypes        []string `json:"response_types_supported"`
	ResponseModes        []string `json:"response_modes_supported"`
	Scopes               []string `json:"scopes_supported"`
	SubjectTypes         []string `json:"subject_types_supported"`
	IDTokenAlgs          []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods     []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs        []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionMethods []string `json:"introspection_endpoint_auth_methods_supported"`
	ChallengeMethods     []string `json:"code_challenge_methods_supported"`
	Claims               []string `json:"claims_supported"`
	Prompts              []string `json:"prompt_values_supported"`
	IssInResponse        bool     `json:"authorization_response_iss_parameter_supported"`
}

// serveDiscovery answers every well-known address with the same document: each
// specification tells its readers to ignore what it does not define.
func (s *Server) serveDiscovery(w http.ResponseWriter, _ *http.Request) error {
	p, d := s.options.Dialect.Paths, s.options.Dialect
	m := metadata{
		Issuer:                s.Issuer(),
		AuthorizationEndpoint: s.endpoint(p.Authorization),
		TokenEndpoint:         s.endpoint(p.Token),
		JWKSURI:               s.endpoint(p.JWKS),
		IntrospectionEndpoint: s.endpoint(p.Introspection),
		RevocationEndpoint:    s.endpoint(p.Revocation),
		UserInfoEndpoint:      s.endpoint(p.UserInfo),
		EndSessionEndpoint:    s.endpoint(p.EndSession),
		Permission:            s.endpoint(p.Permission),
		Resources:             s.endpoint(p.Resources),
		GrantTypes:            grantTypes(),
		ResponseTypes:         responseTypes(),
		ResponseModes:         []string{"query", "fragment", "form_post"},
		Scopes:                s.knownScopes(),
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           signingAlgs(),
		TokenAuthMethods:      authMethods(),
		IntrospectionMethods:  authMethods()[:4],
		ChallengeMethods:      []string{"S256"},
		Claims:                []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "at_hash", "sid", "name", "preferred_username", "email"},
		Prompts:               []string{"none", "login", "consent"},
		IssInResponse:         true,
	}
	if s.options.Registration != RegistrationOff {
		m.RegistrationEndpoint = s.endpoint(p.Registration)
	}
	if !d.NoClaimsInteraction {
		m.ClaimsInteraction = s.endpoint(p.Claims)
	}
	for _, a := range hmacAlgs() {
		m.TokenAuthAlgs = append(m.TokenAuthAlgs, string(a))
	}
	for _, a := range keyAlgs() {
		m.TokenAuthAlgs = append(m.TokenAuthAlgs, string(a))
	}
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, m)
	return nil
}

// serveRealm answers what Keycloak tells everybody of a realm. Nothing is revoked.
func (s *Server) serveRealm(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"realm": strings.TrimPrefix(s.prefix, "/realms/"), "token-service": s.Issuer() + "/protocol/openid-connect", "tokens-not-before": 0,
	})
}

func (s *Server) knownScopes() []string {
	return append([]string{"openid", "profile", "email", "offline_access", ScopePAT}, s.options.Scopes...)
}
