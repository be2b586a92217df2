package instance_test

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/store"
)

// removalStore tells removals as a store does.
type removalStore struct {
	list    []store.Removal
	earlier int64
	number  int64
}

func (s *removalStore) Removals(context.Context) ([]store.Removal, int64, error) {
	return append([]store.Removal(nil), s.list...), s.earlier, nil
}

func (s *removalStore) changes(context.Context) (int64, error) { return s.number, nil }

func (s *removalStore) add(names ...string) {
	for _, name := range names {
		s.list = append(s.list, store.Removal{Site: "photos", Name: name, ID: "id of " + name})
	}
	s.number++
}

func TestRemovals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		kept := &removalStore{}
		var published atomic.Int32
		var forgotten []string
		r := instance.NewRemovals(instance.RemovalsOptions{
			Store: kept, Changes: kept.changes, Logger: slog.New(slog.DiscardHandler), Every: time.Second,
			Changed: func() { published.Add(1) },
			Forget:  func(site, name string) { forgotten = append(forgotten, site+" "+name) },
		})
		load := func() {
			t.Helper()
			require.NoError(t, r.Load(t.Context()))
		}
		load()
		require.Nil(t, r.Compiled([]string{"photos"}), "nothing has ended")
		require.Zero(t, published.Load())

		kept.add("album-1")
		load()
		require.Equal(t, int32(1), published.Load(), "at once")
		require.Equal(t, map[string]string{"photos": "0\nid of album-1\n", "films": "0\n"}, r.Compiled([]string{"photos", "films"}))
		load()
		require.Equal(t, int32(1), published.Load())

		// Many in a moment are published together.
		for range 50 {
			kept.add("album-2")
			load()
		}
		require.Equal(t, int32(1), published.Load())
		ctx, stop := context.WithCancel(t.Context())
		go r.Run(ctx)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, int32(2), published.Load())
		stop()
		synctest.Wait()
		require.Equal(t, []string{"photos album-1", "photos album-2"}, []string{forgotten[0], forgotten[1]})

		kept.list, kept.earlier = nil, 500
		kept.number++
		load()
		require.Equal(t, map[string]string{"photos": "500\n"}, r.Compiled([]string{"photos"}))
	})
}
