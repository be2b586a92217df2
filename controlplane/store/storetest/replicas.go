package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/store"
)

func apart(t *testing.T, open opener) {
	t.Helper()
	s, _ := open(t)
	ctx := t.Context()
	require.NoError(t, s.PutClient(ctx, photos, store.Client{State: store.ClientRegistered, ClientID: "one"}))
	_, err := s.Client(ctx, moved)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, s.PutResource(ctx, moved, store.Resource{Name: "albums", State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))
	resources, err := s.Resources(ctx, photos)
	require.NoError(t, err)
	require.Empty(t, resources)
	keys, err := s.Keys(ctx)
	require.NoError(t, err)
	require.Equal(t, []store.Key{photos, moved}, keys)
}

func concurrently(t *testing.T, open opener) {
	t.Helper()
	s, _ := open(t)
	ctx := t.Context()
	var wg sync.WaitGroup
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() {
			errs[i] = s.PutResource(ctx, photos, store.Resource{Name: fmt.Sprintf("r%02d", i), State: store.ResourcePending, Spec: json.RawMessage(`{}`)})
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	resources, err := s.Resources(ctx, photos)
	require.NoError(t, err)
	require.Len(t, resources, len(errs))
}

func changes(t *testing.T, open opener) {
	t.Helper()
	s, reopen := open(t)
	ctx := t.Context()
	other := reopen()
	last, err := other.Changes(ctx)
	require.NoError(t, err)
	for what, write := range map[string]func() error{
		"discovery": func() error { return s.PutDiscovery(ctx, photos, store.Discovery{Metadata: json.RawMessage(`{}`)}) },
		"client":    func() error { return s.PutClient(ctx, photos, store.Client{}) },
		"no client": func() error { return s.DeleteClient(ctx, photos) },
		"pat":       func() error { return s.PutPAT(ctx, photos, store.PAT{}) },
		"key":       func() error { return s.PutClientKey(ctx, photos, store.ClientKey{ID: "kid"}) },
		"no key":    func() error { return s.DeleteClientKey(ctx, photos, "kid") },
		"login":     func() error { return s.PutLogin(ctx, photos, store.Login{}) },
		"forget":    func() error { return s.Forget(ctx, moved) },
		"resource": func() error {
			return s.PutResource(ctx, photos, store.Resource{Name: "a", Spec: json.RawMessage(`{}`)})
		},
		"none": func() error { return s.DeleteResource(ctx, photos, "a") },
	} {
		require.NoError(t, write(), what)
		now, err := other.Changes(ctx)
		require.NoError(t, err)
		require.Greater(t, now, last, what)
		last = now
	}
}

func leads(t *testing.T, open opener) {
	t.Helper()
	first, reopen := open(t)
	second, command := reopen(), reopen()
	ctx := t.Context()
	lease, err := first.Lead(ctx)
	require.NoError(t, err)
	require.NoError(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}))
	_, err = second.Lead(ctx)
	require.True(t, errors.Is(err, store.ErrNotLeader) || errors.Is(err, store.ErrInUse), "%v", err)
	require.NoError(t, command.PutPAT(ctx, photos, store.PAT{ClientID: "command"}), "who never led may write")
	require.NoError(t, lease.Release())

	lease, err = second.Lead(ctx)
	require.NoError(t, err)
	require.NoError(t, second.PutPAT(ctx, photos, store.PAT{ClientID: "second"}))
	require.ErrorIs(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}), store.ErrReplaced)
	require.ErrorIs(t, first.DeleteClient(ctx, photos), store.ErrReplaced)
	pat, err := first.PAT(ctx, photos)
	require.NoError(t, err)
	require.Equal(t, "second", pat.ClientID)
	require.NoError(t, lease.Release())

	lease, err = first.Lead(ctx)
	require.NoError(t, err)
	require.NoError(t, first.PutPAT(ctx, photos, store.PAT{ClientID: "first"}))
	require.NoError(t, lease.Release())
}

func oneChanges(t *testing.T, open opener) {
	t.Helper()
	first, reopen := open(t)
	second := reopen()
	ctx := t.Context()
	unlock, err := first.TryLock(ctx, photos)
	require.NoError(t, err)
	_, err = second.TryLock(ctx, photos)
	require.ErrorIs(t, err, store.ErrLocked)
	_, err = first.TryLock(ctx, photos)
	require.ErrorIs(t, err, store.ErrLocked, "nor does another part of the same process")
	other, err := second.TryLock(ctx, moved)
	require.NoError(t, err)
	require.NoError(t, other())
	require.NoError(t, unlock())
	unlock, err = second.TryLock(ctx, photos)
	require.NoError(t, err)
	require.NoError(t, unlock())
}
