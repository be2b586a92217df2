package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"

	"github.com/umagate/umagate/controlplane/health"
)

// testsOf are the tests that make faults, from the folder of the catalogue.
const testsOf = "../server/*_test.go"

// comparing is what a test calls that has somebody make requests, and somebody look at
// status, while it makes faults.
const comparing = "comeAgain"

// test is one that makes a fault.
type test struct{ condition, name string }

// tried lists the conditions whose fault a test makes, by name.
func tried(pattern string) ([]test, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	var out []test
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("read a test: %w", err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				out = append(out, triedBy(f)...)
			}
		}
	}
	slices.SortFunc(out, func(a, b test) int { return cmp.Or(cmp.Compare(a.condition, b.condition), cmp.Compare(a.name, b.name)) })
	return slices.Compact(out), nil
}

// triedBy lists the conditions that a test names, if it compares.
func triedBy(f *ast.FuncDecl) []test {
	compares := false
	var out []test
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			called, ok := n.Fun.(*ast.Ident)
			compares = compares || ok && called.Name == comparing
		case *ast.SelectorExpr:
			if of, ok := n.X.(*ast.Ident); ok && of.Name == "health" && isKind(n.Sel.Name) {
				out = append(out, test{n.Sel.Name, f.Name.Name})
			}
		}
		return true
	})
	if !compares {
		return nil
	}
	return out
}

func isKind(name string) bool {
	return slices.ContainsFunc(health.Kinds(), func(k health.Kind) bool { return k.Name == name })
}
