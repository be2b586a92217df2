// Package module finds the filter's module, umagate.wasm, on this machine.
package module

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
		sum, err := hash(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return Module{}, err
		}
		return Module{Path: path, SHA256: sum}, nil
	}
	return Module{}, fmt.Errorf("%w: neither %s nor %s is there", ErrNotFound, places[0], places[1])
}

func hash(path string) (string, error) {
	file, err := os.Open(path) //nolint:gosec // beside the program that runs
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // only read from
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
