package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// TestFileThatWasCutShortDeletesNothing: beyond the bound nothing is deleted, and
// that is told; the rest is done, and when the file is whole again all is well.
func TestFileThatWasCutShortDeletesNothing(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	var all []string
	for i := range 10 {
		all = append(all, fmt.Sprintf("r%d", i))
	}
	p.Write(p.config(as.Issuer(), all...))
	p.Start()
	p.Until("all is well", allWell)
	require.ElementsMatch(t, all, names(as))

	p.Write(p.config(as.Issuer(), "r0", "fresh"))
	s := p.Until("it is told", func(s server.Status) bool {
		return s.Sites[0].Resources.Withheld == 9 && s.Sites[0].Phase == registration.Serving && len(names(as)) == 11
	})
	require.False(t, s.OK)
	require.Contains(t, said(s, health.DeletionsWithheld), "9 resources are no longer declared and stay at the authorization server, sync.max_deletions is 3")
	require.Contains(t, s.Sites[0].Conditions[0].Remedy, "umagate apply")
	require.ElementsMatch(t, append(all, "fresh"), names(as), "everything else is done")
	_, metrics := p.Get("/metrics")
	require.Contains(t, metrics, `umagate_site_resources{site="photos",state="deletion_withheld"} 9`)
	require.Equal(t, 1, strings.Count(p.Log.String(), "condition=DeletionsWithheld"), "said once, not at every look")

	// Within the bound, it is an edit like any other.
	p.Write(p.config(as.Issuer(), append(all[:8:8], "fresh")...))
	p.Until("the two are gone", func(s server.Status) bool { return s.OK && len(names(as)) == 9 })

	// The operator may set another.
	p.Write(strings.Replace(p.config(as.Issuer(), "fresh"), "  resources:", "  sync: {max_deletions: 8}\n  resources:", 1))
	p.Until("all of them are gone", func(s server.Status) bool { return s.OK && len(names(as)) == 1 })
}
