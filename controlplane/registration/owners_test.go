package registration

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

type handled struct{ handler http.Handler }

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Result(), nil
}

// newTestOwners are those of a site with that client, at a dev AS in the same process.
func newTestOwners(t *testing.T, client string) (*owners, *devas.Server) {
	t.Helper()
	const issuer = "http://127.0.0.1:1"
	server, err := devas.New(devas.Options{Issuer: issuer})
	require.NoError(t, err)
	file, err := site.Parse("umagate.yaml", fmt.Appendf(nil, `
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: %s, client: {%s}, introspection: {credential: pat}}
  resources: [{name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
`, issuer, client), site.Environment{})
	require.NoError(t, err)
	kept, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "umagate.db"), secret.New(base64.StdEncoding.EncodeToString(make([]byte, 32))))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kept.Close()) })
	a := Options{Site: &file.Sites[0], Store: kept, Logger: slog.New(slog.DiscardHandler)}.account()
	c, err := connect(a.site, handled{server}, nil)
	require.NoError(t, err)
	o := newOwners(a, c, kept)
	t.Cleanup(o.pat.stop)
	return o, server
}

// TestKeysOwner: a key is published before it is used, and the one before stays
// published after that.
func TestKeysOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, _ := newTestOwners(t, "id: rs, token_endpoint_auth_method: private_key_jwt, keys: {}")
		k, used := o.keys, 0
		h := holder{
			update: func(context.Context) error { return errors.New("umagate did not register it") },
			useKey: func(context.Context) error { used++; return nil },
		}
		states := func() (out []store.KeyState) {
			for _, key := range k.ring {
				out = append(out, key.State)
			}
			return out
		}
		require.NoError(t, k.ensure(t.Context()))
		first := k.inUse()
		k.step(t.Context(), h)
		require.Equal(t, []store.KeyState{store.KeyActive}, states())
		require.False(t, k.due.Before(time.Now()), "nothing is to be done now")

		time.Sleep(time.Second) // keys are in the order in which they were made
		require.NoError(t, k.rotate(t.Context(), h, true))
		require.Equal(t, []store.KeyState{store.KeyActive, store.KeyPublished}, states())
		require.Equal(t, first, k.inUse())
		require.Zero(t, used)
		require.Equal(t, k.ring[1].StateAt.Add(k.settings.PublishBefore), k.nextDue())

		time.Sleep(time.Until(k.nextDue()))
		k.due = time.Time{}
		k.step(t.Context(), h)
		require.Equal(t, []store.KeyState{store.KeyRetiring, store.KeyActive}, states())
		require.NotEqual(t, first, k.inUse())
		require.Equal(t, 1, used)
		require.Equal(t, k.ring[0].StateAt.Add(k.settings.Overlap), k.due)

		time.Sleep(time.Until(k.due))
		k.step(t.Context(), h)
		require.Equal(t, []store.KeyState{store.KeyActive}, states())
		require.Empty(t, k.conditions.Conditions())
	})
}

// TestTrialLeavesTheRegistration: the worker in use goes on while another is tried, and
// each would put the client's name back to its own.
func TestTrialLeavesTheRegistration(t *testing.T) {
	t.Parallel()
	o, server := newTestOwners(t, "register: {client_name: Photos}")
	require.NoError(t, o.pass(t.Context()))
	updates := func() (n int) {
		for _, c := range server.Calls(devas.EndpointRegistration) {
			if c.Method == http.MethodPut {
				n++
			}
		}
		return n
	}
	next := *o.client.site
	next.AuthorizationServer.Client.Register = &site.Register{ClientName: "Photos of all"}
	o.client.site, o.client.updateDue = &next, time.Time{}
	require.NoError(t, o.prove(t.Context(), false))
	require.Zero(t, updates())
	require.NoError(t, o.pass(t.Context()))
	require.Equal(t, 1, updates())
}

// TestClientOwner: what the loop leaves alone is done on demand.
func TestClientOwner(t *testing.T) {
	t.Parallel()
	for _, before := range []struct {
		name   string
		stored store.Client
		want   error
	}{
		{"deregistered", store.Client{State: store.ClientDeregistered}, errDeregistered},
		{"a registration of unknown outcome", store.Client{State: store.ClientRegistering, Attempts: 1, RetryAt: time.Now().Add(time.Hour)}, errOutcomeUnknown},
	} {
		t.Run(before.name, func(t *testing.T) {
			t.Parallel()
			o, at := newTestOwners(t, "register: {}")
			require.NoError(t, o.client.store.PutClient(t.Context(), o.client.key, before.stored))
			require.NoError(t, o.restore(t.Context()))
			server, err := o.discovery.step(t.Context())
			require.NoError(t, err)
			require.ErrorIs(t, o.client.step(t.Context(), server), before.want)
			require.Zero(t, at.Count(devas.EndpointRegistration))
			require.NoError(t, o.client.demand(t.Context(), server))
			require.Equal(t, 1, at.Count(devas.EndpointRegistration))
			require.True(t, o.client.current.Registered)
			require.NoError(t, o.client.step(t.Context(), server))
			require.Equal(t, 1, at.Count(devas.EndpointRegistration))
		})
	}
}

