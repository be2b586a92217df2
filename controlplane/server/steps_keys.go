package server

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	errNoKey    = errors.New("the client's key is not in the store")
	errRotation = errors.New("the client's key is not replaced; the one before stays in use")
)

// readKeys takes over the keys of the store.
func (w *worker) readKeys(ctx context.Context) error {
	stored, err := w.store.ClientKeys(ctx, w.key)
	if err != nil {
		return err
	}
	ring, err := openKeyring(stored)
	if err != nil {
		return err
	}
	document, err := ring.jwks()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.keys, w.jwks = ring, document
	w.mu.Unlock()
	return nil
}

// followKeys takes over keys that another process has made or replaced.
func (w *worker) followKeys(ctx context.Context) error {
	if _, own := w.site.AuthorizationServer.Client.OwnKeys(); !own || w.auth == nil {
		return nil
	}
	stored, err := w.store.ClientKeys(ctx, w.key)
	if err != nil {
		return err
	}
	same := func(a store.ClientKey, b *ownKey) bool { return a.ID == b.ID && a.State == b.State }
	if slices.EqualFunc(stored, w.keys, same) {
		return nil
	}
	w.keysAt = time.Time{}
	if err := w.readKeys(ctx); err != nil {
		return err
	}
	if used := w.keys.inUse(); used != nil && used.ID != w.usedKey && w.usesOwnKey() {
		return w.useKey(ctx)
	}
	return nil
}

// usesOwnKey says that the client in use authenticates with a key of umagate's.
func (w *worker) usesOwnKey() bool {
	return w.method == as.AuthPrivateKeyJWT || w.method == as.AuthSelfSignedTLS
}

// ensureKey makes the client's first key, where it has to have one. It is stored
// before anybody is told of it: a process that is killed goes on with it.
func (w *worker) ensureKey(ctx context.Context) error {
	client := &w.site.AuthorizationServer.Client
	settings, own := client.OwnKeys()
	if !own {
		return nil
	}
	if err := w.readKeys(ctx); err != nil {
		return err
	}
	if newest := w.keys.newest(); newest != nil && newest.fits(client) {
		return nil
	}
	return w.makeKey(ctx, client, settings)
}

func (w *worker) makeKey(ctx context.Context, client *site.Client, settings site.Keys) error {
	made, err := newOwnKey(client, settings, w.clientName(), time.Now())
	if err != nil {
		return err
	}
	if err := w.store.PutClientKey(ctx, w.key, made); err != nil {
		return err
	}
	w.logger.Info("client key made", slog.String("kid", made.ID), slog.String("algorithm", made.Algorithm))
	return w.readKeys(ctx)
}

// keyMetadata adds to m how the AS gets to know the client's keys.
func (w *worker) keyMetadata(m *as.ClientMetadata) error {
	client := &w.site.AuthorizationServer.Client
	settings, own := client.OwnKeys()
	switch {
	case own && settings.JWKSURI != "":
		m.JWKSURI = settings.JWKSURI
	case own:
		document, err := w.keys.without(func(k *ownKey) bool { return w.dropped[k.ID] }).jwks()
		m.JWKS = document
		return err
	case client.TokenEndpointAuthMethod == site.AuthPrivateKeyJWT:
		key, err := as.ParseKey(client.PrivateKey, "")
		if err != nil {
			return err
		}
		m.JWKS, err = as.JWKS([]as.PublicKey{{Key: key}})
		return err
	case client.TokenEndpointAuthMethod.UsesTLS():
		return certificateMetadata(m, client)
	}
	return nil
}

func certificateMetadata(m *as.ClientMetadata, client *site.Client) error {
	pair, err := link.GivenCertificate(client)
	if err != nil || pair == nil {
		return err
	}
	if client.TokenEndpointAuthMethod == site.AuthTLS {
		m.SubjectDN = pair.Leaf.Subject.String() // RFC 4514, as RFC 8705 section 2.1.2 asks
		return nil
	}
	key, err := as.ParseKey(client.PrivateKey, "")
	if err != nil {
		return err
	}
	m.JWKS, err = as.JWKS([]as.PublicKey{{Key: key, Certificate: pair.Leaf}})
	return err
}

