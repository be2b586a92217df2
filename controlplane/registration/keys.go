package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	errNoKey    = errors.New("the client's key is not in the store")
	errRotation = errors.New("the client's key is not replaced; the one before stays in use")
)

// keyStore keeps the client's keys.
type keyStore interface {
	KeyReader
	PutClientKey(ctx context.Context, key store.Key, k store.ClientKey) error
	DeleteClientKey(ctx context.Context, key store.Key, id string) error
}

// keys owns the keys that umagate makes for the client, from the first on. A key is
// made and stored, then published, then used, and the one before stays published for
// a while: at whatever point that is cut off, the key in use is one that the AS knows.
type keys struct {
	*account

	store    keyStore
	settings site.Keys
	own      bool // the client has such keys
	ring     keyring
	dropped  map[string]bool // those that are being taken back
	due      time.Time       // when something is to be done about them
}

func newKeys(a *account, s keyStore) *keys {
	k := &keys{account: a, store: s}
	k.settings, k.own = a.site.AuthorizationServer.Client.OwnKeys()
	return k
}

// holder is the client whose keys they are.
type holder struct {
	// update tells the AS of the keys there are, by the registration.
	update func(ctx context.Context) error
	// try reports by its error whether the AS takes a key; nil for nobody to ask.
	try func(ctx context.Context, key *ownKey) error
	// useKey authenticates with the key in use from now on.
	useKey func(ctx context.Context) error
}

// step replaces the key when its time has come. What fails is tried again, and stops
// nothing: the key before stays in use.
func (k *keys) step(ctx context.Context, h holder) {
	if !k.own || time.Now().Before(k.due) {
		return
	}
	err := k.locked(ctx, func(ctx context.Context) error { return k.rotate(ctx, h, false) })
	switch {
	case errors.Is(err, store.ErrLocked):
		k.due = time.Now().Add(k.intervals.Retry)
	case err != nil && ctx.Err() == nil:
		k.conditions.Set(health.ClientKeyNotReplaced, fmt.Errorf("%w: %w", errRotation, err))
		k.due = time.Now().Add(k.intervals.RetryMax)
	default:
		k.conditions.Set(health.ClientKeyNotReplaced, nil)
		k.due = k.nextDue()
	}
}

// read takes over the keys of the store.
func (k *keys) read(ctx context.Context) error {
	stored, err := k.store.ClientKeys(ctx, k.key)
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
	k.ring = ring
	k.board.update(func(s *Snapshot) bool {
		s.KeyID = k.inUse()
		if k.own {
			s.JWKS = document
		}
		return false
	})
	return nil
}

// refresh takes over keys that another process has made or replaced, and reports
// whether there are any.
func (k *keys) refresh(ctx context.Context) (changed bool, err error) {
	if !k.own {
		return false, nil
	}
	stored, err := k.store.ClientKeys(ctx, k.key)
	if err != nil {
		return false, err
	}
	same := func(a store.ClientKey, b *ownKey) bool { return a.ID == b.ID && a.State == b.State }
	if slices.EqualFunc(stored, k.ring, same) {
		return false, nil
	}
	k.due = time.Time{}
	return true, k.read(ctx)
}

// inUse is the kid of the key in use; empty for none.
func (k *keys) inUse() string {
	if used := k.ring.inUse(); used != nil {
		return used.ID
	}
	return ""
}

// ensure makes the client's first key, where it has to have one. It is stored before
// anybody is told of it: a process that is killed goes on with it.
func (k *keys) ensure(ctx context.Context) error {
	if !k.own {
		return nil
	}
	if err := k.read(ctx); err != nil {
		return err
	}
	if newest := k.ring.newest(); newest != nil && newest.fits(&k.site.AuthorizationServer.Client) {
		return nil
	}
	return k.make(ctx)
}

func (k *keys) make(ctx context.Context) error {
	made, err := newOwnKey(&k.site.AuthorizationServer.Client, k.settings, k.clientName(), time.Now())
	if err != nil {
		return err
	}
	if err := k.store.PutClientKey(ctx, k.key, made); err != nil {
		return err
	}
	k.logger.Info("client key made", slog.String("kid", made.ID), slog.String("algorithm", made.Algorithm))
	return k.read(ctx)
}

// metadata adds to m how the AS gets to know the client's keys.
func (k *keys) metadata(m *as.ClientMetadata) (err error) {
	client := &k.site.AuthorizationServer.Client
	switch {
	case k.own && k.settings.JWKSURI != "":
		m.JWKSURI = k.settings.JWKSURI
	case k.own:
		m.JWKS, err = k.ring.without(func(key *ownKey) bool { return k.dropped[key.ID] }).jwks()
	case client.TokenEndpointAuthMethod == clientauth.PrivateKeyJWT:
		var key clientauth.Key
		if key, err = clientauth.ParseKey(client.PrivateKey, ""); err == nil {
			m.JWKS, err = clientauth.JWKS([]clientauth.PublicKey{{Key: key}})
		}
	case client.TokenEndpointAuthMethod.UsesTLS():
		return certificateMetadata(m, client)
	}
	return err
}

func certificateMetadata(m *as.ClientMetadata, client *site.Client) error {
	pair, err := client.GivenCertificate()
	if err != nil || pair == nil {
		return err
	}
	if client.TokenEndpointAuthMethod == clientauth.TLS {
		m.SubjectDN = pair.Leaf.Subject.String() // RFC 4514, as RFC 8705 section 2.1.2 asks
		return nil
	}
	key, err := clientauth.ParseKey(client.PrivateKey, "")
	if err != nil {
		return err
	}
	m.JWKS, err = clientauth.JWKS([]clientauth.PublicKey{{Key: key, Certificate: pair.Leaf}})
	return err
}

