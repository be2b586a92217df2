package oxd_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// second registers another oxd_id of the client that the first has.
func (k *umaKit) second(t *testing.T, first string, scope []string) string {
	t.Helper()
	return k.register(t, map[string]any{"client_id": k.clientID(t, first), "client_secret": k.secret(t, first), "scope": scope})
}

// TestProtectTwoAtATime: two oxd_ids of one client protect the same at the same moment,
// and what is at the AS may be of an earlier try of either. No resource is of both.
func TestProtectTwoAtATime(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"names are unique": devas.Keycloak(), "names are free": {}} {
		for _, begun := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, begun %t", name, begun), func(t *testing.T) {
				t.Parallel()
				k := newUMAKit(t, devas.Options{Dialect: dialect})
				scope := []string{"openid"}
				if !dialect.PATWithoutScope {
					scope = append(scope, "uma_protection")
				}
				ids := []string{k.register(t, map[string]any{"scope": scope})}
				ids = append(ids, k.second(t, ids[0], scope))
				issuer := k.op.Issuer()
				if begun {
					// What the AS has is neither's by the records, and both may have made it.
					k.protect(t, ids[0], photo, nil)
					for name := range k.records(t, ids[0]) {
						for _, id := range ids {
							key := store.Key{Site: protection.SiteName(id), Issuer: issuer}
							require.NoError(t, k.store.PutResource(t.Context(), key, store.Resource{Name: name, State: store.ResourcePending, Spec: json.RawMessage(`{}`)}))
						}
					}
				}
				var group sync.WaitGroup
				for _, id := range ids {
					for range 2 {
						group.Go(func() {
							status, data := callOn(t, k.Server, "uma_rs_protect", map[string]any{"oxd_id": id, "resources": json.RawMessage(photo), "overwrite": true})
							if status != "ok" {
								require.Equal(t, "uma_protection_exists", data["error"], data)
							}
						})
					}
				}
				group.Wait()
				for _, r := range k.op.Resources() {
					sites, err := k.store.ResourceSites(t.Context(), issuer, r.ID)
					require.NoError(t, err)
					require.Len(t, sites, 1, r.Name)
				}
				// With one gone, the other has them all.
				k.ok(t, "remove_site", map[string]any{"oxd_id": ids[0]})
				if dialect.StrictResources {
					k.protect(t, ids[1], photo, map[string]any{"overwrite": true})
					require.Len(t, k.records(t, ids[1]), 3)
					require.Len(t, k.op.Resources(), 3)
				}
			})
		}
	}
}

// removes removes an RP when its site is locked.
type removes struct {
	oxd.Records

	remove func()
}

func (r removes) TryLock(ctx context.Context, key store.Key) (func() error, error) {
	unlock, err := r.Records.TryLock(ctx, key)
	if err == nil && r.remove != nil {
		r.remove()
	}
	return unlock, err
}

// TestProtectOfARemovedSite: what was removed while the command waited protects
// nothing, and keeps no name from another.
func TestProtectOfARemovedSite(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{Dialect: devas.Keycloak()})
	id := k.register(t, map[string]any{"scope": []string{"openid"}})
	records := removes{Records: k.store, remove: func() {
		require.NoError(t, k.store.DeleteRP(t.Context(), id, store.Key{Site: protection.SiteName(id), Issuer: k.op.Issuer()}))
	}}
	server, err := oxd.New(oxd.Config{Store: k.store, Records: records, OPs: []oxd.OP{{Host: k.op.Issuer()}}, DefaultOP: k.op.Issuer()})
	require.NoError(t, err)
	status, data := callOn(t, server, "uma_rs_protect", map[string]any{"oxd_id": id, "resources": json.RawMessage(photo)})
	require.Equal(t, "error", status)
	require.Equal(t, "invalid_oxd_id", data["error"])
	kept, err := k.store.Protections(t.Context())
	require.NoError(t, err)
	require.Empty(t, kept)
	require.Empty(t, k.op.Resources())
}

// TestRemovedSiteKeepsNothing: neither its PAT nor its records outlive it.
func TestRemovedSiteKeepsNothing(t *testing.T) {
	t.Parallel()
	k := newUMAKit(t, devas.Options{Dialect: devas.Keycloak()})
	id := k.register(t, map[string]any{"scope": []string{"openid"}})
	key := store.Key{Site: protection.SiteName(id), Issuer: k.op.Issuer()}
	k.protect(t, id, photo, nil)
	_, err := k.store.PAT(t.Context(), key)
	require.NoError(t, err)
	k.ok(t, "remove_site", map[string]any{"oxd_id": id})
	_, err = k.store.PAT(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound)
	keys, err := k.store.Keys(t.Context())
	require.NoError(t, err)
	require.Empty(t, keys)
}
