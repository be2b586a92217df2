package main_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/umagate/umagate"
	sdk    = "github.com/proxy-wasm/proxy-wasm-go-sdk"

	// maxBinary bounds the filter: Envoy compiles all of it before it listens,
	// about 1.5 s of CPU for each MB.
	maxBinary = 4_560_000
)

// goTool runs the go command in the root of the module, for the wasm build.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = ".."
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, "go %v: %s", args, stderr.String())
	return string(out)
}

type goPackage struct {
	ImportPath string
	Standard   bool
	Dir        string
	GoFiles    []string
	Imports    []string
}

func packages(t *testing.T, args ...string) []goPackage {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(goTool(t, append([]string{"list", "-modfile=plugin/wasm.mod", "-json=ImportPath,Standard,Dir,GoFiles,Imports"}, args...)...)))
	var list []goPackage
	for decoder.More() {
		var p goPackage
		require.NoError(t, decoder.Decode(&p))
		list = append(list, p)
	}
	require.NotEmpty(t, list)
	return list
}

// TestWhatTheFilterImports: everything below plugin is compiled by every Envoy
// worker.
func TestWhatTheFilterImports(t *testing.T) {
	allowed := []string{sdk, "filippo.io/edwards25519", "github.com/tidwall/gjson", "github.com/tidwall/match", "github.com/tidwall/pretty", module + "/plugin"}
	banned := []string{"net", "net/http", "log", "log/slog", "crypto/tls", "crypto/rsa", "crypto/ecdsa", "text/template", "html/template", "os/exec", "testing"}
	for _, p := range packages(t, "-deps", "./plugin") {
		if p.Standard {
			require.NotContains(t, banned, p.ImportPath)
			continue
		}
		require.True(t, slices.ContainsFunc(allowed, func(a string) bool {
			return p.ImportPath == a || strings.HasPrefix(p.ImportPath, a+"/")
		}), "the filter must not import %s", p.ImportPath)
	}
}

// TestWhoImportsTheABI: the core knows neither Envoy nor the time, nor anything
// else of the world outside.
func TestWhoImportsTheABI(t *testing.T) {
	core := []string{"decision", "route", "scope", "config", "uma", "internal/strictjson"}
	world := []string{"os", "io", "context", "math/rand", "math/rand/v2", "crypto/rand", "sync", "runtime", "unsafe", "syscall"}
	seen := 0
	for _, p := range packages(t, "./plugin/...") {
		name := strings.TrimPrefix(p.ImportPath, module+"/plugin/")
		isCore := slices.Contains(core, name)
		if isCore {
			seen++
		}
		for _, i := range p.Imports {
			if strings.HasPrefix(i, sdk) {
				require.Contains(t, []string{module + "/plugin", module + "/plugin/filter"}, p.ImportPath, "imports the proxy-wasm SDK")
			}
			if isCore {
				require.NotContains(t, world, i, p.ImportPath)
			}
		}
		if isCore {
			requireNoClock(t, p)
		}
	}
	require.Equal(t, len(core), seen)
}

func requireNoClock(t *testing.T, p goPackage) {
	t.Helper()
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := selector.X.(*ast.Ident); ok && x.Name == "time" {
				require.NotContains(t, []string{"Now", "Since", "Until", "After", "Sleep", "Tick", "NewTimer", "NewTicker"}, selector.Sel.Name,
					"%s asks for the time, which comes in as an argument", files.Position(n.Pos()))
			}
			return true
		})
	}
}

// TestWasmModule: the module file of the wasm build has the versions of go.mod.
func TestWasmModule(t *testing.T) {
	type modFile struct {
		Module  struct{ Path string }
		Go      string
		Require []struct{ Path, Version string }
	}
	read := func(file string) (m modFile) {
		require.NoError(t, json.Unmarshal([]byte(goTool(t, "mod", "edit", "-json", file)), &m))
		return m
	}
	whole, wasm := read("go.mod"), read("plugin/wasm.mod")
	require.Equal(t, whole.Module, wasm.Module)
	require.Equal(t, whole.Go, wasm.Go)
	versions := map[string]string{}
	for _, r := range whole.Require {
		versions[r.Path] = r.Version
	}
	require.NotEmpty(t, wasm.Require)
	for _, r := range wasm.Require {
		require.Equal(t, versions[r.Path], r.Version, "%s: plugin/wasm.mod differs from go.mod", r.Path)
	}
}

// TestBinarySize: every dependency is paid for at Envoy's start.
func TestBinarySize(t *testing.T) {
	file, err := os.Stat("../build/umagate.wasm")
	require.NoError(t, err, "the filter is not built: run `make wasm`")
	require.LessOrEqual(t, file.Size(), int64(maxBinary))
}
