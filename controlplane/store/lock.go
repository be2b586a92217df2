package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/gofrs/flock"
)

// ErrLocked means that another process is changing the registrations of that key.
var ErrLocked = errors.New("store: another umagate is changing the registrations of this site")

// TryLock implements [Store]: a lock on a file beside the database, which the
// system takes back when the process ends, however it ends.
func (s *SQL) TryLock(key Key) (unlock func() error, err error) {
	sum := sha256.Sum256([]byte(place(key, "lock")))
	lock := flock.New(s.path+"."+hex.EncodeToString(sum[:6])+".lock", flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	switch {
	case err != nil:
		return nil, fmt.Errorf("store: lock site %s: %w", key.Site, err)
	case !held:
		return nil, fmt.Errorf("%w: %s", ErrLocked, key.Site)
	}
	return func() error {
		if err := lock.Close(); err != nil {
			return fmt.Errorf("store: unlock site %s: %w", key.Site, err)
		}
		return nil
	}, nil
}
