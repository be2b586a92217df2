// Package pagetest follows a page of the documents in a real mesh: its umagate.yaml is
// written, and its commands are run.
package pagetest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/umagate/umagate/controlplane/cli"
)

// AsUmagate runs the command line where a test's program was called by the name umagate,
// and then does not return. A TestMain calls it first.
func AsUmagate() {
	if filepath.Base(os.Args[0]) == "umagate" {
		os.Exit(cli.Run(context.Background(), cli.Environment{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, LookupEnv: os.LookupEnv}, os.Args[1:]))
	}
}

// Block is fenced text of a page: yaml or sh.
type Block struct{ Kind, Text string }

var fence = regexp.MustCompile("(?m)^```(yaml|sh)\n((?s:.*?))^```$")

// Page follows the page of a name below docs.
type Page struct {
	t      testing.TB
	blocks []Block
	folder string
	path   string
	// Replace is what the page names, and where it is here.
	Replace *strings.Replacer
	// Environment is that of the commands, beyond this program's.
	Environment []string
}

// Open reads a page. programs is a folder of what it calls besides umagate.
func Open(t testing.TB, name, programs string) *Page {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "..", "docs", name)) //nolint:gosec // the repository's own
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{t: t, folder: t.TempDir(), Replace: strings.NewReplacer()}
	for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
		p.blocks = append(p.blocks, Block{Kind: match[1], Text: match[2]})
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(p.folder, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "umagate")); err != nil {
		t.Fatal(err)
	}
	p.path = strings.Join([]string{bin, programs, os.Getenv("PATH")}, string(os.PathListSeparator))
	return p
}

// Folder is where the commands run.
func (p *Page) Folder() string { return p.folder }

// Next follows the next block, and returns it as it was run.
func (p *Page) Next() Block {
	p.t.Helper()
	if len(p.blocks) == 0 {
		p.t.Fatal("the page has no more blocks")
	}
	b := p.blocks[0]
	p.blocks = p.blocks[1:]
	b.Text = p.Replace.Replace(b.Text)
	if b.Kind == "yaml" {
		if err := os.WriteFile(filepath.Join(p.folder, "umagate.yaml"), []byte(b.Text), 0o600); err != nil {
			p.t.Fatal(err)
		}
		return b
	}
	cmd := exec.CommandContext(p.t.Context(), "bash", "-euo", "pipefail", "-c", b.Text) //nolint:gosec // what the page says
	cmd.Dir = p.folder
	cmd.Env = append(append(os.Environ(), "PATH="+p.path), p.Environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%s\n%v\n%s", b.Text, err, out)
	}
	return b
}

// Skip passes over the next block, which a test follows by itself, and returns it.
func (p *Page) Skip() Block {
	p.t.Helper()
	b := p.blocks[0]
	p.blocks = p.blocks[1:]
	return b
}

// End fails where a block was not followed.
func (p *Page) End() {
	p.t.Helper()
	for _, b := range p.blocks {
		p.t.Errorf("nothing follows this block:\n%s", b.Text)
	}
}
