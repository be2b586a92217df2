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

func TestFollower(t *testing.T) {
	t.Parallel()
	var number int64
	var failure error
	var taken []int64
	reads := 0
	meanwhile := func() {}
	f := store.Follow(func(context.Context) (int64, error) { return number, failure }, func(context.Context) (int64, error) {
		reads++
		read := number
		during := meanwhile
		meanwhile = func() {}
		during()
		return read, failure
	}, func(n int64) { taken = append(taken, n) })

	require.NoError(t, f.Refresh(t.Context()))
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, 1, reads, "nothing was written")
	require.NoError(t, f.Load(t.Context()))
	require.Equal(t, 2, reads, "Load reads in any case")

	number++
	meanwhile = func() { // another goroutine reads what is newer, and is faster
		number++
		require.NoError(t, f.Refresh(t.Context()))
	}
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, []int64{0, 0, 2}, taken, "what is older is not taken")

	number++
	failure = errors.New("the store is gone")
	require.ErrorIs(t, f.Refresh(t.Context()), failure)
	failure = nil
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, []int64{0, 0, 2, 3}, taken)

	number = 1 // a standby was promoted that had not heard of all
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, []int64{0, 0, 2, 3, 1}, taken)
	failure = errors.New("the store is gone")
	require.ErrorIs(t, f.Refresh(t.Context()), failure)
	failure = nil
	require.NoError(t, f.Refresh(t.Context()))
	require.Equal(t, []int64{0, 0, 2, 3, 1, 1}, taken, "the same number may be of another store")
}

func TestPoll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told []error
		ctx, stop := context.WithCancel(t.Context())
		outcomes := []error{errors.New("first"), errors.New("second"), nil, errors.New("third")}
		calls := 0
		store.Poll(ctx, time.Minute, func(context.Context) error {
			calls++
			if calls == len(outcomes) {
				time.AfterFunc(time.Second, stop)
			}
			return outcomes[calls-1]
		}, func(err error) { told = append(told, err) })
		require.Equal(t, len(outcomes), calls)
		require.Equal(t, []error{outcomes[0], outcomes[3]}, told, "the first of a row")
	})
}
