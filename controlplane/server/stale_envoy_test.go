package server_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestStatusTellsThatTokensAreStale: the AS goes away, and a real Envoy believes the token
// that it knows. Status says so, and until when: nobody passes after that.
func TestStatusTellsThatTokensAreStale(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(api.Close)
	as := servertest.StartAS(t, devas.Options{})
	require.NoError(t, as.AddClient(devas.Client{ID: "app", Secret: "app-secret"}))
	_, err := as.Permit(devas.Policy{Resource: "*", Clients: []string{"app"}})
	require.NoError(t, err)
	p := newPlane(t)
	p.Options.Intervals = server.Intervals{} // those of production
	config := strings.Replace(p.config(as.Issuer(), "albums"), "http://127.0.0.1:1", api.URL, 1)
	p.Write(strings.Replace(config, "  resources:", "  token: {max_ttl: 1s, stale: 20s}\n  resources:", 1) + fmt.Sprintf("plugin: {wasm: %q}\n", servertest.Module(t)))
	p.Start()
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy reports", func(s server.Status) bool { return servertest.Acknowledged(s) && !s.Envoys[0].ReportedAt.IsZero() })
	rpt := e.RPT(as)
	l := comeAgain(t, func(ctx context.Context) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Base+"/albums/1", http.NoBody)
		if err != nil {
			return err.Error()
		}
		req.Host = "photos.example.com"
		req.Header.Set("Authorization", "Bearer "+rpt)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	}, p.names)
	began := time.Now()
	l.try(t, fault{
		condition: health.StaleTokensBelieved,
		breakIt: func(t *testing.T) {
			t.Helper()
			require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointAny, Kind: devas.FaultDown}))
		},
		mendIt: func(t *testing.T) {
			t.Helper()
			s := p.Until("it is told", func(s server.Status) bool { return has(s, health.StaleTokensBelieved) })
			told := s.Conditions[slices.IndexFunc(s.Conditions, func(c health.Condition) bool { return c.Name == health.StaleTokensBelieved.Name })]
			require.Equal(t, "photos", told.Site)
			found := regexp.MustCompile(`^until (\S+) at the latest, .*; umagate-envoy \(127\.0\.0\.1:\d+\): \d+ requests$`).FindStringSubmatch(told.Message)
			require.NotNil(t, found, told.Message)
			until, err := time.Parse(time.RFC3339, found[1])
			require.NoError(t, err)
			refused := l.until(t, "it is over", told.Since, func(m moment) bool { return m.met != "" })
			require.False(t, refused.After(until.Add(time.Second)), "%s, and it was said %s", refused, until)
			for _, m := range l.since(began) {
				require.True(t, m.met == "" || !m.at.Before(refused), "%v", m)
			}
			as.ClearFaults("")
		},
	})
	l.require(t, time.Now())
}
