package registration_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// TestDryRun: it reads through, forgets what a plan writes, and lets nothing begin that
// changes the AS.
func TestDryRun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	key := store.Key{Site: "photos", Issuer: "i"}
	kept, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "umagate.db"), secret.Text{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	require.NoError(t, kept.PutClient(ctx, key, store.Client{ClientID: "c1"}))
	require.NoError(t, kept.PutLogin(ctx, key, store.Login{ClientID: "c1", RefreshToken: secret.New("first")}))

	dry := registration.DryRun(kept)
	client, err := dry.Client(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "c1", client.ClientID)
	require.NoError(t, dry.PutDiscovery(ctx, key, store.Discovery{}))
	require.NoError(t, dry.PutPAT(ctx, key, store.PAT{}))
	_, err = dry.Login(ctx, key)
	require.ErrorContains(t, err, "a plan does not renew it")
	_, err = dry.TryLock(ctx, key)
	require.Error(t, err)

	_, err = kept.Discovery(ctx, key)
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = kept.PAT(ctx, key)
	require.ErrorIs(t, err, store.ErrNotFound)
	login, err := kept.Login(ctx, key)
	require.NoError(t, err)
	require.Equal(t, "first", login.RefreshToken.Reveal())
}
