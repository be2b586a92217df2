package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	errNoManagement = errors.New("the registration cannot be read or changed: the authorization server gave no address or token for that (RFC 7592), or the token was lost")
	errUpdate       = errors.New("the registration at the authorization server is not as umagate.yaml has it")
	errExpiry       = errors.New("the client secret is about to expire, and the authorization server gives no new one")
)

// registrationOf is the registration as package as has it.
func registrationOf(c store.Client) as.Registration {
	return as.Registration{
		ClientID: c.ClientID, ClientSecret: c.Secret, SecretExpiresAt: c.SecretExpiresAt,
		AuthMethod: clientauth.Method(c.AuthMethod), AccessToken: c.AccessToken, URI: c.URI,
	}
}

// managed reports whether the AS gave a way to manage the registration (RFC 7592).
func managed(c store.Client) bool { return c.URI != "" && !c.AccessToken.IsZero() }

// readRegistration reads the registration at the AS (RFC 7592 section 2.1), for a
// secret that is new there. The error tells a registration that is gone from one that cannot be read.
func (c *client) readRegistration(ctx context.Context, server *as.Server) error {
	stored, err := c.store.Client(ctx, c.key)
	if err != nil {
		return err
	}
	if !managed(stored) {
		return errNoManagement
	}
	// The answer may have another token, and then the one that is stored is no
	// longer good: a stop must not cut in.
	ctx = context.WithoutCancel(ctx)
	read, err := server.ReadRegistration(ctx, registrationOf(stored))
	if err != nil {
		if stored.State == store.ClientUpdating && errors.Is(err, as.ErrRegistrationRefused) {
			return errors.Join(errNoManagement, c.loseManagement(ctx, stored))
		}
		return err
	}
	if read.ClientSecret.Equal(stored.Secret) && read.AccessToken.Equal(stored.AccessToken) && read.URI == stored.URI &&
		read.SecretExpiresAt.Equal(stored.SecretExpiresAt) && stored.State == store.ClientRegistered {
		return nil
	}
	return c.keepRegistration(ctx, stored, c.trySecret(ctx, server, stored, read))
}

// loseManagement notes that the registration access token is lost: an update was
// under way when the control plane ended, and its answer had the next one.
func (c *client) loseManagement(ctx context.Context, stored store.Client) error {
	c.logger.Error("the registration access token was lost with the answer to an update; the client works on, and cannot be changed any more",
		slog.String("client_id", stored.ClientID), slog.String("registration", stored.URI))
	stored.State, stored.AccessToken = store.ClientRegistered, secret.Text{}
	return c.store.PutClient(ctx, c.key, stored)
}

// update makes the registration at the AS what the file says, with the
// keys there are (RFC 7592 section 2.2). It is called under the lock. The intent
// is stored before, and the answer, with the next registration access token,
// before anything else is done with it.
func (c *client) update(ctx context.Context, server *as.Server) error {
	stored, err := c.store.Client(ctx, c.key)
	if err != nil {
		return err
	}
	if stored.State == store.ClientUpdating {
		// An earlier one was cut off: is the token still the one?
		if err := c.readRegistration(ctx, server); err != nil {
			return err
		}
		if stored, err = c.store.Client(ctx, c.key); err != nil {
			return err
		}
	}
	if !managed(stored) {
		return errNoManagement
	}
	if err := c.keys.ensure(ctx); err != nil {
		return err
	}
	metadata, hash, err := c.metadata(server)
	if err != nil {
		return err
	}
	if err := c.mayChange(server, stored, metadata, hash); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	intent := stored
	intent.State, intent.UpdatedAt = store.ClientUpdating, time.Now()
	if err := c.store.PutClient(ctx, c.key, intent); err != nil {
		return err
	}
	answered, err := server.UpdateRegistration(ctx, registrationOf(stored), metadata)
	if err != nil {
		if as.OutcomeUnknown(err) {
			return err // the next attempt finds out
		}
		return errors.Join(err, c.store.PutClient(ctx, c.key, stored))
	}
	if err := c.tryMethod(ctx, server, stored, answered); err != nil {
		c.refusedMetadata, c.refusedWhy = hash, err
		return errors.Join(err, c.changeBack(ctx, server, stored, answered, metadata))
	}
	answered = c.trySecret(ctx, server, stored, answered)
	stored.Name, stored.Metadata = metadata.Name, hash
	return c.keepRegistration(ctx, stored, answered)
}

