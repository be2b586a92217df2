package registration

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/kept/kepttest"
	"github.com/umagate/umagate/controlplane/site"
)

func newKeeper(t *testing.T) (*owners, *kepttest.Keycloak) {
	t.Helper()
	o, _ := newTestOwners(t, "id: rs, secret: hush")
	o.client.site.AuthorizationServer.Issuer = "http://127.0.0.1:1/realms/r"
	o.client.site.AuthorizationServer.Dialect = as.DialectKeycloak
	o.client.site.AuthorizationServer.Introspection.Credential = ""
	o.client.site.Resources = nil
	o.client.site.ResourcesAtAS = &site.ResourcesAtAS{Interval: time.Minute, MaxRemovals: 1}
	at := &kepttest.Keycloak{Issuer: "http://127.0.0.1:1/realms/r"}
	return again(t, o, at), at
}

// again are owners of the same site and store, as after a restart.
func again(t *testing.T, o *owners, at *kepttest.Keycloak) *owners {
	t.Helper()
	kept := o.keeper.store.(Store)
	a := Options{Site: o.client.site, Store: kept, Logger: o.client.logger}.account()
	c, err := connect(a.site, handled{at}, nil)
	require.NoError(t, err)
	next := newOwners(a, c, kept)
	t.Cleanup(next.pat.stop)
	require.NoError(t, next.restore(t.Context()))
	return next
}

// ids are the ids of the resources in force.
func (o *owners) ids() (out []string) {
	for _, r := range o.keeper.board.read().Kept.Reading.Resources {
		out = append(out, r.ID)
	}
	return out
}

// TestKeeper: what an AS keeps is read when that is due, stays in force while it does not
// answer and across a restart, and is never changed there.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, at := newKeeper(t)
		look := func() {
			t.Helper()
			time.Sleep(2 * time.Minute)
			require.NoError(t, o.pass(t.Context()))
		}
		conditions := func() (out []string) {
			for _, c := range o.keeper.conditions.Conditions() {
				out = append(out, c.Name)
			}
			return out
		}
		at.Set("a", "/a")
		at.Set("b", "/b")
		require.NoError(t, o.pass(t.Context()))
		require.Equal(t, []string{"a", "b"}, o.ids())
		at.Set("c", "/c")
		require.NoError(t, o.pass(t.Context()))
		require.Equal(t, []string{"a", "b"}, o.ids(), "it is not due")
		look()
		require.Equal(t, []string{"a", "b", "c"}, o.ids())

		at.Hide("c", true)
		look()
		require.Equal(t, []string{"a", "b", "c"}, o.ids(), "a list that is short says nothing")
		at.Hide("c", false)

		at.Remove("b")
		look()
		require.Equal(t, []string{"a", "c"}, o.ids())
		require.Equal(t, []string{"/b"}, o.keeper.board.read().Kept.Reading.Withdrawn)

		at.SetDown(true)
		readAt := o.keeper.board.read().Kept.ReadAt
		look()
		require.Equal(t, []string{health.ResourcesNotTaken.Name}, conditions())
		o = again(t, o, at)
		require.Equal(t, []string{"a", "c"}, o.ids(), "after a restart")
		look()
		require.Equal(t, []string{"a", "c"}, o.ids())
		require.True(t, o.keeper.board.read().Kept.ReadAt.Equal(readAt))
		at.SetDown(false)

		at.Remove("a")
		at.Remove("c")
		look()
		require.Equal(t, []string{"a", "c"}, o.ids(), "more than may be gone")
		require.Equal(t, []string{health.RemovalsWithheld.Name}, conditions())
		o.keeper.accepted = true
		look()
		require.Empty(t, o.ids())
		require.Empty(t, conditions())
		require.True(t, o.keeper.board.read().Kept.Closed, "a site without paths is closed")
		require.Empty(t, at.Changes())

		reads := at.Reads()
		require.NoError(t, o.pass(t.Context()))
		require.Equal(t, reads, at.Reads())
	})
}

// TestKeeperChangesNothing: what would change something at the AS refuses.
func TestKeeperChangesNothing(t *testing.T) {
	t.Parallel()
	o, at := newKeeper(t)
	at.Set("a", "/a")
	operation, err := Open(t.Context(), OperationOptions{Site: o.client.site, Store: o.keeper.store.(Store), Logger: o.client.logger, Transport: handled{at}})
	require.NoError(t, err)
	defer operation.Close()
	_, _, err = operation.Apply(t.Context(), nil)
	require.ErrorIs(t, err, ErrKeptAtAS)
	_, err = operation.PlanRemoval(t.Context())
	require.ErrorIs(t, err, ErrKeptAtAS)
	now, _, err := operation.Kept(t.Context())
	require.NoError(t, err)
	require.Equal(t, "a", now.Resources[0].ID)
	require.Empty(t, at.Changes())
}
