// Package schemathesis finds, installs and runs Schemathesis, which makes requests
// of an OpenAPI document, and judges the answers by it.
package schemathesis

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is the release that the tests run with.
const Version = "4.32.5"

// BinaryVariable names one that is installed elsewhere.
const BinaryVariable = "UMAGATE_SCHEMATHESIS_BIN"

// ErrMissing means that there is none, and says how to get one.
var ErrMissing = errors.New("there is no Schemathesis: run make schemathesis (Python 3.10 or newer), or name one in " + BinaryVariable)

// Find returns the path of Schemathesis.
func Find() (string, error) {
	if named := os.Getenv(BinaryVariable); named != "" {
		return named, nil
	}
	folder, err := folder()
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "bin", "schemathesis")
	if _, err := os.Stat(path); err != nil {
		return "", ErrMissing
	}
	return path, nil
}

// Install makes a Python environment of its own in umagate's cache folder, by the
// user's own pip and whatever index it is set up with.
func Install(ctx context.Context, progress io.Writer) (string, error) {
	if path, err := Find(); err == nil {
		return path, nil
	}
	folder, err := folder()
	if err != nil {
		return "", err
	}
	for _, command := range [][]string{
		{"python3", "-m", "venv", folder},
		{filepath.Join(folder, "bin", "pip"), "install", "--quiet", "--disable-pip-version-check", "schemathesis==" + Version},
	} {
		c := exec.CommandContext(ctx, command[0], command[1:]...) //nolint:gosec // fixed words
		c.Stdout, c.Stderr = progress, progress
		if err := c.Run(); err != nil {
			return "", errors.Join(fmt.Errorf("installing Schemathesis %s: %v: %w", Version, command, err), os.RemoveAll(folder))
		}
	}
	return Find()
}

func folder() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding Schemathesis: %w", err)
	}
	return filepath.Join(cache, "umagate", "schemathesis-"+Version), nil
}
