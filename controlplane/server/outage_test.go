package server_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// TestLongOutage: an AS that goes away for longer than a PAT lives takes nothing
// from Envoys, is asked at a bounded pace, and is caught up with when it is back.
func TestLongOutage(t *testing.T) {
	t.Parallel()
	for _, kind := range []devas.FaultKind{devas.FaultDown, devas.FaultHTML, devas.FaultStatus} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{Lifetimes: devas.Lifetimes{PAT: 2 * time.Second}})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums", "people"))
			p.Start()
			before := p.Until("all is well", allWell)

			require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointAny, Kind: kind, Status: http.StatusServiceUnavailable}))
			p.Write(p.config(as.Issuer(), "albums", "people", "fresh"))
			down := p.Until("the PAT has expired, and every attempt failed", func(s server.Status) bool {
				f := s.Sites[0].Failure
				return f != nil && f.Attempts > 10 && time.Now().After(s.Sites[0].PATExpiresAt)
			})
			require.NotEmpty(t, down.Sites[0].Failure.Remedy)
			require.Equal(t, before.Sites[0].ClientID, down.Sites[0].ClientID, "the client is not given up")
			require.Equal(t, 2, down.Sites[0].Resources.Registered, "nor are the resources")
			require.NotEmpty(t, down.Revision)
			require.False(t, has(down, health.ConfigurationNotPublished))

			as.ClearFaults(devas.EndpointAny)
			p.Until("all is well again", allWell)
			require.ElementsMatch(t, []string{"albums", "people", "fresh"}, names(as), "each once")
			registrations := 0
			for _, c := range as.Calls(devas.EndpointRegistration) {
				if c.Method == http.MethodPost {
					registrations++
				}
			}
			require.Equal(t, 1, registrations)
		})
	}
}
