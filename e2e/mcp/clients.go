package mcp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions of the clients, of the suite that tests servers, and of the Node.js that runs
// the latter and the client for TypeScript.
const (
	PythonVersion      = "2.3.0"
	TypeScriptVersion  = "1.32.2"
	ConformanceVersion = "0.1.16"
	NodeVersion        = "22.23.3"
)

// ErrNotInstalled means that the clients have not been fetched.
var ErrNotInstalled = errors.New("the clients of MCP are not here: make mcp-clients")

// Clients are where the clients are.
type Clients struct {
	// Python is an interpreter that has the package mcp, Node a Node.js.
	Python, Node string
	// Modules is the folder that has node_modules.
	Modules string
	// Conformance is the program of @modelcontextprotocol/conformance, for Node.
	Conformance string
}

// modules is the folder of all that npm fetches, by the versions.
func modules(base string) string {
	return filepath.Join(base, "npm-"+TypeScriptVersion+"-"+ConformanceVersion+"-"+NodeVersion)
}

func folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the clients of MCP: %w", err)
	}
	return filepath.Join(cache, "umagate", "mcp-clients"), nil
}

// Find returns the clients that Install has fetched.
func Find() (Clients, error) {
	base, err := folder()
	if err != nil {
		return Clients{}, err
	}
	found := Clients{
		Python:  filepath.Join(base, "mcp-"+PythonVersion, "bin", "python"),
		Modules: modules(base),
	}
	found.Node = filepath.Join(found.Modules, "node_modules", "node", "bin", "node")
	found.Conformance = filepath.Join(found.Modules, "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
	for _, name := range []string{found.Python, found.Node, found.Conformance, filepath.Join(filepath.Dir(found.Python), "mcp")} {
		if _, err := os.Stat(name); err != nil {
			return Clients{}, ErrNotInstalled
		}
	}
	return found, nil
}

// Install fetches the clients into the user's cache.
func Install(ctx context.Context) (Clients, error) {
	if found, err := Find(); err == nil {
		return found, nil
	}
	base, err := folder()
	if err != nil {
		return Clients{}, err
	}
	environment := filepath.Join(base, "mcp-"+PythonVersion)
	folder := modules(base)
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // public packages
		return Clients{}, fmt.Errorf("make the folder of the clients: %w", err)
	}
	for _, command := range [][]string{
		{"python3", "-m", "venv", environment},
		{filepath.Join(environment, "bin", "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", "mcp==" + PythonVersion},
		// Only the package node has to run something after it was fetched: it fetches the program.
		{
			"npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder,
			"@modelcontextprotocol/sdk@" + TypeScriptVersion, "@modelcontextprotocol/conformance@" + ConformanceVersion, "node@" + NodeVersion,
		},
	} {
		run := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the three above
		if said, err := run.CombinedOutput(); err != nil {
			return Clients{}, fmt.Errorf("%s: %w\n%s", command[0], err, said)
		}
	}
	return Find()
}
