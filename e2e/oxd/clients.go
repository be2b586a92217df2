package oxd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// The versions: the last of each.
const (
	PythonVersion = "3.1.3.1"
	NodeVersion   = "3.1.4"

	pythonHash = "sha256:09f74260064572d93963ea385454c2742dde9307ef26f2d0eafb32126c208f50"
)

// PythonVariable names the environment variable with a Python 2.7, for one that is
// neither in the PATH nor pyenv's.
const PythonVariable = "UMAGATE_PYTHON2"

var (
	// ErrNotInstalled means that the clients have not been fetched.
	ErrNotInstalled = errors.New("the clients of oxd are not here: make oxd-clients")
	// ErrNoPython2 says that there is no Python 2.7; no registry has one.
	ErrNoPython2 = errors.New("oxdpython runs on Python 2.7 only: install one, or set " + PythonVariable)
)

// Clients are where the clients are.
type Clients struct {
	// Python is the folder that has oxdpython, Node the one with node_modules.
	Python, Node string
}

func folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the clients of oxd: %w", err)
	}
	return filepath.Join(cache, "umagate", "oxd-clients"), nil
}

// Find returns the clients that Install has fetched.
func Find() (Clients, error) {
	base, err := folder()
	if err != nil {
		return Clients{}, err
	}
	found := Clients{Python: filepath.Join(base, "oxdpython-"+PythonVersion), Node: filepath.Join(base, "oxd-node-"+NodeVersion)}
	for _, name := range []string{filepath.Join(found.Python, "oxdpython", "client.py"), filepath.Join(found.Node, "node_modules", "oxd-node", "index.js")} {
		if _, err := os.Stat(name); err != nil {
			return Clients{}, ErrNotInstalled
		}
	}
	if _, err := exec.LookPath("node"); err != nil {
		return Clients{}, fmt.Errorf("oxd-node needs Node.js: %w", err)
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
	node := filepath.Join(base, "oxd-node-"+NodeVersion)
	if err := os.MkdirAll(node, 0o755); err != nil { //nolint:gosec // public packages
		return Clients{}, fmt.Errorf("make the folder of the clients: %w", err)
	}
	requirements := filepath.Join(base, "requirements.txt")
	if err := os.WriteFile(requirements, []byte("oxdpython=="+PythonVersion+" --hash="+pythonHash+"\n"), 0o600); err != nil {
		return Clients{}, fmt.Errorf("write what to fetch: %w", err)
	}
	for _, command := range [][]string{
		{"python3", "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", base, "-r", requirements},
		{"tar", "-xzf", filepath.Join(base, "oxdpython-"+PythonVersion+".tar.gz"), "-C", base},
		{"npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", node, "oxd-node@" + NodeVersion},
	} {
		run := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // the three above
		if said, err := run.CombinedOutput(); err != nil {
			return Clients{}, fmt.Errorf("%s: %w\n%s", command[0], err, said)
		}
	}
	return Find()
}

// Python2 finds a Python 2.7 that runs.
func Python2(ctx context.Context) (string, error) {
	candidates := []string{os.Getenv(PythonVariable), "python2.7", "python2"}
	root := os.Getenv("PYENV_ROOT")
	if home, err := os.UserHomeDir(); err == nil && root == "" {
		root = filepath.Join(home, ".pyenv")
	}
	if installed, err := filepath.Glob(filepath.Join(root, "versions", "2.7*", "bin", "python2.7")); err == nil {
		candidates = append(candidates, installed...)
	}
	for _, name := range candidates {
		if name == "" {
			continue
		}
		if exec.CommandContext(ctx, name, "-c", "import ssl, urllib2").Run() == nil { //nolint:gosec // the operator's own programs
			return name, nil
		}
	}
	return "", ErrNoPython2
}
