package server_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/pki"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

const (
	edgeName     = "spiffe://example.com/edge/1"
	internalName = "spiffe://example.com/internal/1"
)

// mutual is a plane with two groups and mTLS, and the files of both sides.
type mutual struct {
	*plane

	ca     *pki.Authority
	folder string // the Envoy's
}

func newMutual(t *testing.T, as *devas.Server, upstream string) *mutual {
	t.Helper()
	m := &mutual{plane: newPlane(t), ca: pki.New(t, "umagate test"), folder: t.TempDir()}
	m.serverFiles(m.ca)
	m.Write(fmt.Sprintf(`
listen:
  api: "127.0.0.1:0"
  xds: "127.0.0.1:0"
  xds_tls: {certificate: xds.crt, key: xds.key, client_ca: ca.crt}
envoy:
  listener: "127.0.0.1:0"
  xds_tls: {certificate: %[4]s/tls.crt, key: %[4]s/tls.key, ca: %[4]s/ca.crt, sds_folder: %[4]s}
plugin: {wasm: %[1]q}
groups:
- {name: edge, match: {san: ["spiffe://example.com/edge/*"]}, sites: [photos]}
- {name: internal, match: {cluster: internal, san: ["spiffe://example.com/internal/*"]}, sites: [files]}
sites:
%[2]s%[3]s`, servertest.Module(t), m.site("photos", as.Issuer(), upstream), m.site("files", as.Issuer(), upstream), m.folder))
	return m
}

func (m *mutual) site(name, issuer, upstream string) string {
	return fmt.Sprintf(`- name: %s
  hosts: [%s.example.com]
  upstream: %s
  authorization_server: {issuer: %s, client: {register: {}}}
  resources: [{name: %s, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
`, name, name, upstream, issuer, name)
}

// serverFiles gives the plane a new certificate of that authority, and makes it
// the one that Envoys are to be of.
func (m *mutual) serverFiles(ca *pki.Authority) {
	m.T.Helper()
	pair := ca.Issue(m.T, pki.Leaf{Names: []string{"127.0.0.1"}})
	pki.Write(m.T, m.Dir, "xds.key", pair.Key)
	pki.Write(m.T, m.Dir, "xds.crt", pair.Certificate)
	pki.Write(m.T, m.Dir, "ca.crt", ca.PEM)
}

// envoyFiles puts a certificate where Envoy looks for it, the certificate last.
func (m *mutual) envoyFiles(trusts, ca *pki.Authority, leaf pki.Leaf) {
	m.T.Helper()
	pair := ca.Issue(m.T, leaf)
	pki.Write(m.T, m.folder, "ca.crt", trusts.PEM)
	pki.Write(m.T, m.folder, "tls.key", pair.Key)
	pki.Write(m.T, m.folder, "tls.crt", pair.Certificate)
}

// bootstrap is that of an Envoy that says that it is of cluster, with its files.
func (m *mutual) bootstrap(id, cluster, controlPlane string) []byte {
	m.T.Helper()
	file, err := site.Load(m.Path())
	require.NoError(m.T, err)
	file.Envoy.XDS = controlPlane
	secrets, err := envoyconf.XDSSecrets(file)
	require.NoError(m.T, err)
	for name, secret := range secrets {
		text, err := protojson.Marshal(secret)
		require.NoError(m.T, err)
		pki.Write(m.T, m.folder, name, text)
	}
	bootstrap, err := envoyconf.Dynamic(file)
	require.NoError(m.T, err)
	bootstrap.Node.Id, bootstrap.Node.Cluster = id, cluster
	text, err := protojson.Marshal(bootstrap)
	require.NoError(m.T, err)
	return text
}

