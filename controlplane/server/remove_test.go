package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

func TestDeregisterBesideServe(t *testing.T) {
	t.Parallel()
	for name, dialect := range map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			as := servertest.StartAS(t, devas.Options{Dialect: dialect})
			p := newPlane(t)
			p.Write(p.config(as.Issuer(), "albums", "people"))
			p.Start()
			first := p.Until("all is well", allWell)

			m := p.operation()
			planned, err := m.PlanRemoval(t.Context())
			require.NoError(t, err)
			require.Equal(t, first.Sites[0].ClientID, planned.ClientID)
			require.ElementsMatch(t, []string{"albums", "people"}, planned.Resources)
			require.Len(t, as.Resources(), 2, "nothing is removed by looking")
			left, err := m.Remove(t.Context(), false)
			require.NoError(t, err)
			require.Empty(t, left)
			require.Empty(t, as.Resources())
			require.Equal(t, 1, answered(as, http.MethodDelete, http.StatusNoContent))
			told := p.audited("action=site.deregister")
			require.Len(t, told, 1)
			require.Equal(t, []any{"photos", as.Issuer(), audit.Done, "2", "0"},
				[]any{told[0].Site, told[0].Target, told[0].Outcome, told[0].Detail["resources"], told[0].Detail["instances"]})
			require.Len(t, p.audited("action=client.remove"), 1)
			require.Len(t, p.audited("action=resource.delete"), 2)
			require.NotContains(t, p.Log.String(), `resource_id=""`)
			require.Contains(t, p.Log.String(), "change=created resource=albums resource_id=")
			keys, err := p.store().Keys(t.Context())
			require.NoError(t, err)
			require.Empty(t, keys)

			s := p.Until("the running control plane leaves it alone", func(s server.Status) bool {
				return s.Sites[0].Phase == registration.Deregistered && s.Sites[0].Failure != nil && strings.Contains(s.Sites[0].Failure.Remedy, "umagate apply")
			})
			require.Empty(t, s.Sites[0].ClientID)
			attempts := s.Sites[0].Failure.Attempts
			p.Until("for good", func(s server.Status) bool {
				return s.Sites[0].Failure != nil && s.Sites[0].Failure.Attempts > attempts+5
			})
			p.Stop()
			p.Start()
			p.Until("after a restart, too", func(s server.Status) bool {
				return s.Sites[0].Phase == registration.Deregistered && s.Sites[0].Failure != nil
			})
			require.Equal(t, 1, answered(as, http.MethodPost, http.StatusCreated))
			_, err = p.operation().PlanRemoval(t.Context())
			require.ErrorIs(t, err, registration.ErrNothingRegistered)

			_, _, err = p.operation().Apply(t.Context(), nil)
			require.NoError(t, err)
			again := p.Until("registered again on request", allWell)
			require.NotEqual(t, first.Sites[0].ClientID, again.Sites[0].ClientID)
			require.Len(t, as.Resources(), 2)
		})
	}
}

func TestDeregisterInstances(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	_, _, err := p.operation().Apply(t.Context(), nil)
	require.NoError(t, err)
	instances := p.store()
	for i := range 3 {
		in := store.Instance{Name: fmt.Sprintf("album-%d", i), Template: "album-{id}", State: store.InstanceRegistered, Spec: json.RawMessage(`{}`)}
		switch i {
		case 0:
			in.ID = as.Resources()[0].ID // one that the AS has
		case 1:
			in.ID = "long-gone"
		}
		_, _, err := instances.AddInstance(t.Context(), p.key(as), in)
		require.NoError(t, err)
	}
	m := p.operation()
	planned, err := m.PlanRemoval(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, planned.Instances)
	_, err = m.Remove(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, as.Resources())
	left, err := instances.Instances(t.Context(), p.key(as), "", "", 10)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestDeregisterAGivenClient(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{Registration: devas.RegistrationOff, Clients: []devas.Client{{
		ID: "rs", Secret: "rs-secret-1", Metadata: devas.Metadata{GrantTypes: []string{"client_credentials"}, Scope: "uma_protection"},
	}}})
	p := newPlane(t)
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "register: {}", "id: rs, secret: rs-secret-1", 1))
	p.Start()
	p.Until("all is well", allWell)
	m := p.operation()
	planned, err := m.PlanRemoval(t.Context())
	require.NoError(t, err)
	require.Empty(t, planned.ClientID)
	_, err = m.Remove(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, as.Resources())
	require.Zero(t, as.Count(devas.EndpointRegistration))
	p.Until("left alone", func(s server.Status) bool { return s.Sites[0].Phase == registration.Deregistered })
	_, _, err = p.operation().Apply(t.Context(), nil)
	require.NoError(t, err)
	p.Until("all is well again", allWell)
}

