package as

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryCallHasItsOperation: a metric of the control plane is by operation.
func TestEveryCallHasItsOperation(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	calls := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			if kind, ok := made.Type.(*ast.Ident); !ok || kind.Name != "call" {
				return true
			}
			calls++
			first, ok := made.Elts[0].(*ast.KeyValueExpr)
			require.True(t, ok)
			key, ok := first.Key.(*ast.Ident)
			require.True(t, ok)
			require.Equal(t, "operation", key.Name, "%s", set.Position(made.Pos()))
			return true
		})
	}
	require.Greater(t, calls, 15)
}
