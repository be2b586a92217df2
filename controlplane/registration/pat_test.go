package registration_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// inProcess calls a handler without a socket, so that time may be virtual.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	p.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// startWorker runs the worker of one site against a dev AS, both in the caller's
// bubble, until the test ends.
func startWorker(t *testing.T, options devas.Options) (*registration.Worker, *devas.Server) {
	t.Helper()
	options.Issuer = "http://127.0.0.1:1"
	server, err := devas.New(options)
	require.NoError(t, err)
	file, err := site.Parse("umagate.yaml", fmt.Appendf(nil, `
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: %s, client: {register: {}}}
  resources: [{name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
`, options.Issuer), site.Environment{})
	require.NoError(t, err)
	kept, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "umagate.db"), secret.New(base64.StdEncoding.EncodeToString(make([]byte, 32))))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	w, err := registration.NewWorker(registration.Options{
		Site: &file.Sites[0], Store: kept, Logger: slog.New(slog.DiscardHandler), Transport: inProcess{server},
	})
	require.NoError(t, err)
	require.NoError(t, w.Restore(t.Context(), registration.Discovering))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return w, server
}

// TestPATIsRenewedBeforeItExpires: for a day, there is no moment without a PAT that
// the AS takes, none is renewed in its first 70 percent, and no call is made with
// one that has expired.
func TestPATIsRenewedBeforeItExpires(t *testing.T) {
	for _, life := range []time.Duration{10 * time.Second, 5 * time.Minute, 8 * time.Hour} {
		t.Run(life.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, server := startWorker(t, devas.Options{Lifetimes: devas.Lifetimes{PAT: life}})
				synctest.Wait()
				require.Equal(t, registration.Serving, w.Snapshot().Phase, "%+v", w.Snapshot().Failure)
				renewals := 0
				for before := w.Snapshot().PAT; renewals < 20; {
					time.Sleep(life / 50)
					synctest.Wait()
					now := w.Snapshot().PAT
					require.True(t, now.ExpiresAt.After(time.Now()), "it has one that is good")
					if !now.Value.Equal(before.Value) {
						require.GreaterOrEqual(t, time.Since(before.IssuedAt), life*7/10, "it is not renewed sooner than it must be")
						before = now
						renewals++
					}
				}
				require.Equal(t, renewals+1, server.Count(devas.EndpointToken), "each is asked for once")
				for _, c := range server.Calls(devas.EndpointResources) {
					require.Less(t, c.Status, 400, "no call was made with an expired PAT")
				}
			})
		})
	}
}
