package oxd

import (
	"context"
	"encoding/json"

	"github.com/umagate/umagate/controlplane/clientauth"
)

// rpResult is an RP without its secrets: who asks has no need of them.
type rpResult struct {
	OxdID                  string   `json:"oxd_id"`
	OPHost                 string   `json:"op_host"`
	SetupClientOxdID       *string  `json:"setup_client_oxd_id"`
	SetupClient            bool     `json:"setup_client"`
	ClientID               string   `json:"client_id"`
	ClientName             string   `json:"client_name"`
	ClientIDIssuedAt       int64    `json:"client_id_issued_at"`
	ClientSecretExpiresAt  int64    `json:"client_secret_expires_at"`
	RegistrationURI        *string  `json:"client_registration_client_uri"`
	AuthMethod             string   `json:"token_endpoint_auth_method"`
	AuthAlg                *string  `json:"token_endpoint_auth_signing_alg"`
	KeyID                  *string  `json:"key_id"`
	RedirectURI            string   `json:"authorization_redirect_uri"`
	PostLogoutRedirectURI  *string  `json:"post_logout_redirect_uri"`
	ApplicationType        string   `json:"application_type"`
	ResponseTypes          []string `json:"response_types"`
	GrantTypes             []string `json:"grant_types"`
	Scope                  []string `json:"scope"`
	ACRValues              []string `json:"acr_values"`
	FrontchannelLogoutURIs []string `json:"front_channel_logout_uris"`
	SectorIdentifierURI    *string  `json:"sector_identifier_uri"`
	Contacts               []string `json:"contacts"`
	UILocales              []string `json:"ui_locales"`
	ClaimsLocales          []string `json:"claims_locales"`
	ClaimsRedirectURI      []string `json:"claims_redirect_uri"`
}

// describe returns what is kept of a site.
func (s *rps) describe(_ context.Context, c *Call, _ SiteParams) (rpResult, error) {
	rp, m := c.RP, c.RP.Metadata
	list := func(values []string) []string { return append([]string{}, values...) } // [] and not null
	var keyID string
	if !rp.Secrets.Key.IsZero() {
		key, err := clientauth.ParseJWK(rp.Secrets.Key, "")
		if err != nil {
			return rpResult{}, err
		}
		keyID = key.ID
	}
	return rpResult{
		OxdID: rp.ID, OPHost: rp.OPHost, SetupClientOxdID: present(rp.SetupOxdID), SetupClient: rp.Setup,
		ClientID: rp.ClientID, ClientName: m.ClientName, ClientIDIssuedAt: seconds(rp.IssuedAt), ClientSecretExpiresAt: seconds(rp.SecretExpiresAt),
		RegistrationURI: present(rp.RegistrationURI), AuthMethod: string(rp.AuthMethod), AuthAlg: present(rp.AuthAlg), KeyID: present(keyID),
		RedirectURI: m.RedirectURI, PostLogoutRedirectURI: present(m.PostLogoutRedirectURI), ApplicationType: m.ApplicationType,
		ResponseTypes: list(m.ResponseTypes), GrantTypes: list(m.GrantTypes), Scope: list(m.Scope), ACRValues: list(m.ACRValues),
		FrontchannelLogoutURIs: list(m.FrontchannelLogout), SectorIdentifierURI: present(m.SectorIdentifierURI), Contacts: list(m.Contacts),
		UILocales: list(m.UILocales), ClaimsLocales: list(m.ClaimsLocales), ClaimsRedirectURI: list(m.ClaimsRedirectURIs),
	}, nil
}

// opParams name an OP; oxd_id may stand for it.
type opParams struct {
	OxdID           string `json:"oxd_id"`
	OPHost          string `json:"op_host"`
	OPDiscoveryPath string `json:"op_discovery_path"`
}

func (s *rps) providerOf(ctx context.Context, p opParams) (*provider, error) {
	if p.OPHost == "" && p.OxdID != "" {
		rp, err := s.loadRP(ctx, p.OxdID)
		if err != nil {
			return nil, err
		}
		return s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	}
	return s.provider(ctx, p.OPHost, p.OPDiscoveryPath)
}

// discovery returns the OP's document as it is.
func (s *rps) discovery(ctx context.Context, _ *Call, p opParams) (map[string]any, error) {
	op, err := s.providerOf(ctx, p)
	if err != nil {
		return nil, err
	}
	return op.document, nil
}

type jwksResult struct {
	Keys []json.RawMessage `json:"keys"`
}

// jwks returns the OP's keys as they are.
func (s *rps) jwks(ctx context.Context, _ *Call, p opParams) (jwksResult, error) {
	op, err := s.providerOf(ctx, p)
	if err != nil {
		return jwksResult{}, err
	}
	if op.metadata.JWKSURI == "" {
		return jwksResult{}, fail(CodeNoConnectDiscovery, "the OP names no jwks_uri")
	}
	raw, err := getJSON(ctx, op.client, op.metadata.JWKSURI)
	out := jwksResult{Keys: []json.RawMessage{}}
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		return jwksResult{}, fail(CodeInternal, "the OP's keys cannot be read").because(err)
	}
	return out, nil
}
