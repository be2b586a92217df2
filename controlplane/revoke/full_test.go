package revoke_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// few makes a store that is full with what would be 50,000: most is lowered by as much.
type few struct{ *store.SQL }

func (f few) AddRevocation(ctx context.Context, r store.Revocation, now time.Time, most int) error {
	return f.SQL.AddRevocation(ctx, r, now, scaled(most))
}

// TestFullList: what an AS sends leaves room for what an operator must do.
func TestFullList(t *testing.T) {
	r := newRig(t)
	key := secret.New("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	opened, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "s.db"), key)
	require.NoError(t, err)
	t.Cleanup(func() { _ = opened.Close() })
	b := revoke.New(revoke.Options{
		Store: few{opened}, Changes: opened.Changes, Sites: func() []revoke.Site { return r.sites }, Logger: slog.New(slog.DiscardHandler),
		Changed: func() {}, Acknowledged: func() []string { return nil }, Now: func() time.Time { return r.now },
	})
	for i := range 6 { // what one person's logouts make
		_, err := b.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: fmt.Sprint(i), Source: revoke.FromLogout})
		if err != nil {
			require.ErrorIs(t, err, store.ErrFull)
		}
	}
	_, err = b.Revoke(t.Context(), revoke.Spec{Kind: revoke.Issued, IssuedBefore: r.now, Source: revoke.FromAPI})
	require.NoError(t, err, "the remedy that the 409 names: revoke by issued_before")
	_, err = b.Revoke(t.Context(), revoke.Spec{Kind: revoke.Client, Value: "app", Source: revoke.FromAPI})
	require.NoError(t, err, "the operator's own")
}

func scaled(most int) int {
	switch {
	case most > revoke.Most:
		return most
	case most == revoke.Most:
		return 7
	default:
		return 5
	}
}
