package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/e2e/pki"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestRealEnvoyOfAGroupStartsFromLastGood: an agent that is let in by its Envoy's client
// certificate keeps what is good for the group that this is of, and no more. A real Envoy
// starts from it. When the certificate is of no group any more, nothing is kept.
func TestRealEnvoyOfAGroupStartsFromLastGood(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(api.Close)
	as := servertest.StartAS(t, devas.Options{})
	m := newMutual(t, as, api.URL)
	address, reservation, err := port.Reserve("127.0.0.1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, reservation.Close()) })
	k := &kept{plane: m.plane, file: keptIn(t)}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.log.String())
		}
	})
	text, err := os.ReadFile(m.Path())
	require.NoError(t, err)
	m.Write(strings.NewReplacer(
		`xds: "127.0.0.1:0"`, fmt.Sprintf("xds: %q", address), `listener: "127.0.0.1:0"`, fmt.Sprintf("listener: \"127.0.0.1:0\"\n  last_good: %q", k.file),
	).Replace(string(text)))
	m.envoyFiles(m.ca, m.ca, pki.Leaf{Names: []string{edgeName}})
	k.bootstrap = m.bootstrap("one", "internal", address) // what it says itself does not count

	m.Start()
	k.agent()
	starting, _ := k.envoy(binary)
	e := k.ready(starting)
	s := m.Until("Envoy and agent have everything", func(s server.Status) bool {
		return s.OK && s.Groups[0].Current == 1 && len(s.Agents) == 1 && agentCurrent(s)
	})
	require.Equal(t, []string{"edge", edgeName}, append([]string{s.Agents[0].Group}, s.Agents[0].Certificate...))
	require.Zero(t, s.Groups[1].Connected)
	e.requireTicket("/albums/1")

	// Control plane and Envoy go; Envoy comes again.
	m.Stop()
	e.Kill()
	starting, _ = k.envoy(binary)
	e = k.ready(starting)
	e.requireTicket("/albums/2")
	dump, err := e.ConfigDump(t.Context())
	require.NoError(t, err)
	require.Contains(t, dump, "umagate/photos/pat")
	require.NotContains(t, dump, "umagate/files/", "another group's")

	// The control plane comes back, and is followed.
	m.Start()
	m.Until("Envoy and agent have everything", func(s server.Status) bool {
		return s.OK && s.Groups[0].Current == 1 && len(s.Agents) == 1 && agentCurrent(s)
	})
	e.requireTicket("/albums/3")

	// The certificate is of nobody's group any more.
	next := pki.New(t, "another")
	m.envoyFiles(next, next, pki.Leaf{Names: []string{"spiffe://example.com/other/1"}})
	m.serverFiles(next)
	m.Until("it is turned away", func(s server.Status) bool { return len(s.TurnedAway) > 0 })
	require.Eventually(t, func() bool { _, err := os.Stat(k.file); return os.IsNotExist(err) }, servertest.Within, servertest.Within/1000)
	e.requireTicket("/albums/4") // what Envoy had stays
}

// agentCurrent reports whether the agent has acknowledged what it was sent.
func agentCurrent(s server.Status) bool {
	state := s.Agents[0].Types["last_good"]
	return s.Agents[0].Connected && state.Sent != "" && state.Acknowledged == state.Sent
}
