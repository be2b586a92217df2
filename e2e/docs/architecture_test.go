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

	"github.com/stretchr/testify/require"
)

const module = "github.com/umagate/umagate"

// room is a row of ARCHITECTURE's table of packages.
type room struct{ may []string }

// mayImport reports whether the row lets a package of this repository be imported.
func (r room) mayImport(name string) bool {
	return slices.ContainsFunc(r.may, func(term string) bool {
		return slices.ContainsFunc([]string{term, "plugin/" + term, "controlplane/" + term}, func(allowed string) bool {
			return name == allowed || strings.HasPrefix(name, allowed+"/")
		})
	})
}

var (
	tableRow = regexp.MustCompile("(?m)^\\| (`[^|]+`) \\| [^|]* \\|([^|\n]*)\\|$")
	quoted   = regexp.MustCompile("`([^`]+)`")
)

func rooms(t *testing.T) map[string]room {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "ARCHITECTURE.md"))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), "\n## The rooms\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	list := map[string]room{}
	for _, row := range tableRow.FindAllStringSubmatch(section, -1) {
		var may []string
		for term := range strings.SplitSeq(row[2], ",") {
			if term = strings.TrimSpace(term); term != "" {
				may = append(may, term)
			}
		}
		for _, name := range quoted.FindAllStringSubmatch(row[1], -1) {
			list[name[1]] = room{may: may}
		}
	}
	require.NotEmpty(t, list)
	return list
}

func TestArchitectureHasEveryPackage(t *testing.T) {
	command := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", "./...")
	command.Dir = filepath.Join("..", "..")
	out, err := command.Output()
	require.NoError(t, err)
	list := rooms(t)
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		name := strings.TrimPrefix(words[0], module+"/")
		parts := strings.Split(name, "/")
		switch {
		case name == "plugin" || name == "controlplane":
			continue // the two programs
		case parts[0] == "envoy":
			name = parts[0]
		case parts[0] == "e2e":
			name = strings.Join(parts[:2], "/")
		}
		r, ok := list[name]
		require.True(t, ok, "the table of rooms has no %s", name)
		if parts[0] != "plugin" && parts[0] != "controlplane" {
			continue
		}
		for _, path := range words[1:] {
			imported, ours := strings.CutPrefix(path, module+"/")
			below := strings.HasPrefix(imported, name+"/")
			if !ours || below || imported == "controlplane/secret" && parts[0] == "controlplane" {
				continue
			}
			require.True(t, r.mayImport(imported), "%s must not import %s", name, imported)
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
