package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
)

// keyring has the keys that a store may be sealed with. Which of them it is sealed with
// the store itself says: its table seal has a value that opens with it. So replicas
// that know the key before and the one after go on while the store is sealed anew.
type keyring struct {
	mu sync.Mutex
	// known are the keys, the one to seal the store with anew first.
	known []*seal.Sealer
	// current is what the store is sealed with, as far as is known, and check the value
	// in its table seal; nil for a store that has none yet.
	current *seal.Sealer
	check   []byte
	// again reads the keys anew, where they may have changed; nil where they do not.
	again func() ([]secret.Text, error)
}

// newKeyring is of keys in base64, of which empty ones do not count.
func newKeyring(again func() ([]secret.Text, error), keys ...secret.Text) (*keyring, error) {
	k := &keyring{again: again}
	if err := k.learn(keys); err != nil {
		return nil, err
	}
	return k, nil
}

func (k *keyring) learn(keys []secret.Text) error {
	var known []*seal.Sealer
	for _, key := range keys {
		if key.IsZero() {
			continue
		}
		sealer, err := seal.New(key)
		if err != nil {
			return err
		}
		known = append(known, sealer)
	}
	if len(known) == 0 {
		return ErrKeyNeeded
	}
	k.known = known
	if k.current == nil {
		k.current = known[0]
	}
	return nil
}

// take takes over the keys of next, which knows the same current one.
func (k *keyring) take(next *keyring) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.known, k.current, k.check, k.again = next.known, next.current, next.check, next.again
}

// first is the key that the store is sealed with anew.
func (k *keyring) first() *seal.Sealer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[0]
}

// used is the key that the store is sealed with.
func (k *keyring) used() *seal.Sealer {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// sealed reports whether the store is known to be sealed with one of the keys.
func (k *keyring) sealed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.check != nil
}

// use makes the key that opens check the current one. A write calls it before it seals,
// and holds what nobody can seal the store anew without.
func (k *keyring) use(check []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if bytes.Equal(check, k.check) {
		return nil
	}
	found, _, err := k.find(sealPlace, check)
	if err != nil {
		return err
	}
	k.current, k.check = found, slices.Clone(check)
	return nil
}

// find returns the key that opens a value, and what is in it.
func (k *keyring) find(place string, sealed []byte) (*seal.Sealer, secret.Text, error) {
	for try := range 2 {
		for _, key := range k.known {
			if value, err := key.Open(place, sealed); err == nil {
				return key, value, nil
			}
		}
		if k.again == nil || try > 0 {
			break
		}
		keys, err := k.again()
		if err == nil {
			err = k.learn(keys)
		}
		if err != nil {
			return nil, secret.Text{}, errors.Join(ErrSealed, err)
		}
	}
	return nil, secret.Text{}, ErrSealed
}

func (k *keyring) seal(place string, value secret.Text) []byte { return k.used().Seal(place, value) }

func (k *keyring) open(place string, sealed []byte) (secret.Text, error) {
	if value, err := k.used().Open(place, sealed); err == nil {
		return value, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	_, value, err := k.find(place, sealed)
	return value, err
}

const sealPlace = "seal"

// newCheck is the value that tells with which key a store is sealed.
func newCheck(s *seal.Sealer) []byte { return s.Seal(sealPlace, secret.New("umagate")) }

// querying is a database or a transaction.
type querying interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// useKey finds the key that the store is sealed with. ErrSealed: it is not known here.
func (s *SQL) useKey(ctx context.Context, in querying) error {
	return s.keys.useOf(in.QueryRowContext(ctx, `SELECT check_value FROM seal WHERE one = 1`))
}

// lockSeal is useKey of a keyring, and keeps others from sealing the store anew until the
// transaction ends.
func lockSeal(ctx context.Context, tx *sql.Tx, keys *keyring) error {
	return keys.useOf(tx.QueryRowContext(ctx, `UPDATE seal SET check_value = check_value WHERE one = 1 RETURNING check_value`))
}

func (k *keyring) useOf(row *sql.Row) error {
	var check []byte
	switch err := row.Scan(&check); {
	case errors.Is(err, sql.ErrNoRows):
		return nil // nothing is sealed yet
	case err != nil:
		return fmt.Errorf("store: check the key: %w", err)
	}
	return k.use(check)
}

// SetKeys makes the keys those of [Open], if the store is sealed with one of them; else
// those before stay, and it is ErrSealed.
func (s *SQL) SetKeys(ctx context.Context, keys ...secret.Text) error {
	next, err := s.keyring(keys)
	if err != nil {
		return err
	}
	return s.written(s.within(ctx, func(ctx context.Context, tx *sql.Tx) error {
		if err := lockSeal(ctx, tx, next); err != nil {
			return err
		}
		s.keys.take(next)
		return nil
	}))
}

// checkKey seals a store that is not yet, with the first key, and finds the key of one
// that is. That one is only read: to open it waits for nobody who writes.
func (s *SQL) checkKey(ctx context.Context) error {
	if err := s.useKey(ctx, s.db); err != nil || s.keys.sealed() {
		return err
	}
	if _, err := s.db.ExecContext(ctx, `INSERT INTO seal (one, check_value) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, newCheck(s.keys.first())); err != nil {
		return fmt.Errorf("store: check the key: %w", err)
	}
	return s.useKey(ctx, s.db)
}