// TestPATOwner: the PAT of a client that has been replaced is given to nobody.
func TestPATOwner(t *testing.T) {
	t.Parallel()
	o, _ := newTestOwners(t, "id: rs, secret: s")
	require.NoError(t, o.client.useGiven(t.Context()))
	before := o.client.current
	o.pat.changed(t.Context(), before, as.Token{Value: secret.New("first")})
	require.Equal(t, "first", o.pat.board.read().PAT.Value.Reveal())
	o.client.drop()
	o.pat.changed(t.Context(), before, as.Token{Value: secret.New("second")})
	require.True(t, o.pat.board.read().PAT.Value.IsZero())
}

// TestResourcesOwner: they are compared when that is due, and at once for another
// client.
func TestResourcesOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, at := newTestOwners(t, "register: {}")
		require.NoError(t, o.pass(t.Context()))
		require.Len(t, o.resources.board.read().ResourceIDs, 1)
		asked := at.Count(devas.EndpointResources)
		require.NoError(t, o.pass(t.Context()))
		require.Equal(t, asked, at.Count(devas.EndpointResources), "nothing is due")

		again := *o.client.current
		o.client.current = &again
		require.NoError(t, o.pass(t.Context()))
		require.Greater(t, at.Count(devas.EndpointResources), asked)

		asked = at.Count(devas.EndpointResources)
		time.Sleep(time.Until(o.resources.due))
		require.NoError(t, o.pass(t.Context()))
		require.Greater(t, at.Count(devas.EndpointResources), asked)
	})
}

// TestRefusedTrialLeavesNothing: what a refused trial found out is not what the worker in
// use, a replica that follows it, or the next start begin with; what a good one found is.
func TestRefusedTrialLeavesNothing(t *testing.T) {
	t.Parallel()
	o, server := newTestOwners(t, "register: {}")
	require.NoError(t, o.pass(t.Context()))
	kept := o.discovery.store.(Store)
	state := func() (store.Discovery, store.PAT) {
		d, err := kept.Discovery(t.Context(), o.client.key)
		require.NoError(t, err)
		p, err := kept.PAT(t.Context(), o.client.key)
		require.NoError(t, err)
		return d, p
	}
	try := func(s *site.Site) error {
		w, err := NewWorker(Options{Site: s, Store: kept, Logger: slog.New(slog.DiscardHandler), Transport: handled{server}})
		require.NoError(t, err)
		return w.Try(t.Context(), true, false)
	}
	found, pat := state()
	wrong := *o.client.site
	wrong.AuthorizationServer.Endpoints.Permission = "http://127.0.0.1:1/nothing-is-here"
	require.Error(t, try(&wrong))
	foundAfter, patAfter := state()
	require.Equal(t, string(found.Metadata), string(foundAfter.Metadata))
	require.True(t, pat.Value.Equal(patAfter.Value))

	right := *o.client.site
	right.AuthorizationServer.Timeout *= 2
	require.NoError(t, try(&right))
	_, patAfter = state()
	require.False(t, pat.Value.Equal(patAfter.Value), "it begins with what was tried")
}

// TestSecretOfAnotherProcess: a secret that another process, or a trial, has put into the
// store is used.
func TestSecretOfAnotherProcess(t *testing.T) {
	t.Parallel()
	o, _ := newTestOwners(t, "register: {}")
	require.NoError(t, o.pass(t.Context()))
	stored, err := o.client.store.Client(t.Context(), o.client.key)
	require.NoError(t, err)
	stored.Secret = secret.New("another")
	require.NoError(t, o.client.store.PutClient(t.Context(), o.client.key, stored))
	server, err := o.discovery.step(t.Context())
	require.NoError(t, err)
	require.NoError(t, o.client.obtain(t.Context(), server))
	require.True(t, o.client.current.secret.Equal(stored.Secret))
	before := o.client.current
	require.NoError(t, o.client.obtain(t.Context(), server))
	require.Same(t, before, o.client.current, "once")
}
