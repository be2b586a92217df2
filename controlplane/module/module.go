// Package module finds the filter's module, umagate.wasm, on this machine.
package module

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/umagate/umagate/plugin/config"
)

// Name is the file's name.
const Name = "umagate.wasm"

// ErrNotFound says that there is no module where [Find] looks.
var ErrNotFound = errors.New("no " + Name + " found")

// Module is a module that was found.
type Module struct {
	Path string `json:"path"`
	// SHA256 is in hexadecimal, as plugin.sha256 in umagate.yaml and sha256sum have it.
	SHA256 string `json:"sha256"`
	// Build is what Envoys report of it, and no other build; empty for a module that says
	// nothing of itself.
	Build string `json:"build,omitempty"`
}

// Find returns the module that came with a program: the file beside it, as in
// build/, an archive and an image, or the one in ../share/umagate, as in a package.
// program is what [os.Executable] returns.
func Find(program string) (Module, error) {
	program, err := filepath.EvalSymlinks(program)
	if err != nil {
		return Module{}, fmt.Errorf("looking for %s: %w", Name, err)
	}
	folder := filepath.Dir(program)
	places := []string{filepath.Join(folder, Name), filepath.Join(filepath.Dir(folder), "share", "umagate", Name)}
	for _, path := range places {
		found, err := read(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Module{}, err
		}
		return found, nil
	}
	return Module{}, fmt.Errorf("%w: neither %s nor %s is there", ErrNotFound, places[0], places[1])
}

func read(path string) (Module, error) {
	text, err := os.ReadFile(path) //nolint:gosec // beside the program that runs
	if err != nil {
		return Module{}, err
	}
	sum := sha256.Sum256(text)
	return Module{Path: path, SHA256: hex.EncodeToString(sum[:]), Build: build(text)}, nil
}

// build returns what a module says that it is.
func build(module []byte) string {
	_, after, ok := bytes.Cut(module, []byte(config.BuildMark))
	if !ok || len(after) < config.BuildSize {
		return ""
	}
	return string(after[:config.BuildSize])
}
