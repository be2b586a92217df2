package keycloaktest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak"
)

// Page is a document that a test follows, word by word, with a real Keycloak.
type Page struct {
	// Document is its path from the root of the repository, and Root the way there.
	Root, Document string
	AS             *keycloak.Server
	// Dir is where its commands run, and Env what they find besides.
	Dir string
	Env []string
	// Here puts the addresses of this machine in place of those that the page names.
	Here func(text string) string
	// Configure takes a block of YAML, which is an umagate.yaml.
	Configure func(text string)
	// Instead is what to do in place of a block of commands that do not end.
	Instead map[string]func()
}

var fenced = regexp.MustCompile("(?m)^```(yaml|sh)\n((?s:.*?))^```$")

// Follow does what a section says.
func (p Page) Follow(t *testing.T, section string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(p.Root, filepath.FromSlash(p.Document)))
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(page), "\n## "+section+"\n")
	require.True(t, ok, section)
	text, _, _ = strings.Cut(text, "\n## ")
	blocks := fenced.FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, blocks)
	script := "" // variables of one block are used in the next
	for _, b := range blocks {
		instead, ok := p.Instead[b[2]]
		switch {
		case b[1] == "yaml":
			p.Configure(p.keycloak(b[2]))
		case ok:
			p.run(t, script)
			script = ""
			instead()
		default:
			script += b[2]
		}
	}
	p.run(t, script)
}

// keycloak puts the address of this Keycloak in place of the page's, and then the others.
func (p Page) keycloak(text string) string {
	return p.Here(strings.NewReplacer("http://127.0.0.1:8080/realms", p.AS.URL()+"/realms", "--server http://127.0.0.1:8080", "--server "+p.AS.URL()).Replace(text))
}

func (p Page) run(t *testing.T, script string) {
	t.Helper()
	if script == "" {
		return
	}
	script = p.keycloak(script)
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", script) //nolint:gosec // of the repository's documents
	cmd.Dir = p.Dir
	cmd.Env = append(append(os.Environ(), "HOME="+p.Dir, "KC_ADMIN_PASSWORD=admin", "PATH="+p.AS.Commands()+":"+os.Getenv("PATH")), p.Env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", script, out)
	t.Logf("%s", out)
}
