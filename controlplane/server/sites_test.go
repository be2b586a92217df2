package server_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/e2e/devas"
)

// TestHostOfASiteThatIsGone: where unknown hosts pass, taking a site out opens
// nothing until the file says so.
func TestHostOfASiteThatIsGone(t *testing.T) {
	t.Parallel()
	as := startAS(t, devas.Options{})
	p := newPlane(t)
	two := "unknown_hosts: allow\n" + p.config(as.Issuer(), "albums") + fmt.Sprintf(`
- name: files
  hosts: [files.example.com, "*.files.example.com"]
  upstream: http://127.0.0.1:1
  authorization_server: {issuer: %s, client: {register: {}}}
  resources: [{name: all, conditions: [{paths: ["/**"], scopes: [view]}]}]
`, as.Issuer())
	one := "unknown_hosts: allow\n" + p.config(as.Issuer(), "albums")
	p.write(two)
	p.start()
	first := p.until("all is well", allWell)

	p.write(one)
	denied := func(s server.Status) bool {
		return len(s.Sites) == 1 && len(s.Problems) == 2 && strings.Contains(s.Problems[0], "host *.files.example.com is denied: its site files is gone")
	}
	s := p.until("it is told that the hosts stay denied", denied)
	require.NotEqual(t, first.Revision, s.Revision)
	require.Contains(t, p.log.String(), "it stays denied until released_hosts names it")

	// Another process knows it too.
	p.stop()
	p.start()
	p.until("it is told after a restart", denied)
	p.write("released_hosts: [files.example.com, \"*.FILES.example.com\"]\n" + one)
	p.until("released", allWell)
	p.write(one)
	p.until("it is forgotten", func(s server.Status) bool {
		return s.OK && strings.Count(p.log.String(), "configuration file taken over") >= 3
	})

	// The same, where unknown hosts are denied, is nothing special.
	p.write(strings.ReplaceAll(two, "unknown_hosts: allow\n", ""))
	p.until("two again", func(s server.Status) bool { return s.OK && len(s.Sites) == 2 })
	p.write(strings.ReplaceAll(one, "unknown_hosts: allow\n", ""))
	p.until("one again", func(s server.Status) bool { return s.OK && len(s.Sites) == 1 })
	p.write(one)
	p.until("denied, since it was guarded", denied)
}

// TestSecretFileThatComesLater: the file is read anew when what it names appears.
func TestSecretFileThatComesLater(t *testing.T) {
	t.Parallel()
	as := startAS(t, devas.Options{Clients: []devas.Client{{ID: "rs", Secret: "rs-secret"}}})
	p := newPlane(t)
	p.write(p.config(as.Issuer(), "albums"))
	p.start()
	p.until("all is well", allWell)
	p.write(strings.Replace(p.config(as.Issuer(), "albums"), "{register: {}}", "{id: rs, secret: {file: later}}", 1))
	p.until("the file is refused", func(s server.Status) bool { return strings.Contains(s.ReloadError, "later") })
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "later"), []byte("rs-secret"), 0o600))
	p.until("it is there now", func(s server.Status) bool { return s.ReloadError == "" && s.Sites[0].ClientID == "rs" })
	code, _ := p.get("/readyz")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, p.log.String(), "resource changed at the authorization server")
}
