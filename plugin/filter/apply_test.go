package filter

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestOneApplyPoint: nothing but apply.go dispatches, resumes or answers, and nothing
// outside of it calls more of it than apply.
func TestOneApplyPoint(t *testing.T) {
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	files, parsed := token.NewFileSet(), map[string]*ast.File{}
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			parsed[name], err = parser.ParseFile(files, name, nil, 0)
			require.NoError(t, err)
		}
	}
	inside := map[string]bool{}
	for _, d := range parsed["apply.go"].Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name != "apply" {
			inside[f.Name.Name] = true
		}
	}
	acts := 0
	for name, file := range parsed {
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := selector.X.(*ast.Ident)
			called := selector.Sel.Name
			switch {
			case of != nil && of.Name == "proxywasm":
				for _, verb := range []string{"Dispatch", "Resume", "Continue", "Send", "Close"} {
					if strings.HasPrefix(called, verb) {
						acts++
						require.Equal(t, "apply.go", name, "%s calls proxywasm.%s", files.Position(n.Pos()), called)
					}
				}
			case inside[called]:
				require.Equal(t, "apply.go", name, "%s reaches into apply.go: %s", files.Position(n.Pos()), called)
			}
			return true
		})
	}
	require.Equal(t, 4, acts, "dispatches, resumes, answers, and answers for a fault")
}