// setState notes how far a key has come.
func (w *worker) setState(ctx context.Context, k *ownKey, state store.KeyState) error {
	next := k.ClientKey
	next.State, next.StateAt = state, time.Now()
	return w.store.PutClientKey(ctx, w.key, next)
}

// activateFirst makes the newest key the one in use, when the AS has just been
// told of all.
func (w *worker) activateFirst(ctx context.Context) error {
	if _, own := w.site.AuthorizationServer.Client.OwnKeys(); !own || len(w.keys) == 0 {
		return nil
	}
	if w.keys.inUse().State == store.KeyActive {
		return nil
	}
	if err := w.setState(ctx, w.keys.newest(), store.KeyActive); err != nil {
		return err
	}
	return w.readKeys(ctx)
}

// keepKeys replaces the client's key when its time has come. A key is first made
// and stored, then published, then used, and the one before stays published for a
// while: at whatever point it is cut off, the key in use is one that the AS knows.
func (w *worker) keepKeys(ctx context.Context) error {
	client := &w.site.AuthorizationServer.Client
	settings, own := client.OwnKeys()
	if !own || !w.usesOwnKey() || time.Now().Before(w.keysAt) {
		return nil
	}
	err := w.locked(ctx, func(ctx context.Context) error { return w.rotate(ctx, client, settings, false) })
	switch {
	case errors.Is(err, store.ErrLocked):
		w.keysAt = time.Now().Add(w.pace.Retry)
	case err != nil && ctx.Err() == nil:
		w.attend(aboutKeys, fmt.Errorf("%w: %w", errRotation, err))
		w.keysAt = time.Now().Add(w.pace.RetryMax)
	default:
		w.resolve(aboutKeys)
		w.keysAt = w.keysDue(settings)
	}
	return nil
}

// rotate does what is due. With demand, a new key is made whatever the age of the
// one in use.
func (w *worker) rotate(ctx context.Context, client *site.Client, settings site.Keys, demand bool) error {
	if err := w.readKeys(ctx); err != nil {
		return err
	}
	used := w.keys.inUse()
	if used == nil {
		return errNoKey
	}
	if used.State != store.KeyActive {
		// A given client's first key: there is no registration that says when.
		if err := w.setState(ctx, used, store.KeyActive); err != nil {
			return err
		}
		if err := w.readKeys(ctx); err != nil {
			return err
		}
		used = w.keys.inUse()
	}
	if w.keys.next() == nil && (demand || !used.fits(client) || settings.RotateEvery > 0 && time.Since(used.CreatedAt) >= settings.RotateEvery) {
		if err := w.makeKey(ctx, client, settings); err != nil {
			return err
		}
	}
	if err := w.publishNext(ctx, client, settings); err != nil {
		return err
	}
	if err := w.useNext(ctx, client, settings); err != nil {
		return err
	}
	return w.dropOld(ctx, client, settings)
}

// tells reports that the keys are part of the registration, so that the AS has to be
// told of each change.
func tells(client *site.Client, settings site.Keys) bool {
	return client.Register != nil && settings.JWKSURI == ""
}

// publishNext lets the AS know the next key. With a jwks_uri, and for a client that
// umagate did not register, it is published by being in the store.
func (w *worker) publishNext(ctx context.Context, client *site.Client, settings site.Keys) error {
	next := w.keys.next()
	if next == nil || next.State != store.KeyNew {
		return w.readKeys(ctx)
	}
	if tells(client, settings) {
		if err := w.updateRegistration(ctx); err != nil {
			return err
		}
	}
	if err := w.setState(ctx, next, store.KeyPublished); err != nil {
		return err
	}
	return w.readKeys(ctx)
}

