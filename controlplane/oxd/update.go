package oxd

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/store"
)

type updateParams struct {
	SiteParams
	clientParams

	// SecretExpiresAt is in milliseconds since 1970. It has an effect at Gluu only.
	SecretExpiresAt int64 `json:"client_secret_expires_at"`
}

// updateSite changes the client at the OP (RFC 7592 section 2.2), and what is
// taken by default.
func (s *registration) updateSite(ctx context.Context, c *Call, p updateParams) (siteResult, error) {
	rp := c.RP
	if err := p.merge(&rp.Metadata); err != nil {
		return siteResult{}, err
	}
	if rp.RegistrationURI == "" || rp.Secrets.RegistrationToken.IsZero() {
		return siteResult{}, fail(CodeInvalidRegistrationURL, "the OP gave no registration_client_uri, or the site has an existing client: change it at the OP")
	}
	auth, err := rp.Metadata.authentication()
	if err != nil {
		return siteResult{}, err
	}
	op, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return siteResult{}, err
	}
	if auth.method == clientauth.PrivateKeyJWT && (rp.Secrets.Key.IsZero() || rp.AuthAlg != string(auth.alg)) {
		if rp.Secrets.Key, err = newKey(auth.alg); err != nil {
			return siteResult{}, err
		}
	}
	rp.AuthMethod, rp.AuthAlg = auth.method, string(auth.alg)
	metadata, err := rp.registration(op)
	if err != nil {
		return siteResult{}, err
	}
	switch {
	case p.SecretExpiresAt <= 0:
	case op.dialect() == as.DialectGluu:
		metadata.Extra["client_secret_expires_at"] = time.UnixMilli(p.SecretExpiresAt).Unix()
	default:
		// The page has it in its example, and clients send it with each update.
		c.warn("client_secret_expires_at has no effect at this OP, which alone says when a secret expires (RFC 7592 section 2.2)")
	}
	got, err := op.server.UpdateRegistration(ctx, rp.registered(), metadata)
	if err != nil {
		return siteResult{}, opFailure(err, "the OP does not update the client")
	}
	rp.Secrets.ClientSecret, rp.SecretExpiresAt = got.ClientSecret, got.SecretExpiresAt
	rp.Secrets.RegistrationToken, rp.RegistrationURI = got.AccessToken, got.URI
	if err := s.saveUpdated(ctx, rp); err != nil {
		return siteResult{}, err
	}
	return siteResult{OxdID: rp.ID, OPHost: rp.OPHost}, nil
}

func (rp *RP) registered() as.Registration {
	return as.Registration{
		ClientID: rp.ClientID, ClientSecret: rp.Secrets.ClientSecret, SecretExpiresAt: rp.SecretExpiresAt, AuthMethod: rp.AuthMethod,
		AccessToken: rp.Secrets.RegistrationToken, URI: rp.RegistrationURI,
	}
}

// saveUpdated keeps what the OP has already, also when another has written the RP
// in the meantime: the registration token is a new one, and the old is lost.
func (s *registration) saveUpdated(ctx context.Context, rp *RP) error {
	ctx = context.WithoutCancel(ctx)
	err := s.saveRP(ctx, rp)
	for errors.Is(err, store.ErrChanged) {
		var current *RP
		if current, err = s.loadRP(ctx, rp.ID); err != nil {
			return err
		}
		rp.version = current.version
		err = s.saveRP(ctx, rp)
	}
	return err
}

// removeSite forgets the RP. A client that umagate registered is deleted at the OP
// too, as far as the OP lets it: nobody else has its credential.
func (s *registration) removeSite(ctx context.Context, c *Call, _ SiteParams) (idResult, error) {
	rp := c.RP
	if err := s.resources.forget(ctx, rp); err != nil {
		return idResult{}, fail(CodeRemoveSiteFailed, "the site could not be removed from the store").because(err)
	}
	s.clients.forget(rp.ID)
	if err := s.resources.changed(ctx, c); err != nil {
		return idResult{}, fail(CodeRemoveSiteFailed, "the site is removed, and what it protected is still enforced").because(err)
	}
	if err := s.deregister(ctx, rp); err != nil {
		s.logger.Warn("oxd: the client of a removed site is left at the OP", slog.String("client_id", rp.ClientID), slog.Any("error", err))
	}
	return idResult{OxdID: rp.ID}, nil
}

func (s *registration) deregister(ctx context.Context, rp *RP) error {
	if rp.Existing || rp.RegistrationURI == "" || rp.Secrets.RegistrationToken.IsZero() {
		return nil
	}
	all, err := s.store.RPs(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other.ClientID == rp.ClientID && other.Issuer == rp.Issuer {
			return nil // another site uses the same client
		}
	}
	op, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return err
	}
	return op.server.DeleteRegistration(ctx, rp.registered())
}
