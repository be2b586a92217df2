package registration

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// TestChangeIsCountedBeforeItIsSeen: whoever may see a change can also see that it is
// to be published.
func TestChangeIsCountedBeforeItIsSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(w *Worker)
	}{
		{"it serves", func(w *Worker) { w.succeed() }},
		{"it fails", func(w *Worker) { w.fail(errors.New("no"), 1, 0) }},
		{"it has another PAT", func(w *Worker) { w.owners.pat.show(nil, as.Token{Value: secret.New("pat")}) }},
		{"it needs no PAT any more", func(w *Worker) { w.owners.pat.drop() }},
		{"it has found the AS", func(w *Worker) { w.owners.discovery.use(&as.Server{}) }},
		{"its client is gone", func(w *Worker) { w.owners.client.drop() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			seen := false
			a := Options{Site: &site.Site{Name: "photos"}, Logger: slog.New(slog.DiscardHandler)}.account()
			a.board.now.PAT.Value = secret.New("before")
			a.board.changed = func() {
				require.False(t, a.board.mu.TryLock(), "mu is held, nobody has seen the change yet")
				seen = true
			}
			c.change(&Worker{account: a, owners: newOwners(a, &connection{}, nil)})
			require.True(t, seen)
		})
	}
}
