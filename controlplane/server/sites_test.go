package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// TestHostOfASiteThatIsGone: where unknown hosts pass, taking a site out opens
// nothing until the file says so.
func TestHostOfASiteThatIsGone(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	two := "unknown_hosts: allow\n" + p.config(as.Issuer(), "albums") + fmt.Sprintf(`
- name: files
  hosts: [files.example.com, "*.files.example.com"]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: %s, client: {register: {}}}
  resources: [{name: all, conditions: [{paths: ["/**"], scopes: [view]}]}]
`, as.Issuer())
	one := "unknown_hosts: allow\n" + p.config(as.Issuer(), "albums")
	p.Write(two)
	p.Start()
	first := p.Until("all is well", allWell)

	p.Write(one)
	denied := func(s server.Status) bool {
		return len(s.Sites) == 1 && len(s.Conditions) == 2 && strings.Contains(s.Conditions[0].Message, "host *.files.example.com is denied: its site files is gone")
	}
	s := p.Until("it is told that the hosts stay denied", denied)
	require.NotEqual(t, first.Revision, s.Revision)
	require.Contains(t, p.Log.String(), "it stays denied until released_hosts names it")

	// Another process knows it too.
	p.Stop()
	p.Start()
	p.Until("it is told after a restart", denied)
	p.Write("released_hosts: [files.example.com, \"*.FILES.example.com\"]\n" + one)
	p.Until("released", allWell)
	p.Write(one)
	p.Until("it is forgotten", func(s server.Status) bool {
		return s.OK && strings.Count(p.Log.String(), "configuration file taken over") >= 3
	})

	// The same, where unknown hosts are denied, is nothing special.
	p.Write(strings.ReplaceAll(two, "unknown_hosts: allow\n", ""))
	p.Until("two again", func(s server.Status) bool { return s.OK && len(s.Sites) == 2 })
	p.Write(strings.ReplaceAll(one, "unknown_hosts: allow\n", ""))
	p.Until("one again", func(s server.Status) bool { return s.OK && len(s.Sites) == 1 })
	p.Write(one)
	p.Until("denied, since it was guarded", denied)
}

// TestSecretFileThatComesLater: the file is read anew when what it names appears.
func TestSecretFileThatComesLater(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{Clients: []devas.Client{{ID: "rs", Secret: "rs-secret"}}})
	p := newPlane(t)
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	p.Until("all is well", allWell)
	p.Write(strings.Replace(p.config(as.Issuer(), "albums"), "{register: {}}", "{id: rs, secret: {file: later}}", 1))
	p.Until("the file is refused", func(s server.Status) bool { return strings.Contains(said(s, health.ConfigurationRefused), "later") })
	require.NoError(t, os.WriteFile(filepath.Join(p.Dir, "later"), []byte("rs-secret"), 0o600))
	p.Until("it is there now", func(s server.Status) bool { return !has(s, health.ConfigurationRefused) && s.Sites[0].ClientID == "rs" })
	code, _ := p.Get("/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, p.Log.String(), "resource changed at the authorization server")
}
