package sync_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/sync"
)

// TestAnotherSitesResource: two sites may share a client, and so what is found by
// name. What another site has a record of is neither taken over nor removed.
func TestAnotherSitesResource(t *testing.T) {
	t.Parallel()
	albums := sync.Desired{Name: "albums", Scopes: []string{"view"}}
	adopt := albums
	adopt.Adopt = true
	pending := store.Resource{Name: "albums", State: store.ResourcePending}
	tests := []struct {
		name    string
		desired []sync.Desired
		record  *store.Resource
		kind    sync.Kind
	}{
		{"asked for", []sync.Desired{adopt}, nil, sync.Conflict},
		{"its own creation was cut short", []sync.Desired{albums}, &pending, sync.Conflict},
		{"neither", []sync.Desired{albums}, nil, sync.Conflict},
		{"no longer declared, its creation was cut short", nil, &pending, sync.Delete},
		{"no longer declared, recorded by both", nil, &store.Resource{Name: "albums", State: store.ResourceRegistered, ID: "r-1"}, sync.Delete},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, byName := range []bool{true, false} {
				w := newWorld(byName, true)
				w.elsewhere = map[string]string{"r-1": "films"}
				theirs := as.Resource{ID: "r-1", Name: "albums", Scopes: []string{"watch"}}
				w.resources["r-1"] = theirs
				if tt.record != nil {
					w.records["albums"] = *tt.record
				}
				plan, err := w.run(t.Context(), tt.desired)
				require.Len(t, plan, 1)
				require.Equal(t, tt.kind, plan[0].Kind)
				require.Equal(t, theirs, w.resources["r-1"], "it is as it was")
				if tt.kind == sync.Conflict {
					require.ErrorIs(t, err, sync.ErrOtherSite)
					require.ErrorContains(t, err, "films")
					continue
				}
				require.NoError(t, err)
				require.Empty(t, w.records)
				require.Contains(t, plan[0].Warnings[0], "films")
			}
		})
	}
}
