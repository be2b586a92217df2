package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// errNoEnvoyCredential: Envoy can send a header, and this client needs more.
	errNoEnvoyCredential = errors.New("the introspection endpoint takes the client's authentication, and Envoy cannot sign assertions")
	errKeyRegistration   = errors.New("a client with a key of its own cannot be registered yet: give authorization_server.client.id and private_key, or another token_endpoint_auth_method")
)

// discover reads the metadata when it is due. Where an earlier reading exists, a
// failure is told and the earlier one stays in use.
func (w *worker) discover(ctx context.Context) error {
	if w.server != nil && time.Now().Before(w.discoverAt) {
		return nil
	}
	if w.server == nil {
		w.enter(Discovering)
	}
	found, err := w.client.Discover(ctx)
	if err == nil {
		err = checkEndpoints(w.site, found.Metadata())
	}
	if err != nil {
		if w.server == nil || ctx.Err() != nil {
			return err
		}
		w.discoverAt = time.Now().Add(w.pace.RetryMax)
		w.logger.Warn("discovery failed; the endpoints known so far stay in use", slog.Any("error", err), slog.String("remedy", remedy(err)))
		return nil
	}
	metadata, err := json.Marshal(found.Metadata())
	if err != nil {
		return fmt.Errorf("encode the metadata: %w", err)
	}
	if err := w.store.PutDiscovery(ctx, w.key, store.Discovery{Metadata: metadata, FoundAt: time.Now()}); err != nil {
		return err
	}
	w.setServer(found)
	w.discoverAt = time.Now().Add(w.pace.Discover)
	return nil
}

func (w *worker) setServer(s *as.Server) {
	w.mu.Lock()
	w.server = s
	w.mu.Unlock()
	w.changed()
}

