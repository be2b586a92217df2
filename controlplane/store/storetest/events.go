package storetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

func auditEvents(t *testing.T, open opener) {
	t.Helper()
	s, reopen := open(t)
	ctx := t.Context()
	old, now := time.Now().Add(-48*time.Hour).Truncate(time.Millisecond), time.Now().Truncate(time.Millisecond)
	add := func(at time.Time, actor, site string, action audit.Action) audit.Event {
		e := audit.Event{
			At: at, Actor: audit.Actor{Kind: audit.KindAPI, Name: actor, Address: "192.0.2.1"}, Action: action, Site: site, Target: "albums",
			Outcome: audit.Done, Detail: map[string]string{"name": "a"}, RequestID: "r-1",
		}
		require.NoError(t, s.AddAudit(ctx, e))
		return e
	}
	number, err := s.Changes(ctx)
	require.NoError(t, err)
	events := []audit.Event{
		add(old, "ci", "photos", audit.ResourceCreate), add(now.Add(-time.Hour), "ci", "music", audit.ResourceDelete), add(now, "ops", "photos", audit.ConfigReload),
	}
	after, err := s.Changes(ctx)
	require.NoError(t, err)
	require.Equal(t, number, after, "other replicas need not read anew")
	choose := func(f store.AuditFilter) []audit.Event {
		if f.Limit == 0 {
			f.Limit = 10
		}
		got, err := reopen().Audit(ctx, f)
		require.NoError(t, err)
		return got
	}
	all := choose(store.AuditFilter{})
	require.Len(t, all, 3)
	for i := range all {
		require.Positive(t, all[i].ID)
		events[2-i].ID = all[i].ID
		require.Equal(t, events[2-i], all[i])
	}
	require.Equal(t, all[:1], choose(store.AuditFilter{Limit: 1}))
	require.Equal(t, all[1:], choose(store.AuditFilter{Before: all[0].ID}))
	require.Equal(t, []audit.Event{all[0], all[2]}, choose(store.AuditFilter{Site: "photos"}))
	require.Equal(t, all[1:], choose(store.AuditFilter{Actor: "ci"}))
	require.Equal(t, all[1:2], choose(store.AuditFilter{Action: audit.ResourceDelete}))
	require.Equal(t, all[:2], choose(store.AuditFilter{Since: now.Add(-time.Hour)}))
	require.Equal(t, all[1:], choose(store.AuditFilter{Until: now}))

	ended, err := s.EndAudit(ctx, now.Add(-30*time.Hour))
	require.NoError(t, err)
	require.EqualValues(t, 1, ended)
	require.Equal(t, all[:2], choose(store.AuditFilter{}))
	_, err = s.EndAudit(ctx, now.Add(time.Hour))
	require.Error(t, err, "the last day is kept")
	require.Equal(t, all[:2], choose(store.AuditFilter{}))
}

func revocations(t *testing.T, open opener) {
	t.Helper()
	s, reopen := open(t)
	ctx := t.Context()
	first := store.Revocation{
		ID: "b", Site: "photos", Kind: "subject", Value: "bob", Source: "api", Digest: [32]byte{0, 255}, IssuedBefore: at.Truncate(time.Second),
		CreatedAt: at, ExpiresAt: at.Add(time.Hour),
	}
	second := store.Revocation{ID: "a", Kind: "token", Source: "api", CreatedAt: at, ExpiresAt: at.Add(time.Minute)}
	before, err := s.Changes(ctx)
	require.NoError(t, err)
	require.NoError(t, s.AddRevocation(ctx, first, at, 2))
	require.NoError(t, s.AddRevocation(ctx, second, at, 2))
	after, err := s.Changes(ctx)
	require.NoError(t, err)
	require.Greater(t, after, before, "other replicas see it")
	require.ErrorIs(t, s.AddRevocation(ctx, store.Revocation{ID: "c", Kind: "token", ExpiresAt: at.Add(time.Hour)}, at, 2), store.ErrFull)
	narrower := first
	narrower.IssuedBefore, narrower.ExpiresAt = first.IssuedBefore.Add(-time.Second), at.Add(time.Second)
	require.NoError(t, s.AddRevocation(ctx, narrower, at, 2))
	other := reopen()
	got, err := other.Revocations(ctx)
	require.NoError(t, err)
	require.Equal(t, []store.Revocation{second, first}, got, "by id; the later times count")
	whenever := first
	whenever.IssuedBefore = time.Time{}
	require.NoError(t, s.AddRevocation(ctx, whenever, at, 2))
	require.NoError(t, s.AddRevocation(ctx, first, at, 2))
	third := store.Revocation{ID: "c", Kind: "token", CreatedAt: at, ExpiresAt: at.Add(25 * time.Hour)}
	require.NoError(t, s.AddRevocation(ctx, third, at.Add(time.Minute), 2), "one has ended")
	got, err = s.Revocations(ctx)
	require.NoError(t, err)
	require.Equal(t, []store.Revocation{second, whenever, third}, got, "it is there, as a clock may be ahead")
	require.NoError(t, s.AddRevocation(ctx, third, at.Add(24*time.Hour+time.Minute), 2))
	got, err = s.Revocations(ctx)
	require.NoError(t, err)
	require.Equal(t, []store.Revocation{whenever, third}, got, "a day later it is forgotten")
	require.NoError(t, s.DeleteRevocation(ctx, "b"))
	require.ErrorIs(t, s.DeleteRevocation(ctx, "b"), store.ErrNotFound)

	taken := func(id string, now time.Time) bool {
		t.Helper()
		first, err := s.TakeMessage(ctx, id, now.Add(time.Minute), now)
		require.NoError(t, err)
		return first
	}
	require.True(t, taken("m1", at))
	require.False(t, taken("m1", at))
	require.True(t, taken("m2", at))
	require.True(t, taken("m1", at.Add(time.Minute)), "long ago")
	require.NoError(t, s.ForgetMessage(ctx, "m1"))
	require.True(t, taken("m1", at.Add(time.Minute)))
}