// useNext begins to use the next key when the AS has had the time to read it.
func (w *worker) useNext(ctx context.Context, client *site.Client, settings site.Keys) error {
	next := w.keys.next()
	if next == nil || next.State != store.KeyPublished {
		return nil
	}
	if !tells(client, settings) && time.Since(next.StateAt) < settings.PublishBefore {
		return nil
	}
	// The new one first: cut off in between, the newest active one counts.
	if err := w.setState(ctx, next, store.KeyActive); err != nil {
		return err
	}
	for _, k := range w.keys {
		if k.State == store.KeyActive && k.ID != next.ID {
			if err := w.setState(ctx, k, store.KeyRetiring); err != nil {
				return err
			}
		}
	}
	if err := w.readKeys(ctx); err != nil {
		return err
	}
	w.record(ctx, audit.KeyRotate, next.ID, map[string]string{"algorithm": next.Algorithm})
	w.logger.Info("client key replaced", slog.String("kid", next.ID), slog.String("algorithm", next.Algorithm))
	return w.useKey(ctx)
}

// useKey authenticates with the key in use from now on; the client is the same.
func (w *worker) useKey(ctx context.Context) error {
	if w.auth == nil {
		return nil
	}
	given := w.site.AuthorizationServer.Client
	if given.Register == nil {
		return w.useClient(ctx, store.Client{ClientID: given.ID, AuthMethod: string(given.TokenEndpointAuthMethod)})
	}
	stored, err := w.store.Client(ctx, w.key)
	if err != nil {
		return err
	}
	return w.useClient(ctx, stored)
}

// dropOld takes back keys that have been out of use for long enough.
func (w *worker) dropOld(ctx context.Context, client *site.Client, settings site.Keys) error {
	old := w.keys.without(func(k *ownKey) bool {
		return k.State != store.KeyActive && k.State != store.KeyRetiring || k == w.keys.inUse() ||
			k.State == store.KeyRetiring && time.Since(k.StateAt) < settings.Overlap
	})
	if len(old) == 0 {
		return nil
	}
	w.dropped = map[string]bool{}
	for _, k := range old {
		if k.State == store.KeyActive {
			// Cut off between the two notes of useNext: it retires from now on.
			if err := w.setState(ctx, k, store.KeyRetiring); err != nil {
				return err
			}
			continue
		}
		w.dropped[k.ID] = true
	}
	defer func() { w.dropped = nil }()
	if len(w.dropped) > 0 && tells(client, settings) {
		if err := w.updateRegistration(ctx); err != nil {
			return err
		}
	}
	for _, k := range old {
		if !w.dropped[k.ID] {
			continue
		}
		if err := w.store.DeleteClientKey(ctx, w.key, k.ID); err != nil {
			return err
		}
		w.logger.Info("client key dropped", slog.String("kid", k.ID))
	}
	return w.readKeys(ctx)
}

// keysDue is when keepKeys has something to do again.
func (w *worker) keysDue(settings site.Keys) time.Time {
	due := time.Now().Add(w.pace.Discover)
	earlier := func(at time.Time) {
		if at.Before(due) {
			due = at
		}
	}
	for _, k := range w.keys {
		switch k.State {
		case store.KeyPublished:
			earlier(k.StateAt.Add(settings.PublishBefore))
		case store.KeyRetiring:
			earlier(k.StateAt.Add(settings.Overlap))
		case store.KeyActive:
			if settings.RotateEvery > 0 {
				earlier(k.CreatedAt.Add(settings.RotateEvery))
			}
		case store.KeyNew:
			earlier(time.Now().Add(w.pace.RetryMax))
		}
	}
	return due
}

// envoyCertificate is a certificate as Envoy gets it.
func envoyCertificate(pair *tls.Certificate) (envoyconf.ClientCertificate, error) {
	key, err := as.PrivateKeyPEM(pair)
	if err != nil {
		return envoyconf.ClientCertificate{}, err
	}
	var chain []byte
	for _, der := range slices.Clone(pair.Certificate) {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return envoyconf.ClientCertificate{Chain: string(chain), Key: key}, nil
}
