package server_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// trapping builds a filter that breaks off when a request asks for it.
func trapping(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "../../e2e/realenvoy/testdata/probe")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// TestTrappedFilterIsTold: a VM that breaks off is started anew by the next request, and
// status tells both.
func TestTrappedFilterIsTold(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums") + "plugin: {wasm: \"" + trapping(t) + "\"}\n")
	p.Start()
	e := p.Protect(envoy.Options{Binary: binary})
	p.Until("Envoy reports", func(s server.Status) bool { return servertest.Acknowledged(s) && !s.Envoys[0].ReportedAt.IsZero() })
	ask := func(ctx context.Context, command string) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Base+"/albums/1", http.NoBody)
		if err != nil {
			return err.Error()
		}
		req.Host = "photos.example.com"
		req.Header.Set("X-Probe", command)
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
	visit := func(ctx context.Context) string { return ask(ctx, "config") }
	l := comeAgain(t, visit, p.names)
	l.until(t, "all is well before", time.Now(), func(m moment) bool { return m.met == "" && len(m.conditions) == 0 })
	broken := time.Now()
	require.Contains(t, ask(t.Context(), "trap"), "503")
	met := time.Now() // by that request, and by others if the last start was a moment ago
	told := l.until(t, "it is told", broken, func(m moment) bool { return slices.Contains(m.conditions, health.EnvoyFilterTrapped.Name) })
	require.LessOrEqual(t, told.Sub(met), apart)
	s := p.Until("it serves again", func(s server.Status) bool { return s.Envoys[0].Trapped != nil && s.Envoys[0].Trapped.Serves })
	require.Regexp(t, `^umagate-envoy \(127\.0\.0\.1:\d+\) serves again: started anew 1 times, \d+ requests refused meanwhile; last reported at \d\d:\d\d:\d\d$`, said(s, health.EnvoyFilterTrapped))
	since := s.Envoys[0].Trapped.Since
	// The last start is longer ago than Envoy waits: the next request finds a new VM at once.
	require.Contains(t, ask(t.Context(), "trap"), "503")
	p.Until("it came again", func(s server.Status) bool {
		return s.Envoys[0].Trapped.Restarted == 2 && s.Envoys[0].Trapped.Since.Equal(since)
	})
	l.stop()
}