// envoy starts one that says that it is of cluster. It need not get anything.
func (m *mutual) envoy(binary envoy.Binary, id, cluster string) *protected {
	m.T.Helper()
	process := envoytest.Start(m.T, envoy.Options{
		Binary: binary, LogLevel: "info", ReadyTimeout: 2 * servertest.Within, Bootstrap: m.bootstrap(id, cluster, m.XDS),
	})
	return &protected{&servertest.Protected{Process: process, T: m.T, Base: "http://" + envoytest.Address(m.T.Context(), m.T, process, "umagate")}}
}

func (m *mutual) has(s server.Status, id string) *xds.Envoy {
	for i := range s.Envoys {
		if e := &s.Envoys[i]; e.NodeID == id && e.Connected {
			return e
		}
	}
	return nil
}

// TestMutualTLS has real Envoys of two groups, whose certificates are what counts.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	as := servertest.StartAS(t, devas.Options{})
	m := newMutual(t, as, upstream.URL)
	m.Start()
	m.Until("all is well before any Envoy is there", allWell)

	// It is of the group that its certificate says, whatever it says itself.
	m.envoyFiles(m.ca, m.ca, pki.Leaf{Names: []string{edgeName}})
	e := m.envoy(binary, "one", "internal")
	s := m.Until("the group has it all", func(s server.Status) bool { return s.OK && s.Groups[0].Current == 1 })
	require.Equal(t, []string{edgeName}, m.has(s, "one").Certificate)
	require.Equal(t, []string{"edge", "internal"}, []string{s.Groups[0].Name, s.Groups[1].Name})
	require.Zero(t, s.Groups[1].Connected)
	e.requireTicket("/albums/1")
	dump, err := e.ConfigDump(t.Context())
	require.NoError(t, err)
	require.Contains(t, dump, "umagate/photos/pat")
	require.NotContains(t, dump, "umagate/files/", "another group's")

	// Both sides change to another authority. The old one lets nobody stay.
	next := pki.New(t, "another")
	m.envoyFiles(next, next, pki.Leaf{Names: []string{edgeName}})
	m.serverFiles(next)
	since := m.has(s, "one").ConnectedSince
	m.Until("it has connected anew, by the new certificates", func(s server.Status) bool {
		one := m.has(s, "one")
		return s.OK && one != nil && one.ConnectedSince.After(since) && s.Groups[0].Current == 1
	})
	e.requireTicket("/albums/2")

	// A certificate of an authority that is not trusted, and an Envoy that does not trust.
	third, stranger := pki.New(t, "another yet"), pki.New(t, "a stranger")
	m.envoyFiles(third, stranger, pki.Leaf{Names: []string{edgeName}})
	m.serverFiles(third)
	s = m.Until("it is not let in", func(s server.Status) bool { return has(s, health.EnvoyNotLetIn) })
	require.Contains(t, message(s, health.EnvoyNotLetIn), "from 127.0.0.1: ")
	m.envoyFiles(stranger, third, pki.Leaf{Names: []string{edgeName}})
	m.Until("it does not take this one's", func(s server.Status) bool {
		return strings.Contains(message(s, health.EnvoyNotLetIn), "remote error: tls: ")
	})
	m.envoyFiles(third, third, pki.Leaf{Names: []string{edgeName}})
	m.Until("it is let in", func(s server.Status) bool { return s.OK && s.Groups[0].Current == 1 })

	// A certificate of nobody's group: refused, and told of.
	last := pki.New(t, "a third")
	m.envoyFiles(last, last, pki.Leaf{Names: []string{"spiffe://example.com/other/1"}})
	m.serverFiles(last)
	s = m.Until("it is turned away", func(s server.Status) bool { return len(s.TurnedAway) == 1 })
	require.False(t, s.OK)
	require.Equal(t, "one", s.TurnedAway[0].NodeID)
	require.Contains(t, m.Log.String(), "envoy turned away")
	e.requireTicket("/albums/3") // what it had stays

	_, metrics := m.Get("/metrics")
	require.Contains(t, metrics, "umagate_envoys_turned_away 1")
	m.RequireNoSecrets(as)
}
