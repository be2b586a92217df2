package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
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
		AuthMethod: as.AuthMethod(c.AuthMethod), AccessToken: c.AccessToken, URI: c.URI,
	}
}

// readRegistration reads the registration at the AS (RFC 7592 section 2.1), for a
// secret that is new there. The error says whether the AS still has it.
func (w *worker) readRegistration(ctx context.Context) error {
	stored, err := w.store.Client(ctx, w.key)
	if err != nil {
		return err
	}
	if stored.URI == "" || stored.AccessToken.IsZero() {
		return errNoManagement
	}
	// The answer may have another token, and then the one that is stored is no
	// longer good: a stop must not cut in.
	ctx = context.WithoutCancel(ctx)
	read, err := w.server.ReadRegistration(ctx, registrationOf(stored))
	if err != nil {
		if stored.State == store.ClientUpdating && errors.Is(err, as.ErrRegistrationRefused) {
			return errors.Join(errNoManagement, w.loseManagement(ctx, stored))
		}
		return err
	}
	if read.ClientSecret.Equal(stored.Secret) && read.AccessToken.Equal(stored.AccessToken) && read.URI == stored.URI &&
		read.SecretExpiresAt.Equal(stored.SecretExpiresAt) && stored.State == store.ClientRegistered {
		return nil
	}
	return w.keepRegistration(ctx, stored, read)
}

// loseManagement notes that the registration access token is lost: an update was
// under way when the control plane ended, and its answer had the next one.
func (w *worker) loseManagement(ctx context.Context, stored store.Client) error {
	w.logger.Error("the registration access token was lost with the answer to an update; the client works on, and cannot be changed any more",
		slog.String("client_id", stored.ClientID), slog.String("registration", stored.URI))
	stored.State, stored.AccessToken = store.ClientRegistered, secret.Text{}
	return w.store.PutClient(ctx, w.key, stored)
}

// updateRegistration makes the registration at the AS what the file says, with the
// keys there are (RFC 7592 section 2.2). It is called under the lock. The intent
// is stored before, and the answer, with the next registration access token,
// before anything else is done with it.
func (w *worker) updateRegistration(ctx context.Context) error {
	stored, err := w.store.Client(ctx, w.key)
	if err != nil {
		return err
	}
	if stored.State == store.ClientUpdating {
		// An earlier one was cut off: is the token still the one?
		if err := w.readRegistration(ctx); err != nil {
			return err
		}
		if stored, err = w.store.Client(ctx, w.key); err != nil {
			return err
		}
	}
	if stored.URI == "" || stored.AccessToken.IsZero() {
		return errNoManagement
	}
	if err := w.ensureKey(ctx); err != nil {
		return err
	}
	metadata, hash, err := w.clientMetadata()
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	intent := stored
	intent.State, intent.UpdatedAt = store.ClientUpdating, time.Now()
	if err := w.store.PutClient(ctx, w.key, intent); err != nil {
		return err
	}
	answered, err := w.server.UpdateRegistration(ctx, registrationOf(stored), metadata)
	if err != nil {
		if as.Doubtful(err) {
			return err // the next attempt finds out
		}
		return errors.Join(err, w.store.PutClient(ctx, w.key, stored))
	}
	stored.Name, stored.Metadata = metadata.Name, hash
	return w.keepRegistration(ctx, stored, answered)
}

// followFile updates the registration when the file says something else than what
// was registered.
func (w *worker) followFile(ctx context.Context) error {
	if w.site.AuthorizationServer.Client.Register == nil || time.Now().Before(w.updateAt) {
		return nil
	}
	stored, err := w.store.Client(ctx, w.key)
	if err != nil {
		return err
	}
	_, hash, err := w.clientMetadata()
	if err != nil {
		return err
	}
	w.updateAt = time.Now().Add(w.pace.Discover)
	if stored.Metadata == "" && stored.State == store.ClientRegistered {
		// Registered by an umagate that did not note it.
		stored.Metadata = hash
		return w.store.PutClient(ctx, w.key, stored)
	}
	if stored.Metadata == hash && stored.State != store.ClientUpdating {
		w.resolve(aboutMetadata)
		return nil
	}
	err = w.locked(ctx, w.updateRegistration)
	switch {
	case err == nil:
		w.resolve(aboutMetadata)
		w.record(ctx, audit.ClientUpdate, clientID(w.auth), nil)
		w.logger.Info("client registration updated", slog.String("client_id", clientID(w.auth)))
	case errors.Is(err, store.ErrLocked):
		w.updateAt = time.Now().Add(w.pace.Retry)
	default:
		// The client works as it was: that is no reason to stop.
		w.attend(aboutMetadata, fmt.Errorf("%w: %w", errUpdate, err))
		w.updateAt = time.Now().Add(w.pace.RetryMax)
	}
	return nil
}

// locked calls do while no other process changes the site's registrations.
func (w *worker) locked(ctx context.Context, do func(context.Context) error) (err error) {
	unlock, err := w.store.TryLock(ctx, w.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return do(ctx)
}

// followExpiry renews a secret that expires (RFC 7591 section 3.2.1): by reading
// the registration, then by updating it, and only when it is about to end, and
// neither gave another, by registering anew.
func (w *worker) followExpiry(ctx context.Context, stored store.Client) error {
	if w.secretDue.IsZero() || time.Now().Before(w.secretDue) {
		return nil
	}
	w.enter(Registering)
	w.logger.Info("client secret is about to expire", slog.Time("expires_at", w.expires))
	before := w.expires
	err := w.readRegistration(ctx)
	if err == nil && !w.expires.After(before) {
		err = w.locked(ctx, w.updateRegistration)
	}
	if err == nil && (w.expires.IsZero() || w.expires.After(before)) {
		w.resolve(aboutSecret)
		w.record(ctx, audit.ClientRotate, clientID(w.auth), nil)
		w.logger.Info("client secret renewed", slog.Time("expires_at", w.expires))
		return nil
	}
	w.secretDue = time.Now().Add(w.pace.RetryMax)
	if errors.Is(err, store.ErrLocked) {
		return nil
	}
	w.attend(aboutSecret, errors.Join(fmt.Errorf("%w: it ends at %s", errExpiry, before.UTC().Format(time.RFC3339)), err))
	if time.Until(before) > w.pace.Forgotten {
		// There is time left for the AS to change its mind.
		w.secretDue = time.Now().Add(min(time.Hour, time.Until(before)/growth))
		return nil
	}
	if err := w.mayRegisterAgain(stored); err != nil {
		return nil //nolint:nilerr // the secret may be good for a while; else the refusal is told
	}
	w.logger.Error("client secret ends and is not renewed: registering anew, as the last resort; policies of the old client are not those of the new one",
		slog.String("client_id", stored.ClientID), slog.String("registration", stored.URI))
	if err := w.registerNew(ctx); err != nil {
		return err
	}
	w.resolve(aboutSecret)
	return nil
}

// expiryDue is when something has to be done about a secret that expires: a tenth
// of its life before the end. Not at once after a registration: an AS whose clock
// is late, or that gives secrets of a few seconds, would be asked all the time.
func (w *worker) expiryDue(c store.Client) time.Time {
	if c.SecretExpiresAt.IsZero() {
		return time.Time{}
	}
	const parts, longest = 10, 24 * time.Hour
	lead := min(c.SecretExpiresAt.Sub(c.RegisteredAt)/parts, longest)
	due := c.SecretExpiresAt.Add(-max(lead, w.pace.Forgotten))
	if earliest := c.RegisteredAt.Add(w.pace.Forgotten); due.Before(earliest) {
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
