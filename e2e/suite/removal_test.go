package suite_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestRemovalsReachEveryWorker: an album that is deleted by way of one worker is
// open on no other, long before what that remembers has ended.
func TestRemovalsReachEveryWorker(t *testing.T) {
	binary := envoytest.Binary(t)
	readModule(t)
	authority := ownersDevAS(t, t)
	api := startAPI(t)
	p := newPlane(t, authority.issuer, api.address)
	p.owners(freeAddress(t))
	p.start()
	status := p.until("the site is served", func(s server.Status) bool { return len(s.Sites) == 1 && s.Sites[0].Phase == registration.Serving })
	authority.ready(t, status.Sites[0].ClientID)
	bootstrap, err := p.command("render", "bootstrap", "-c", "umagate.yaml").Output()
	require.NoError(t, err)
	process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: bootstrap, Concurrency: suiteWorkers})
	p.until("Envoy has everything", acknowledged)
	e := &env{t: t, host: "photos.test", api: api, as: authority.authServer}
	e.gw = &envoyGateway{process: process, at: envoytest.Address(t.Context(), t, process, "umagate")}
	e.client = newClient(t, e.gw.address())
	w := &ownersWorld{env: e, plane: p, as: authority}

	creates, err := w.rptFor(t, "alice", "POST", "/albums")
	require.NoError(t, err)
	path, name := w.create(t, creates)
	waitFor(t, "the registration", func() bool { return w.ask(t, "GET", path, "", "").status == http.StatusUnauthorized })
	authority.share(t, name, w.registered(t, name), "view", "edit")
	views, err := w.rptFor(t, "bob", "GET", path)
	require.NoError(t, err)
	edits, err := w.rptFor(t, "alice", "DELETE", path)
	require.NoError(t, err)

	// Connections enough that each worker has some.
	clients := make([]*client1, 16)
	see := func(c *client1) *answer {
		t.Helper()
		return c.do(t, w.request(t, &step{method: "GET", path: path}, views))
	}
	for i := range clients {
		clients[i] = newClient(t, e.gw.address())
		require.Equal(t, 200, see(clients[i]).status, "bob sees the album by each worker")
	}
	require.Equal(t, 204, w.ask(t, "DELETE", path, edits, "").status)
	waitFor(t, "every worker knows", func() bool {
		for _, c := range clients {
			if see(c).code != "resource_unknown" {
				return false
			}
		}
		return true
	})
}
