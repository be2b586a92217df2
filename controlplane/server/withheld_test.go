package server_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestWithheldMessagesAreTold: an Envoy with routes of its own keeps no message that is longer
// than its buffer, though the site takes it, and status says so.
func TestWithheldMessagesAreTold(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(document(servertest.Module(t), "", strings.Replace(entry("photos", named(t, "one"), as.Issuer()), "  - {name: health",
		`  - {name: tools, conditions: [{paths: ["/mcp"], public: true}, {paths: ["/mcp"], public: true, mcp: {tools: [search]}}]}
  - {name: health`, 1)))
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	file, err := site.Load(p.Path())
	require.NoError(t, err)
	file.Envoy.Listener = "127.0.0.1:0"
	e := p.protect(envoy.Options{Binary: binary}, func(b *bootstrapv3.Bootstrap) {
		listener, err := envoyconf.Listener(file)
		require.NoError(t, err)
		own := *file
		own.Sites = append([]site.Site(nil), file.Sites...)
		own.Sites[0].Resources = nil // its routes know nothing of messages
		withRoutes(t, listener, &own)
		upstreams, err := envoyconf.Upstreams(file)
		require.NoError(t, err)
		b.DynamicResources.LdsConfig, b.Node.Metadata = nil, nil
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, upstreams...)
		b.StaticResources.Listeners = []*listenerv3.Listener{listener}
	})
	p.Until("it has the filter", func(s server.Status) bool {
		return len(s.Envoys) == 1 && len(s.Envoys[0].Types) > 0 && !s.Envoys[0].ReportedAt.IsZero()
	})
	var long atomic.Bool
	visit := func(ctx context.Context) string {
		length := 1
		if long.Load() {
			length = 100 << 10 // the site takes 1 MiB
		}
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"x":"` + strings.Repeat("y", length) + `"}}}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.Base+"/mcp", strings.NewReader(body))
		if err != nil {
			return err.Error()
		}
		req.Host = "photos.example.com"
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err.Error()
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.Status
		}
		return ""
	}
	withheld := func(m moment) bool { return slices.Contains(m.conditions, health.EnvoyWithholdsMessages.Name) }
	l := comeAgain(t, visit, p.names)
	l.until(t, "all is well before", time.Now(), func(m moment) bool { return m.met == "" && !withheld(m) })
	broken := time.Now()
	long.Store(true)
	met := l.until(t, "users meet it", broken, func(m moment) bool {
		return m.met == "413 Payload Too Large" || m.met == "413 Request Entity Too Large"
	})
	told := l.until(t, "it is told", broken, withheld)
	require.LessOrEqual(t, told.Sub(met), apart)
	l.stop()
	require.Regexp(t, `^umagate-envoy \(127\.0\.0\.1:\d+\): \d+ messages, too_long, last reported at \d\d:\d\d:\d\d$`, said(p.Status(), health.EnvoyWithholdsMessages))
}
