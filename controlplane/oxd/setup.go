package oxd

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

type setupParams struct {
	registerParams

	SetupClientName string `json:"setup_client_name"`
}

// setupResult has every member always: clients read them without a default.
type setupResult struct {
	OxdID             string  `json:"oxd_id"`
	ClientIDOfOxdID   string  `json:"client_id_of_oxd_id"`
	OPHost            string  `json:"op_host"`
	SetupClientOxdID  string  `json:"setup_client_oxd_id"`
	ClientID          string  `json:"client_id"`
	ClientSecret      string  `json:"client_secret"`
	RegistrationToken *string `json:"client_registration_access_token"`
	RegistrationURI   *string `json:"client_registration_client_uri"`
	IssuedAt          int64   `json:"client_id_issued_at"`
	SecretExpiresAt   int64   `json:"client_secret_expires_at"`
}

// setupClient registers the setup client, whose tokens protect commands, and an
// RP that those tokens command.
func (s *registration) setupClient(ctx context.Context, _ *Call, p setupParams) (setupResult, error) {
	setup, err := s.newRP(ctx, p.registerParams)
	if err != nil {
		return setupResult{}, err
	}
	setup.Setup = true
	setup.Metadata.ClientName = cmp.Or(p.SetupClientName, "umagate oxd setup "+setup.ID)
	setup.Metadata.GrantTypes = with(setup.Metadata.GrantTypes, as.GrantClientCredentials)
	setup.Metadata.Scope = with(setup.Metadata.Scope, scopeUMAProtection, scopeOxd)
	site, err := s.newRP(ctx, p.registerParams)
	if err != nil {
		return setupResult{}, err
	}
	if p.ClientID != "" {
		if err := s.owned(ctx, setup, p.existingParams); err != nil {
			return setupResult{}, err
		}
	}
	if err := s.enrol(ctx, setup, p.existingParams); err != nil {
		return setupResult{}, err
	}
	site.SetupOxdID = setup.ID
	if err := s.enrol(ctx, site, p.existingParams); err != nil {
		return setupResult{}, err
	}
	return setupResult{
		OxdID: site.ID, ClientIDOfOxdID: site.ClientID, OPHost: setup.OPHost, SetupClientOxdID: setup.ID,
		ClientID: setup.ClientID, ClientSecret: setup.Secrets.ClientSecret.Reveal(),
		RegistrationToken: present(setup.Secrets.RegistrationToken.Reveal()), RegistrationURI: present(setup.RegistrationURI),
		IssuedAt: seconds(setup.IssuedAt), SecretExpiresAt: seconds(setup.SecretExpiresAt),
	}, nil
}

// owned has the OP judge the credential of an existing client: the newest record of
// a client is the one its tokens are judged by.
func (s *registration) owned(ctx context.Context, setup *RP, existing existingParams) error {
	method, err := setup.Metadata.authentication()
	if err != nil {
		return err
	}
	op, err := s.provider(ctx, setup.OPHost, setup.DiscoveryPath)
	if err != nil {
		return err
	}
	auth, err := s.authFor(existing.ClientID, existing.ClientSecret, secret.Text{}, method)
	if err != nil {
		return err
	}
	_, err = op.requestTokens(ctx, auth, url.Values{"grant_type": {as.GrantClientCredentials}, "scope": {scopeOpenID}})
	return err
}

// with adds to a list what is not in it.
func with(list []string, more ...string) []string {
	out := slices.Clone(list)
	for _, s := range more {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// seconds since 1970; 0 for never and for not known, as RFC 7591 section 3.2.1 has it.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}
