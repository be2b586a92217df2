package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/umagate/umagate"

// room is a row of ARCHITECTURE's table of packages.
type room struct {
	packages []string // those that the row is about, and what is below them
	may      []string // what they may import, as written
}

var (
	tableRow = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| [^|]* \\|([^|\n]*)\\|$")
	quoted   = regexp.MustCompile("`([^`]+)`")
)

func rooms(t *testing.T) []room {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "\n## The rooms\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	var list []room
	for _, row := range tableRow.FindAllStringSubmatch(section, -1) {
		var r room
		for _, name := range quoted.FindAllStringSubmatch(row[1], -1) {
			r.packages = append(r.packages, name[1])
		}
		for term := range strings.SplitSeq(row[2], ",") {
			if term = strings.TrimSpace(term); term != "" {
				r.may = append(r.may, term)
			}
		}
		list = append(list, r)
	}
	require.NotEmpty(t, list)
	return list
}

// isBelow reports whether a package is another, or in a folder of it.
func isBelow(name, other string) bool { return name == other || strings.HasPrefix(name, other+"/") }

// covers reports whether the row has a package: it names it or a folder that it is
// in. Of the two programs it is the program alone.
func (r room) covers(name string) bool {
	return slices.ContainsFunc(r.packages, func(p string) bool {
		return name == p || p != "plugin" && p != "controlplane" && isBelow(name, p)
	})
}

// means reports whether a term of the last column means a package.
func means(term, name string) bool {
	return isBelow(name, term) || isBelow(name, "plugin/"+term) || isBelow(name, "controlplane/"+term)
}

// imports returns every package of this repository, with those of this repository
// that it imports in either program: native, or as WebAssembly.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := map[string][]string{}
	for _, program := range []struct {
		packages string
		env      []string
	}{
		{packages: "./..."},
		{packages: "./plugin/...", env: []string{"GOOS=wasip1", "GOARCH=wasm"}},
	} {
		command := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", program.packages)
		command.Dir = filepath.Join("..", "..")
		command.Env = append(os.Environ(), program.env...)
		out, err := command.Output()
		require.NoError(t, err)
		for line := range strings.Lines(string(out)) {
			words := strings.Fields(line)
			name := strings.TrimPrefix(words[0], module+"/")
			list[name] = slices.Clip(list[name]) // there, though it may import nothing
			for _, path := range words[1:] {
				if imported, ours := strings.CutPrefix(path, module+"/"); ours && !slices.Contains(list[name], imported) {
					list[name] = append(list[name], imported)
				}
			}
		}
	}
	return list
}

// rowOf returns the row of a package: the one that names it, or else the longest
// folder of the demo, the test suites or envoy that it is in.
func rowOf(list []room, name string) (room, bool) {
	for {
		if i := slices.IndexFunc(list, func(r room) bool { return slices.Contains(r.packages, name) }); i >= 0 {
			return list[i], true
		}
		parent := strings.LastIndexByte(name, '/')
		top, _, _ := strings.Cut(name, "/")
		if parent < 0 || !slices.Contains([]string{"demo", "e2e", "envoy"}, top) {
			return room{}, false
		}
		name = name[:parent]
	}
}

func TestArchitectureHasEveryPackage(t *testing.T) {
	list := rooms(t)
	for name, imported := range imports(t) {
		r, found := rowOf(list, name)
		if !assert.True(t, found, "the table of rooms has no %s", name) {
			continue
		}
		for _, other := range imported {
			if other == "controlplane/secret" && !strings.HasPrefix(name, "plugin") {
				continue
			}
			allowed := r.covers(other) || slices.ContainsFunc(r.may, func(term string) bool { return means(term, other) })
			assert.True(t, allowed, "%s must not import %s", name, other)
		}
	}
}

func TestArchitectureRowsAreTrue(t *testing.T) {
	all := imports(t)
	for _, r := range rooms(t) {
		var imported []string
		for _, name := range r.packages {
			assert.DirExists(t, filepath.Join("..", "..", filepath.FromSlash(name)))
		}
		for name, list := range all {
			if r.covers(name) {
				imported = append(imported, list...)
			}
		}
		for _, term := range r.may {
			assert.True(t, slices.ContainsFunc(imported, func(name string) bool { return means(term, name) }),
				"%s: nothing there imports %s", strings.Join(r.packages, ", "), term)
		}
	}
}

// placed finds a function and the file that a document says it is in.
var placed = regexp.MustCompile("`([A-Za-z.]+)` \\(`((?:plugin|controlplane|envoy|e2e)/[a-z0-9_/]+\\.go)`\\)")

func TestArchitectureNamesFunctions(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	require.NoError(t, err)
	flat := strings.Join(strings.Fields(string(text)), " ")
	found := placed.FindAllStringSubmatch(flat, -1)
	require.Greater(t, len(found), 10)
	for _, match := range found {
		_, name, method := strings.Cut(match[1], ".")
		if !method {
			name = match[1]
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", filepath.FromSlash(match[2])), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(file.Decls, func(d ast.Decl) bool {
			f, ok := d.(*ast.FuncDecl)
			return ok && f.Name.Name == name
		}), "%s has no %s", match[2], match[1])
	}
}
