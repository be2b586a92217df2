package oxd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// RP is a relying party, what oxd calls a site: a client at an OP, and what
// commands about it take by default. It is stored as JSON, its secrets apart.
type RP struct {
	// ID is the oxd_id.
	ID string `json:"oxd_id"`
	// OPHost is as the client wrote it; Issuer is whose client it is.
	OPHost        string `json:"op_host"`
	DiscoveryPath string `json:"op_discovery_path,omitempty"`
	Issuer        string `json:"issuer"`
	// Setup is a setup client: its tokens protect commands.
	Setup bool `json:"setup_client,omitempty"`
	// SetupOxdID is the oxd_id of the setup client whose tokens command this RP;
	// empty for one registered without.
	SetupOxdID string `json:"setup_client_oxd_id,omitempty"`

	ClientID        string            `json:"client_id"`
	Existing        bool              `json:"existing,omitempty"` // the client was there before
	AuthMethod      clientauth.Method `json:"token_endpoint_auth_method"`
	AuthAlg         string            `json:"token_endpoint_auth_signing_alg,omitempty"`
	IssuedAt        time.Time         `json:"client_id_issued_at,omitzero"`
	SecretExpiresAt time.Time         `json:"client_secret_expires_at,omitzero"`
	RegistrationURI string            `json:"registration_client_uri,omitempty"`

	Metadata Metadata `json:"metadata"`

	// Secrets are not part of the JSON.
	Secrets RPSecrets `json:"-"`
	// version is the store's, see store.RP.
	version int64
}

// RPSecrets are what is sealed of an RP.
type RPSecrets struct {
	ClientSecret      secret.Text
	RegistrationToken secret.Text
	// Key is a private key in JWK form, for private_key_jwt.
	Key secret.Text
}

// sealedSecrets is the JSON form inside the seal, where nothing is redacted.
type sealedSecrets struct {
	ClientSecret      string `json:"client_secret,omitempty"`
	RegistrationToken string `json:"registration_access_token,omitempty"`
	Key               string `json:"key,omitempty"`
}

// Metadata is what register_site and update_site set, with the site's defaults
// already in it.
type Metadata struct {
	RedirectURI           string   `json:"authorization_redirect_uri"`
	PostLogoutRedirectURI string   `json:"post_logout_redirect_uri,omitempty"`
	ApplicationType       string   `json:"application_type,omitempty"`
	ResponseTypes         []string `json:"response_types,omitempty"`
	GrantTypes            []string `json:"grant_types,omitempty"`
	Scope                 []string `json:"scope,omitempty"`
	ACRValues             []string `json:"acr_values,omitempty"`
	ClientName            string   `json:"client_name,omitempty"`
	JWKSURI               string   `json:"client_jwks_uri,omitempty"`
	AuthMethod            string   `json:"client_token_endpoint_auth_method,omitempty"`
	AuthAlg               string   `json:"client_token_endpoint_auth_signing_alg,omitempty"`
	RequestURIs           []string `json:"client_request_uris,omitempty"`
	FrontchannelLogout    []string `json:"client_frontchannel_logout_uris,omitempty"`
	SectorIdentifierURI   string   `json:"client_sector_identifier_uri,omitempty"`
	Contacts              []string `json:"contacts,omitempty"`
	UILocales             []string `json:"ui_locales,omitempty"`
	ClaimsLocales         []string `json:"claims_locales,omitempty"`
	ClaimsRedirectURIs    []string `json:"claims_redirect_uri,omitempty"`
	TrustedClient         *bool    `json:"trusted_client,omitempty"`
}

// rps keeps the RPs, joined with their OPs: every command about one begins with it.
type rps struct {
	*ops

	store   RPs
	clients rpClients
	logger  *slog.Logger
}

// loadRP reads the RP of that oxd_id. Unknown gives invalid_oxd_id.
func (s *rps) loadRP(ctx context.Context, id string) (*RP, error) {
	if id == "" {
		return nil, fail(CodeBadRequest, "oxd_id is missing: register_site gives one")
	}
	kept, err := s.store.RP(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fail(CodeInvalidOxdID, "oxd_id is not known here: register_site gives one")
	}
	if err != nil {
		return nil, err
	}
	return openRP(kept)
}

func openRP(kept store.RP) (*RP, error) {
	rp := &RP{}
	if err := json.Unmarshal(kept.Record, rp); err != nil {
		return nil, fmt.Errorf("oxd: the record of %s: %w", kept.ID, err)
	}
	var sealed sealedSecrets
	if !kept.Secrets.IsZero() {
		if err := json.Unmarshal([]byte(kept.Secrets.Reveal()), &sealed); err != nil {
			// The cause may quote a secret.
			return nil, fmt.Errorf("oxd: the secrets of %s are not JSON", kept.ID)
		}
	}
	rp.Secrets = RPSecrets{
		ClientSecret: secret.New(sealed.ClientSecret), RegistrationToken: secret.New(sealed.RegistrationToken), Key: secret.New(sealed.Key),
	}
	rp.version = kept.Version
	return rp, nil
}

// saveRP writes the RP, and fails with store.ErrChanged when another has written
// it since it was loaded.
func (s *rps) saveRP(ctx context.Context, rp *RP) error {
	record, err := json.Marshal(rp)
	if err != nil {
		return fmt.Errorf("oxd: encode the record: %w", err)
	}
	sealed, err := json.Marshal(sealedSecrets{
		ClientSecret: rp.Secrets.ClientSecret.Reveal(), RegistrationToken: rp.Secrets.RegistrationToken.Reveal(), Key: rp.Secrets.Key.Reveal(),
	})
	if err != nil {
		return fmt.Errorf("oxd: encode the secrets: %w", err)
	}
	version, err := s.store.PutRP(ctx, store.RP{
		ID: rp.ID, ClientID: rp.ClientID, Issuer: rp.Issuer, Setup: rp.Setup, Record: record, Secrets: secret.New(string(sealed)),
		Version: rp.version, UpdatedAt: s.now(),
	})
	if err != nil {
		return err
	}
	rp.version = version
	return nil
}
