package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
)

// TestKilledWithKeys kills -9 the control plane at each call of a registration with
// a key of its own, and while the registration is updated and the key replaced; and
// lets another finish.
func TestKilledWithKeys(t *testing.T) {
	t.Parallel()
	const client = "register: {client_name: %s}, token_endpoint_auth_method: private_key_jwt"
	for _, what := range []string{"registration", "update", "rotation"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, after the AS acted %t", what, after), func(t *testing.T) {
				t.Parallel()
				server, err := devas.New(devas.Options{})
				require.NoError(t, err)
				k := &killer{next: server, after: after}
				front := httptest.NewServer(k)
				t.Cleanup(front.Close)
				server.SetIssuer(front.URL)
				p := newPlane(t)
				p.Write(p.client(front.URL, fmt.Sprintf(client, "first"), "albums"))
				method := http.MethodPost
				if what != "registration" {
					method = http.MethodPut
					begun := startChild(t, p.Path())
					begun.serving()
					begun.end()
					switch what {
					case "update":
						p.Write(p.client(front.URL, fmt.Sprintf(client, "second"), "albums"))
					case "rotation":
						p.newKey(server)
					}
				}
				dead, victim := make(chan struct{}), make(condemned, 1)
				k.arm(0, method, func() { victim.end(dead) })
				victim <- startChild(t, p.Path())
				select {
				case <-dead:
				case <-time.After(3 * servertest.Within):
					require.FailNow(t, "not killed")
				}
				p.finish(server, what, after)
			})
		}
	}
}

// newKey is what "umagate keys rotate" stores first.
func (p *plane) newKey(at *devas.Server) {
	p.T.Helper()
	made, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(p.T, err)
	private, err := made.PEM()
	require.NoError(p.T, err)
	now := time.Now()
	require.NoError(p.T, p.store().PutClientKey(p.T.Context(), p.key(at), store.ClientKey{
		ID: made.ID, Purpose: store.KeySignature, Algorithm: "ES256", State: store.KeyNew, Private: private, CreatedAt: now, StateAt: now,
	}))
}

// finish starts another, and looks at what came of it.
func (p *plane) finish(at *devas.Server, what string, after bool) {
	t := p.T
	next := startChild(t, p.Path())
	next.until(func(s server.Status) bool {
		return s.Sites[0].Phase == registration.Serving && s.Sites[0].Failure == nil
	})
	before := at.Count(devas.EndpointToken)
	at.ExpirePATs()
	s := next.until(func(s server.Status) bool {
		return s.Sites[0].Phase == registration.Serving && s.Sites[0].Failure == nil && at.Count(devas.EndpointToken) > before
	})
	next.end()
	require.Equal(t, []string{"albums"}, names(at))
	for _, c := range at.Calls(devas.EndpointToken) {
		require.Equal(t, http.StatusOK, c.Status, "every assertion was by a key that the AS knew")
	}
	log, err := os.ReadFile(p.Path() + ".log")
	require.NoError(t, err)
	keys, err := p.store().ClientKeys(t.Context(), p.key(at))
	require.NoError(t, err)
	registered := answered(at, http.MethodPost, http.StatusCreated)
	switch {
	case what == "registration" && after:
		// No specification lets a client be found whose answer was lost.
		require.Equal(t, 2, registered)
		require.Contains(t, string(log), "a registration was begun and its answer is not known")
		require.Len(t, keys, 1, "the key is the same")
	case after:
		// The AS has replaced the registration access token, and only its answer had the
		// next one. The client works, and that it cannot be changed is told.
		require.Equal(t, 1, registered)
		require.Contains(t, string(log), "the registration access token was lost")
		require.NotEmpty(t, s.Sites[0].Conditions)
	default:
		require.Equal(t, 1, registered)
		require.Empty(t, s.Sites[0].Conditions)
		if what == "update" {
			require.Equal(t, "second", p.registered(at)["client_name"])
		}
		if what == "rotation" {
			require.Equal(t, store.KeyActive, keys[len(keys)-1].State)
			require.Equal(t, keys[1].ID, s.Sites[0].KeyID)
		}
	}
	require.Zero(t, strings.Count(string(log), "REGISTERED ANEW"))
}
