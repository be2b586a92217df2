package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

// errNoEnvoyCredential: Envoy can send a header, and this client needs more.
var errNoEnvoyCredential = errors.New("the introspection endpoint takes the client's authentication, and Envoy cannot sign assertions")

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
	defer w.mu.Unlock()
	w.server = s
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

// setClient makes sure that there is a client to be: the file's own, or one
// registered before, or a new one.
func (w *worker) setClient(ctx context.Context) error {
	stored, err := w.store.Client(ctx, w.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	switch {
	case stored.State == store.ClientDeregistering && !w.removing:
		w.dropClient()
		return errDeregistering
	case stored.State == store.ClientDeregistered && !w.manual:
		w.dropClient()
		return errDeregistered
	}
	if w.site.AuthorizationServer.Client.Register == nil {
		if w.auth == nil {
			w.enter(Registering)
			if stored.State == store.ClientDeregistered {
				if err := w.store.DeleteClient(ctx, w.key); err != nil {
					return err
				}
			}
			if err := w.useGiven(ctx); err != nil {
				return err
			}
		} else if err := w.followKeys(ctx); err != nil {
			return err
		}
		return w.checkEnvoyCredential()
	}
	switch {
	case w.auth == nil || err != nil:
		w.enter(Registering)
		err = w.registerNew(ctx)
	case stored.State != store.ClientRegistering && stored.ClientID != clientID(w.auth):
		err = w.useClient(ctx, stored) // another process has registered it
	default:
		if err = w.followKeys(ctx); err == nil {
			err = w.followExpiry(ctx, stored)
		}
	}
	if err != nil {
		return err
	}
	return w.checkEnvoyCredential()
}

// useGiven uses the client of the file.
func (w *worker) useGiven(ctx context.Context) error {
	given := w.site.AuthorizationServer.Client
	if _, own := given.OwnKeys(); own {
		if err := w.ensureKey(ctx); err != nil {
			return err
		}
	}
	return w.useClient(ctx, store.Client{ClientID: given.ID, Secret: given.Secret, AuthMethod: string(given.TokenEndpointAuthMethod)})
}

// dropClient gives up a client that is no more.
func (w *worker) dropClient() {
	if w.pats != nil {
		w.pats.Wait()
		w.pats = nil
		w.share(nil)
	}
	w.mu.Lock()
	had := w.auth != nil || !w.pat.Value.IsZero()
	w.auth, w.creds, w.expires, w.ownedID = nil, envoyconf.Credentials{}, time.Time{}, false
	w.pat, w.renewAt, w.ids, w.phase = as.Token{}, time.Time{}, nil, Deregistered
	if had {
		w.changed()
	}
	w.mu.Unlock()
}

func (w *worker) restoreClient(ctx context.Context) error {
	stored, err := w.store.Client(ctx, w.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := w.readKeys(ctx); err != nil {
		return err
	}
	given := &w.site.AuthorizationServer.Client
	switch {
	case stored.State == store.ClientDeregistering && !w.removing, stored.State == store.ClientDeregistered:
		w.dropClient()
		return nil
	case given.Register == nil:
		if _, own := given.OwnKeys(); own && w.keys.newest() == nil {
			return nil // the leader makes one
		}
		return w.useClient(ctx, store.Client{ClientID: given.ID, Secret: given.Secret, AuthMethod: string(given.TokenEndpointAuthMethod)})
	case stored.State == store.ClientRegistering && w.phase != Following:
		w.logger.Warn("a registration was begun and its answer is not known; if the AS has a client of this name that is not in use, remove it",
			slog.String("client_name", w.clientName()), slog.Time("begun_at", stored.UpdatedAt))
	}
	if stored.ClientID == "" {
		return nil
	}
	return w.useClient(ctx, stored)
}

// useClient makes the client the one in use. ctx bounds nothing but reading.
func (w *worker) useClient(ctx context.Context, c store.Client) error {
	method := as.AuthMethod(c.AuthMethod)
	auth, certificate, err := w.authOf(method, c)
	if err != nil {
		return err
	}
	creds := envoyconf.Credentials{}
	if method == as.AuthBasic || method == as.AuthPost || method == "" {
		creds.Introspection = envoyconf.Basic(c.ClientID, c.Secret)
	}
	if certificate != nil {
		if creds.Certificate, err = envoyCertificate(certificate); err != nil {
			return err
		}
	}
	w.usedKey = ""
	if used := w.keys.inUse(); used != nil {
		w.usedKey = used.ID
	}
	w.certificate.Store(certificate)
	w.closeIdle() // connections made with another certificate
	given := w.site.AuthorizationServer.Client.Register == nil
	if w.pats != nil { // before another PAT than the new client's can come of it
		w.pats.Wait()
		w.pats = nil
		w.share(nil)
	}
	w.mu.Lock()
	replaced := clientID(w.auth) != c.ClientID
	w.auth, w.method, w.creds, w.ownedID, w.expires = auth, method, creds, !given, c.SecretExpiresAt
	if replaced {
		w.pat, w.renewAt = as.Token{}, time.Time{}
	}
	w.changed()
	w.mu.Unlock()
	w.refusedSince, w.secretDue = time.Time{}, w.expiryDue(c)
	w.syncAt = time.Time{}
	return ctx.Err()
}

// authOf is how a client authenticates: as the file says, or with the keys that
// umagate has made for it.
func (w *worker) authOf(method as.AuthMethod, c store.Client) (as.ClientAuth, *tls.Certificate, error) {
	settings := &w.site.AuthorizationServer.Client
	if method != as.AuthPrivateKeyJWT && method != as.AuthSelfSignedTLS || !settings.PrivateKey.IsZero() {
		certificate, err := link.GivenCertificate(settings)
		if err != nil {
			return nil, nil, err
		}
		auth, err := link.ClientAuth(settings, method, c.ClientID, c.Secret)
		return auth, certificate, err
	}
	own := w.keys.inUse()
	if own == nil {
		return nil, nil, errNoKey
	}
	if method == as.AuthSelfSignedTLS {
		return as.NewTLSAuth(method, c.ClientID), own.certificate, nil
	}
	auth, err := own.key.Auth(c.ClientID, nil)
	return auth, nil, err
}

// checkEnvoyCredential refuses what could never work.
func (w *worker) checkEnvoyCredential() error {
	if !w.manual && w.server != nil && w.creds.Introspection.IsZero() && w.creds.Certificate.IsZero() && introspectionCredential(w.site, w.server) != "pat" {
		return fmt.Errorf("%w (%s)", errNoEnvoyCredential, w.method)
	}
	return nil
}