// setState stores how far a key has come, and reads them anew.
func (k *keys) setState(ctx context.Context, key *ownKey, state store.KeyState) error {
	next := key.ClientKey
	next.State, next.StateAt = state, time.Now()
	if err := k.store.PutClientKey(ctx, k.key, next); err != nil {
		return err
	}
	return k.read(ctx)
}

// activateFirst makes the newest key the one in use, when the AS has just been told
// of all.
func (k *keys) activateFirst(ctx context.Context) error {
	if !k.own || len(k.ring) == 0 || k.ring.inUse().State == store.KeyActive {
		return nil
	}
	return k.setState(ctx, k.ring.newest(), store.KeyActive)
}

// rotate does what is due. On demand, a new key is made whatever the age of the one
// in use.
func (k *keys) rotate(ctx context.Context, h holder, demanded bool) error {
	if err := k.read(ctx); err != nil {
		return err
	}
	used := k.ring.inUse()
	if used == nil {
		return errNoKey
	}
	if used.State != store.KeyActive {
		// A given client's first key: there is no registration that says when.
		if err := k.setState(ctx, used, store.KeyActive); err != nil {
			return err
		}
	}
	old := k.settings.RotateEvery > 0 && time.Since(used.CreatedAt) >= k.settings.RotateEvery
	if k.ring.next() == nil && (demanded || old || !used.fits(&k.site.AuthorizationServer.Client)) {
		if err := k.make(ctx); err != nil {
			return err
		}
	}
	if err := k.publishNext(ctx, h); err != nil {
		return err
	}
	if err := k.useNext(ctx, h); err != nil {
		return err
	}
	return k.dropOld(ctx, h)
}

// registered reports whether the keys are part of the registration, so that the AS
// has to be told of each change.
func (k *keys) registered() bool {
	return k.site.AuthorizationServer.Client.Register != nil && k.settings.JWKSURI == ""
}

// publishNext lets the AS know the next key. With a jwks_uri, and for a client that
// umagate did not register, it is published by being in the store.
func (k *keys) publishNext(ctx context.Context, h holder) error {
	next := k.ring.next()
	if next == nil || next.State != store.KeyNew {
		return nil
	}
	if k.registered() {
		if err := h.update(ctx); err != nil {
			return err
		}
	}
	return k.setState(ctx, next, store.KeyPublished)
}

// useNext begins to use the next key when the AS has had the time to read it.
func (k *keys) useNext(ctx context.Context, h holder) error {
	next := k.ring.next()
	if next == nil || next.State != store.KeyPublished {
		return nil
	}
	if !k.registered() && time.Since(next.StateAt) < k.settings.PublishBefore {
		return nil
	}
	if h.try != nil {
		if err := h.try(ctx, next); err != nil {
			return err
		}
	}
	// The new one first: cut off in between, the newest active one counts.
	before := k.ring
	if err := k.setState(ctx, next, store.KeyActive); err != nil {
		return err
	}
	for _, key := range before {
		if key.State == store.KeyActive && key.ID != next.ID {
			if err := k.setState(ctx, key, store.KeyRetiring); err != nil {
				return err
			}
		}
	}
	k.record(ctx, audit.KeyRotate, next.ID, map[string]string{"algorithm": next.Algorithm})
	k.logger.Info("client key replaced", slog.String("kid", next.ID), slog.String("algorithm", next.Algorithm))
	return h.useKey(ctx)
}

// dropOld takes back keys that have been out of use for long enough.
func (k *keys) dropOld(ctx context.Context, h holder) error {
	used := k.inUse()
	old := k.ring.without(func(key *ownKey) bool {
		return key.State != store.KeyActive && key.State != store.KeyRetiring || key.ID == used ||
			key.State == store.KeyRetiring && time.Since(key.StateAt) < k.settings.Overlap
	})
	k.dropped = map[string]bool{}
	defer func() { k.dropped = nil }()
	for _, key := range old {
		if key.State == store.KeyActive {
			// Cut off between the two notes of useNext: it retires from now on.
			if err := k.setState(ctx, key, store.KeyRetiring); err != nil {
				return err
			}
			continue
		}
		k.dropped[key.ID] = true
	}
	if len(k.dropped) == 0 {
		return nil
	}
	if k.registered() {
		if err := h.update(ctx); err != nil {
			return err
		}
	}
	for id := range k.dropped {
		if err := k.store.DeleteClientKey(ctx, k.key, id); err != nil {
			return err
		}
		k.logger.Info("client key dropped", slog.String("kid", id))
	}
	return k.read(ctx)
}

// nextDue is when rotate has something to do again.
func (k *keys) nextDue() time.Time {
	due := time.Now().Add(k.intervals.Discover)
	for _, key := range k.ring {
		switch key.State {
		case store.KeyPublished:
			due = earliest(due, key.StateAt.Add(k.settings.PublishBefore))
		case store.KeyRetiring:
			due = earliest(due, key.StateAt.Add(k.settings.Overlap))
		case store.KeyActive:
			if k.settings.RotateEvery > 0 {
				due = earliest(due, key.CreatedAt.Add(k.settings.RotateEvery))
			}
		case store.KeyNew:
			due = earliest(due, time.Now().Add(k.intervals.RetryMax))
		}
	}
	return due
}
