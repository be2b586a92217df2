package server_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// TestCrashBesideAnotherSite: a site whose creation was cut short does not take what
// another site of its client has by then under that name.
func TestCrashBesideAnotherSite(t *testing.T) {
	t.Parallel()
	for name, record := range map[string]store.Resource{
		"a creation":  {Name: "albums", State: store.ResourcePending, Spec: json.RawMessage(`{}`)},
		"an adoption": {Name: "albums", State: store.ResourcePending, ID: "gone", Spec: json.RawMessage(`{}`)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums"))
			p.Start()
			p.Until("all is well", allWell)
			p.Stop()
			photos, films := store.Key{Site: "photos", Issuer: as.Issuer()}, store.Key{Site: "films", Issuer: as.Issuer()}
			have, err := p.store().Resources(t.Context(), photos)
			require.NoError(t, err)
			require.NoError(t, p.store().DeleteResource(t.Context(), photos, "albums"))
			require.NoError(t, p.store().PutResource(t.Context(), films, have[0]))
			require.NoError(t, p.store().PutResource(t.Context(), photos, record))
			before := as.Resources()

			// Another declaration, which an adoption would write at the AS.
			p.Write(p.config(as.Issuer(), "albums") + "  - {name: films, conditions: [{paths: [\"/films/**\"], scopes: [watch]}]}\n")
			p.Start()
			s := p.Until("it is told", func(s server.Status) bool {
				return len(s.Sites) == 1 && s.Sites[0].Failure != nil && len(as.Resources()) == 2
			})
			require.Contains(t, s.Sites[0].Failure.Message, "site films: the AS has a resource of that name that another site has registered")
			require.Contains(t, s.Sites[0].Failure.Remedy, "a client of its own")
			require.Contains(t, as.Resources(), before[0], "it is as it was")
			ids, err := p.store().ResourceSites(t.Context(), as.Issuer(), have[0].ID)
			require.NoError(t, err)
			require.Equal(t, []string{"films"}, ids)
		})
	}
}
