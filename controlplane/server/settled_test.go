package server

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
)

// TestStatusIsOfOneMoment: whatever a site's worker lets be seen, status does not
// call it published before it is. Nothing publishes here.
func TestStatusIsOfOneMoment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *worker)
	}{
		{"it serves", func(w *worker) { w.succeed() }},
		{"it has another PAT", func(w *worker) { w.pat.Value = secret.New("pat"); w.dropPAT() }},
		{"it has found the AS", func(w *worker) { w.setServer(&as.Server{}) }},
		{"its client is gone", func(w *worker) { w.pat.Value = secret.New("pat"); w.dropClient() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x, err := xds.New(slog.New(slog.DiscardHandler), nil)
			require.NoError(t, err)
			s := &serving{xds: x}
			s.publisher = newPublisher(x, slog.New(slog.DiscardHandler), s.current, nil)
			w := &worker{site: &site.Site{Name: "photos"}, logger: slog.New(slog.DiscardHandler)}
			s.workers = []*runningWorker{{worker: w}}
			published, _ := settled(s.publisher.state, s.outcome)
			require.False(t, published.behind)

			// Read at any moment: as soon as mu is free, the change is counted.
			seen := false
			w.changed = func() {
				require.False(t, w.mu.TryLock(), "mu is held, nobody has seen the change yet")
				seen = true
				s.publisher.changed()
			}
			c.change(w)
			require.True(t, seen)
			published, now := settled(s.publisher.state, s.outcome)
			require.True(t, published.behind)
			require.Len(t, now.sites, 1)
		})
	}
}

// TestStatusLooksAgain: a change between looking at the publication and at a site
// is not missed.
func TestStatusLooksAgain(t *testing.T) {
	t.Parallel()
	var state publication
	looks := 0
	published, seen := settled(func() publication { return state }, func() int {
		if looks++; looks == 1 {
			state.changes++ // and it is published
		}
		return looks
	})
	require.Equal(t, 2, seen)
	require.False(t, published.behind)

	published, _ = settled(func() publication { return state }, func() int { state.changes++; return 0 })
	require.True(t, published.behind, "it changes all the time")
}
