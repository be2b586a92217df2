package config_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

var update = flag.Bool("update", false, "write the golden file anew")

// TestLevel: what a configuration may have is that of the level. A filter refuses what
// came after it, so that who adds something raises config.Level, and has the list written
// anew by -update.
func TestLevel(t *testing.T) {
	t.Parallel()
	const golden = "testdata/contract.txt"
	got := fmt.Sprintf("version %d, level %d\n%s\n", config.Version, config.Level, strings.Join(contract(t), "\n"))
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "the contract has changed: raise config.Level, and run this test with -update")
	require.Less(t, config.Level, 100, "it has two digits")
	require.Contains(t, config.StartsMetric, fmt.Sprintf("%s%02d%s", config.LevelMark, config.Level, config.StartsSuffix))
}

// contract lists the members of a configuration, and the values of its enumerations.
func contract(t *testing.T) []string {
	t.Helper()
	seen := map[string]bool{}
	var walk func(at reflect.Type)
	walk = func(at reflect.Type) {
		switch at.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			walk(at.Elem())
		case reflect.Struct:
			if at.PkgPath() != reflect.TypeFor[config.Config]().PkgPath() || seen["type "+at.Name()] {
				return
			}
			seen["type "+at.Name()] = true
			for field := range at.Fields() {
				name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
				if name != "" && name != "-" {
					seen[at.Name()+"."+name+" "+field.Type.String()] = true
				}
				walk(field.Type)
			}
		default:
		}
	}
	walk(reflect.TypeFor[config.Config]())
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 {
			kind, named := v.Type.(*ast.Ident)
			value, literal := v.Values[0].(*ast.BasicLit)
			if named && literal {
				seen[kind.Name+" "+value.Value] = true
			}
		}
		return true
	})
	out := make([]string, 0, len(seen))
	for line := range seen {
		if !strings.HasPrefix(line, "type ") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return out
}