// followFile updates the registration when the file says something else than what
// was registered.
func (c *client) followFile(ctx context.Context, server *as.Server) error {
	if c.site.AuthorizationServer.Client.Register == nil || time.Now().Before(c.updateDue) {
		return nil
	}
	stored, err := c.store.Client(ctx, c.key)
	if err != nil {
		return err
	}
	_, hash, err := c.metadata(server)
	if err != nil {
		return err
	}
	c.updateDue = time.Now().Add(c.intervals.Discover)
	if stored.Metadata == "" && stored.State == store.ClientRegistered {
		// Registered by an umagate that did not note it.
		stored.Metadata = hash
		return c.store.PutClient(ctx, c.key, stored)
	}
	if stored.Metadata == hash && stored.State != store.ClientUpdating {
		c.conditions.Set(health.ClientMetadataOutdated, nil)
		return nil
	}
	err = c.locked(ctx, func(ctx context.Context) error { return c.update(ctx, server) })
	switch {
	case err == nil:
		c.conditions.Set(health.ClientMetadataOutdated, nil)
		c.record(ctx, audit.ClientUpdate, c.current.ID(), nil)
		c.logger.Info("client registration updated", slog.String("client_id", c.current.ID()))
	case errors.Is(err, store.ErrLocked):
		c.updateDue = time.Now().Add(c.intervals.Retry)
	default:
		// The client works as it was: that is no reason to stop.
		c.conditions.Set(health.ClientMetadataOutdated, fmt.Errorf("%w: %w", errUpdate, err))
		c.updateDue = time.Now().Add(c.intervals.RetryMax)
	}
	return nil
}

// followExpiry renews a secret that expires (RFC 7591 section 3.2.1): by reading
// the registration, then by updating it, and only when it is about to end, and
// neither gave another, by registering anew.
func (c *client) followExpiry(ctx context.Context, server *as.Server, stored store.Client) error {
	if c.secretDue.IsZero() || time.Now().Before(c.secretDue) {
		return nil
	}
	c.enter(Registering)
	c.logger.Info("client secret is about to expire", slog.Time("expires_at", c.current.SecretExpiresAt))
	before := c.current.SecretExpiresAt
	err := c.readRegistration(ctx, server)
	if err == nil && !c.current.SecretExpiresAt.After(before) {
		err = c.locked(ctx, func(ctx context.Context) error { return c.update(ctx, server) })
	}
	if err == nil && (c.current.SecretExpiresAt.IsZero() || c.current.SecretExpiresAt.After(before)) {
		c.conditions.Set(health.ClientSecretExpiring, nil)
		c.record(ctx, audit.ClientRotate, c.current.ID(), nil)
		c.logger.Info("client secret renewed", slog.Time("expires_at", c.current.SecretExpiresAt))
		return nil
	}
	c.secretDue = time.Now().Add(c.intervals.RetryMax)
	if errors.Is(err, store.ErrLocked) {
		return nil
	}
	c.conditions.Set(health.ClientSecretExpiring, errors.Join(fmt.Errorf("%w: it ends at %s", errExpiry, before.UTC().Format(time.RFC3339)), err))
	if time.Until(before) > c.intervals.Forgotten {
		// There is time left for the AS to change its mind.
		c.secretDue = time.Now().Add(min(time.Hour, time.Until(before)/growth))
		return nil
	}
	if err := c.mayRegisterAgain(stored); err != nil {
		return nil //nolint:nilerr // the secret may be good for a while; else the refusal is told
	}
	c.logger.Error("client secret ends and is not renewed: registering anew, as the last resort; policies of the old client are not those of the new one",
		slog.String("client_id", stored.ClientID), slog.String("registration", stored.URI))
	if err := c.register(ctx, server, false); err != nil {
		return err
	}
	c.conditions.Set(health.ClientSecretExpiring, nil)
	return nil
}

// expiryDue is when something has to be done about a secret that expires: a tenth
// of its life before the end. Not at once after a registration: an AS whose clock
// is late, or that gives secrets of a few seconds, would be asked all the time.
func (c *client) expiryDue(stored store.Client) time.Time {
	if stored.SecretExpiresAt.IsZero() {
		return time.Time{}
	}
	const parts, longest = 10, 24 * time.Hour
	lead := min(stored.SecretExpiresAt.Sub(stored.RegisteredAt)/parts, longest)
	due := stored.SecretExpiresAt.Add(-max(lead, c.intervals.Forgotten))
	if earliest := stored.RegisteredAt.Add(c.intervals.Forgotten); due.Before(earliest) {
		return earliest
	}
	return due
}

// decodeObject reads a JSON object.
func decodeObject(raw json.RawMessage, into *map[string]any) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("not a JSON object: %w", err)
	}
	return nil
}
