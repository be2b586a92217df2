package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
)

// held is a lock that another process has for a while.
type held struct {
	free time.Time
	err  error
}

func (h held) TryLock(context.Context, store.Key) (func() error, error) {
	switch {
	case h.err != nil:
		return nil, h.err
	case time.Now().Before(h.free):
		return nil, store.ErrLocked
	}
	return func() error { return nil }, nil
}

// TestLockWaits: for what another process has, as long as the caller does, and for
// nothing else.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := 0
		waiting := func() { told++ }
		begun := time.Now()
		unlock, err := store.Lock(t.Context(), held{}, store.Key{}, waiting)
		require.NoError(t, err)
		require.NoError(t, unlock())
		require.Zero(t, told)
		require.Zero(t, time.Since(begun))

		const hour = time.Hour
		_, err = store.Lock(t.Context(), held{free: begun.Add(hour)}, store.Key{}, waiting)
		require.NoError(t, err)
		require.Equal(t, 1, told)
		require.Less(t, time.Since(begun), hour+time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = store.Lock(ctx, held{free: time.Now().Add(hour)}, store.Key{}, nil)
		require.ErrorIs(t, err, store.ErrLocked)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		broken, since := errors.New("broken"), time.Now()
		_, err = store.Lock(t.Context(), held{err: broken}, store.Key{}, nil)
		require.Equal(t, broken, err)
		require.Zero(t, time.Since(since))
	})
}
