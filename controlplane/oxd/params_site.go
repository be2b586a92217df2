package oxd

import (
	"net/url"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/secret"
)

// clientParams are what setup_client, register_site and update_site have in common.
// Where the page and the clients spell a parameter differently, both are taken.
type clientParams struct {
	RedirectURI           string  `json:"authorization_redirect_uri"`
	PostLogoutRedirectURI string  `json:"post_logout_redirect_uri"`
	ApplicationType       string  `json:"application_type"`
	ResponseTypes         Strings `json:"response_types"`
	ResponseType          Strings `json:"response_type"`
	GrantTypes            Strings `json:"grant_types"`
	Scope                 Strings `json:"scope"`
	ACRValues             Strings `json:"acr_values"`
	ClientName            string  `json:"client_name"`
	JWKSURI               string  `json:"client_jwks_uri"`
	AuthMethod            string  `json:"client_token_endpoint_auth_method"`
	AuthAlg               string  `json:"client_token_endpoint_auth_signing_alg"`
	RequestURIs           Strings `json:"client_request_uris"`
	FrontchannelLogout    Strings `json:"client_frontchannel_logout_uris"`
	LogoutURIs            Strings `json:"client_logout_uris"`
	SectorIdentifierURI   Strings `json:"client_sector_identifier_uri"`
	SectorIdentifierURIs  Strings `json:"client_sector_identifier_uris"`
	Contacts              Strings `json:"contacts"`
	UILocales             Strings `json:"ui_locales"`
	ClaimsLocales         Strings `json:"claims_locales"`
	ClaimsRedirectURI     Strings `json:"claims_redirect_uri"`
	TrustedClient         *bool   `json:"trusted_client"`
}

// existingParams name a client that is there already.
type existingParams struct {
	ClientID          string      `json:"client_id"`
	ClientSecret      secret.Text `json:"client_secret"`
	RegistrationToken secret.Text `json:"client_registration_access_token"`
	RegistrationURI   string      `json:"client_registration_client_uri"`
}

// merge sets in m what the parameters name, and leaves the rest.
func (p clientParams) merge(m *Metadata) error {
	text := func(field *string, value string) {
		if value = strings.TrimSpace(value); value != "" {
			*field = value
		}
	}
	list := func(field *[]string, values ...Strings) {
		if got := first(values...); got != nil {
			*field = got
		}
	}
	text(&m.RedirectURI, p.RedirectURI)
	text(&m.PostLogoutRedirectURI, p.PostLogoutRedirectURI)
	text(&m.ApplicationType, p.ApplicationType)
	text(&m.ClientName, p.ClientName)
	text(&m.JWKSURI, p.JWKSURI)
	text(&m.AuthMethod, p.AuthMethod)
	text(&m.AuthAlg, p.AuthAlg)
	list(&m.ResponseTypes, p.ResponseTypes, p.ResponseType)
	list(&m.GrantTypes, p.GrantTypes)
	list(&m.Scope, p.Scope)
	list(&m.ACRValues, p.ACRValues)
	list(&m.RequestURIs, p.RequestURIs)
	list(&m.FrontchannelLogout, p.FrontchannelLogout, p.LogoutURIs)
	list(&m.Contacts, p.Contacts)
	list(&m.UILocales, p.UILocales)
	list(&m.ClaimsLocales, p.ClaimsLocales)
	list(&m.ClaimsRedirectURIs, p.ClaimsRedirectURI)
	sector := first(p.SectorIdentifierURI, p.SectorIdentifierURIs)
	if len(sector) > 1 {
		return fail(CodeBadRequest, "client_sector_identifier_uri has several addresses: a client has one (OpenID Connect Registration 1.0 section 2)")
	}
	if len(sector) == 1 {
		m.SectorIdentifierURI = sector[0]
	}
	if p.TrustedClient != nil {
		m.TrustedClient = p.TrustedClient
	}
	return m.check()
}

// check refuses what no OP can take, with the parameter's name.
func (m *Metadata) check() error {
	if m.RedirectURI == "" || !absolute(m.RedirectURI) {
		return fail(CodeInvalidRedirectURI, "authorization_redirect_uri must be an absolute address without fragment")
	}
	if len(m.Scope) == 0 {
		return fail(CodeInvalidScope, "scope is missing, and oxd.defaults has none")
	}
	if m.ApplicationType != "" && m.ApplicationType != "web" && m.ApplicationType != "native" {
		return fail(CodeBadRequest, "application_type must be web or native")
	}
	if sector := m.SectorIdentifierURI; sector != "" && (!absolute(sector) || !strings.HasPrefix(sector, "https:")) {
		return fail(CodeBadRequest, "client_sector_identifier_uri must be an https address")
	}
	for _, named := range []struct {
		name   string
		values []string
	}{
		{"post_logout_redirect_uri", one(m.PostLogoutRedirectURI)},
		{"client_jwks_uri", one(m.JWKSURI)},
		{"client_request_uris", m.RequestURIs},
		{"client_frontchannel_logout_uris", m.FrontchannelLogout},
		{"claims_redirect_uri", m.ClaimsRedirectURIs},
	} {
		if i := slices.IndexFunc(named.values, func(s string) bool { return !absolute(s) }); i >= 0 {
			return fail(CodeBadRequest, "%s must be absolute addresses", named.name)
		}
	}
	_, err := m.authentication()
	return err
}

func one(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// absolute judges an address. The scheme may be an application's own: native ones
// are called back by it.
func absolute(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.IsAbs() && u.Scheme != "javascript" && u.Scheme != "data" && (u.Host != "" || u.Opaque != "" || u.Path != "")
}