func (w *worker) restoreDiscovery(ctx context.Context) error {
	stored, err := w.store.Discovery(ctx, w.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var metadata as.Metadata
	if err := json.Unmarshal(stored.Metadata, &metadata); err != nil {
		return fmt.Errorf("site %s: stored metadata: %w", w.site.Name, err)
	}
	known, err := w.client.Known(metadata)
	if err == nil {
		err = checkEndpoints(w.site, known.Metadata())
	}
	if err != nil {
		// The file has changed since; a new discovery decides.
		w.logger.Warn("stored metadata does not fit the file any more", slog.Any("error", err))
		return nil
	}
	w.setServer(known)
	return nil
}

// register makes sure that there is a client to be: the file's own, or one
// registered before, or a new one.
func (w *worker) register(ctx context.Context) error {
	given := w.site.AuthorizationServer.Client
	if w.auth != nil && (w.expires.IsZero() || time.Now().Before(w.expiryDue())) {
		return w.checkEnvoyCredential()
	}
	w.enter(Registering)
	if given.Register == nil {
		return w.useClient(as.AuthMethod(given.TokenEndpointAuthMethod), given.ID, given.Secret, time.Time{}, false)
	}
	if w.auth != nil {
		w.logger.Info("client secret is about to expire", slog.Time("expires_at", w.expires))
		if err := w.refreshRegistration(ctx); err == nil && time.Until(w.expires) > w.pace.Forgotten {
			return nil
		}
	}
	return w.registerNew(ctx)
}

// expiryDue is when something has to be done about a secret that expires. Not at
// once after a registration: an AS whose clock is late, or that gives secrets of
// a few seconds, would get one client after the other.
func (w *worker) expiryDue() time.Time {
	due := w.expires.Add(-w.pace.Forgotten)
	if earliest := w.registered.Add(w.pace.Forgotten); due.Before(earliest) {
		return earliest
	}
	return due
}

// registerNew registers a client, unless another process of this store has done
// so meanwhile.
func (w *worker) registerNew(ctx context.Context) (err error) {
	unlock, err := w.store.TryLock(ctx, w.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	stored, err := w.store.Client(ctx, w.key)
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err == nil && stored.State == store.ClientRegistered && stored.ClientID != clientID(w.auth):
		return w.useClient(as.AuthMethod(stored.AuthMethod), stored.ClientID, stored.Secret, stored.SecretExpiresAt, true)
	}
	return w.registerLocked(ctx, stored)
}

// registerLocked registers a client. The intent is stored first: RFC 7591 has no
// way to find a client whose answer was lost, so what is left is to tell of it.
// previous is the client before, zero when there was none: until another one is
// there, nothing of it may be lost, for the AS may come to accept it again.
func (w *worker) registerLocked(ctx context.Context, previous store.Client) error {
	settings := w.site.AuthorizationServer.Client.Register
	method := as.AuthMethod(w.site.AuthorizationServer.Client.TokenEndpointAuthMethod)
	if method == as.AuthPrivateKeyJWT {
		return errKeyRegistration
	}
	name := w.clientName()
	if err := ctx.Err(); err != nil {
		return err
	}
	// From the intent to the record, a stop or a reload must not cut in: the answer
	// would be lost. The timeout of a call bounds it.
	ctx = context.WithoutCancel(ctx)
	intent := previous
	intent.State, intent.UpdatedAt = store.ClientRegistering, time.Now()
	if previous.ClientID == "" {
		intent.Name = name
	}
	if err := w.store.PutClient(ctx, w.key, intent); err != nil {
		return err
	}
	dialect := w.server.Dialect()
	registration, err := w.server.Register(ctx, as.ClientMetadata{
		Name: name, GrantTypes: dialect.GrantTypes, AuthMethod: method, Scope: dialect.RegisterScope,
		SoftwareStatement: settings.SoftwareStatement.Reveal(),
	}, settings.InitialAccessToken)
	if err != nil {
		if failed, ok := errors.AsType[*as.Error](err); ok && failed.Status >= 400 && failed.Status < 500 {
			// The AS has said no: nothing new of ours is there.
			return errors.Join(err, w.putBack(ctx, previous))
		}
		return err
	}
	w.registered = time.Now()
	if registration.AuthMethod == "" {
		registration.AuthMethod = method
	}
	if err := w.keepRegistration(ctx, name, registration); err != nil {
		return err
	}
	w.logger.Info("client registered", slog.String("client_id", registration.ClientID), slog.String("client_name", name))
	return nil
}

// putBack makes the record what it was before the intent.
func (w *worker) putBack(ctx context.Context, previous store.Client) error {
	if previous.ClientID == "" {
		return w.store.DeleteClient(ctx, w.key)
	}
	previous.State = store.ClientRegistered
	return w.store.PutClient(ctx, w.key, previous)
}

// clientName is the client_name of a new registration.
func (w *worker) clientName() string {
	if r := w.site.AuthorizationServer.Client.Register; r != nil && r.ClientName != "" {
		return r.ClientName
	}
	return "umagate " + w.site.Name
}

func (w *worker) keepRegistration(ctx context.Context, name string, r as.Registration) error {
	err := w.store.PutClient(ctx, w.key, store.Client{
		State: store.ClientRegistered, Name: name, ClientID: r.ClientID, Secret: r.ClientSecret, SecretExpiresAt: r.SecretExpiresAt,
		AuthMethod: string(r.AuthMethod), AccessToken: r.AccessToken, URI: r.URI, UpdatedAt: time.Now(),
	})
	if err != nil {
		return err
	}
	return w.useClient(r.AuthMethod, r.ClientID, r.ClientSecret, r.SecretExpiresAt, true)
}

// refreshRegistration reads the registration at the AS, for a secret that is new
// there. The error says whether the AS still has it.
func (w *worker) refreshRegistration(ctx context.Context) error {
	stored, err := w.store.Client(ctx, w.key)
	if err != nil {
		return err
	}
	if stored.URI == "" {
		return &as.Error{Op: "read the client registration", Kind: as.ErrMissingEndpoint}
	}
	read, err := w.server.ReadRegistration(ctx, as.Registration{
		ClientID: stored.ClientID, ClientSecret: stored.Secret, SecretExpiresAt: stored.SecretExpiresAt,
		AuthMethod: as.AuthMethod(stored.AuthMethod), AccessToken: stored.AccessToken, URI: stored.URI,
	})
	if err != nil {
		return err
	}
	return w.keepRegistration(context.WithoutCancel(ctx), stored.Name, read)
}

// clientRefused is called when the AS does not accept the client. One that
// umagate registered, and that the AS says it does not have, is registered anew.
func (w *worker) clientRefused(ctx context.Context, cause error) error {
	if !w.ownedID || time.Since(w.registered) < w.pace.Forgotten {
		return cause
	}
	err := w.refreshRegistration(ctx)
	switch {
	case err == nil:
		return cause // with what was read, the next attempt may succeed
	case errors.Is(err, as.ErrRegistrationRefused), errors.Is(err, as.ErrNotFound):
		w.logger.Warn("the authorization server has forgotten the client; registering anew", slog.String("client_id", clientID(w.auth)))
		w.enter(Registering)
		return w.registerNew(ctx)
	default:
		return errors.Join(cause, err)
	}
}

func (w *worker) restoreClient(ctx context.Context) error {
	given := w.site.AuthorizationServer.Client
	if given.Register == nil {
		return w.useClient(as.AuthMethod(given.TokenEndpointAuthMethod), given.ID, given.Secret, time.Time{}, false)
	}
	stored, err := w.store.Client(ctx, w.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case stored.State == store.ClientRegistering && w.phase == Following:
		return nil // the leader is at it
	case stored.State == store.ClientRegistering:
		w.logger.Warn("a registration was begun and its answer is not known; if the AS has a client of this name that is not in use, remove it",
			slog.String("client_name", w.clientName()), slog.Time("begun_at", stored.UpdatedAt))
		if stored.ClientID == "" {
			return nil
		}
	}
	return w.useClient(as.AuthMethod(stored.AuthMethod), stored.ClientID, stored.Secret, stored.SecretExpiresAt, true)
}

// useClient makes the client the one in use.
func (w *worker) useClient(method as.AuthMethod, id string, clientSecret secret.Text, expires time.Time, owned bool) error {
	auth, err := link.ClientAuth(method, id, clientSecret, w.site.AuthorizationServer.Client.PrivateKey)
	if err != nil {
		return err
	}
	creds := envoyconf.Credentials{}
	if method == as.AuthBasic || method == as.AuthPost || method == "" {
		creds.Introspection = envoyconf.Basic(id, clientSecret)
	}
	w.mu.Lock()
	replaced := clientID(w.auth) != id
	w.auth, w.method, w.creds, w.ownedID, w.expires = auth, method, creds, owned, expires
	if replaced {
		w.pat, w.renewAt = as.Token{}, time.Time{}
	}
	w.mu.Unlock()
	if w.pats != nil {
		w.pats.Wait()
		w.pats = nil
	}
	w.syncAt = time.Time{}
	w.changed()
	return w.checkEnvoyCredential()
}

// checkEnvoyCredential refuses what could never work.
func (w *worker) checkEnvoyCredential() error {
	if w.server != nil && w.creds.Introspection.IsZero() && introspectionCredential(w.site, w.server) != "pat" {
		return fmt.Errorf("%w (%s)", errNoEnvoyCredential, w.method)
	}
	return nil
}