func TestClientThatStays(t *testing.T) {
	t.Parallel()
	forgetful := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	p.Write(p.config(forgetful.Issuer(), "albums"))
	_, _, err := p.operation().Apply(t.Context(), nil)
	require.NoError(t, err)
	stored, err := p.store().Client(t.Context(), p.key(forgetful))
	require.NoError(t, err)
	stored.URI = ""
	require.NoError(t, p.store().PutClient(t.Context(), p.key(forgetful), stored))
	planned, err := p.operation().PlanRemoval(t.Context())
	require.NoError(t, err)
	require.True(t, planned.Unmanaged)
	_, err = p.operation().Remove(t.Context(), false)
	require.ErrorIs(t, err, registration.ErrClientStays)
	require.Empty(t, forgetful.Resources())
	kept, err := p.store().Client(t.Context(), p.key(forgetful))
	require.NoError(t, err)
	require.Equal(t, store.ClientDeregistering, kept.State)
	_, _, err = p.operation().Apply(t.Context(), nil)
	require.ErrorContains(t, err, "being deregistered")
	left, err := p.operation().Remove(t.Context(), true)
	require.NoError(t, err)
	require.Len(t, left, 1)
	require.Contains(t, left[0], stored.ClientID)
}

// cutter breaks the connection at one request.
type cutter struct {
	next  http.Handler
	after bool

	at   atomic.Int64 // counts down; 0: never
	done atomic.Bool
}

// ServeHTTP gives no answer to the request that is cut.
func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.at.Load() <= 0 || c.at.Add(-1) > 0 {
		c.next.ServeHTTP(w, r)
		return
	}
	c.done.Store(true)
	if c.after {
		c.next.ServeHTTP(httptest.NewRecorder(), r)
	}
	panic(http.ErrAbortHandler)
}

// TestRemovalCutOff fails a removal at each of its calls, before and after the AS
// has acted, and lets another finish it.
func TestRemovalCutOff(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for at := 1; ; at++ {
			server := servertest.StartAS(t, devas.Options{})
			cut := &cutter{next: server, after: after}
			front := httptest.NewServer(cut)
			server.SetIssuer(front.URL)
			p := newPlane(t)
			p.Write(p.config(front.URL, "albums", "people"))
			_, _, err := p.operation().Apply(t.Context(), nil)
			require.NoError(t, err)
			m := p.operation()
			cut.at.Store(int64(at))
			_, err = m.Remove(t.Context(), false)
			if !cut.done.Load() {
				require.NoError(t, err)
				front.Close()
				require.Equal(t, 4, at, "a removal makes three calls")
				break
			}
			if err != nil {
				require.ErrorIs(t, err, as.ErrUnavailable)
				_, err = p.operation().Remove(t.Context(), false)
			}
			require.NoError(t, err, "after %t, cut at call %d", after, at)
			require.Empty(t, server.Resources())
			keys, err := p.store().Keys(t.Context())
			require.NoError(t, err)
			require.Empty(t, keys)
			front.Close()
		}
	}
}
