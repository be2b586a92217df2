package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// DefaultVersion is the Envoy that [Install] gets and [Find] prefers.
const DefaultVersion = "1.40.0"

// MinVersion is the oldest Envoy the project is tested with.
const MinVersion = "1.36.0"

// BinaryVariable names the environment variable that overrides every other
// place [Find] looks in.
const BinaryVariable = "ENVOY_BIN"

// ErrNotFound says that this machine has no Envoy that can be used. Its wrapped
// text lists where [Find] looked.
var ErrNotFound = errors.New("no Envoy found")

// Binary is an Envoy on this machine.
type Binary struct {
	// Path is absolute.
	Path string
	// Source says where it was found, in words for a person.
	Source string
	// Version is the binary's own word, for example "1.40.0".
	Version string
}

// Find returns the first Envoy of $ENVOY_BIN, PATH, umagate's own cache and
// func-e's folders that runs and is not older than [MinVersion]. An $ENVOY_BIN
// that does not is an error of its own, never passed over.
func Find(ctx context.Context) (Binary, error) {
	if path := os.Getenv(BinaryVariable); path != "" {
		binary, err := probe(ctx, path, "$"+BinaryVariable)
		if err != nil {
			return Binary{}, fmt.Errorf("$%s: %w; unset it, or let it name an Envoy", BinaryVariable, err)
		}
		return binary, nil
	}
	var refused []error
	for _, candidate := range candidates() {
		binary, err := probe(ctx, candidate.path, candidate.source)
		if err == nil {
			return binary, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			refused = append(refused, err)
		}
	}
	return Binary{}, errors.Join(append([]error{fmt.Errorf(
		"%w in $%s, PATH, %s or func-e's folders: install one, or let $%s name it",
		ErrNotFound, BinaryVariable, cacheFolder(), BinaryVariable)}, refused...)...)
}

type candidate struct{ path, source string }

// candidates lists, best first, what Find tries after $ENVOY_BIN.
func candidates() []candidate {
	var found []candidate
	if path, err := exec.LookPath("envoy"); err == nil {
		found = append(found, candidate{path, "PATH"})
	}
	if cache := cacheFolder(); cache != "" {
		found = append(found, candidate{cachedBinary(DefaultVersion), "umagate's cache"})
		found = append(found, versions(cache, "envoy", "umagate's cache")...)
	}
	for _, folder := range funcEFolders() {
		found = append(found, versions(folder, filepath.Join("bin", "envoy"), "func-e")...)
	}
	return found
}

// versions lists folder/<version>/binary, the newest version first.
func versions(folder, binary, source string) []candidate {
	paths, err := filepath.Glob(filepath.Join(folder, "*", binary))
	if err != nil { // only a malformed pattern, which a folder's odd name can make
		return nil
	}
	depth := len(strings.Split(filepath.ToSlash(binary), "/"))
	version := func(path string) string {
		for range depth {
			path = filepath.Dir(path)
		}
		return filepath.Base(path)
	}
	slices.SortFunc(paths, func(a, b string) int { return compareVersions(version(b), version(a)) })
	found := make([]candidate, len(paths))
	for i, path := range paths {
		found[i] = candidate{path, source}
	}
	return found
}

// cacheFolder is where Install puts Envoys, or "" where the user has no cache
// folder.
func cacheFolder() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "umagate", "envoy")
}

func cachedBinary(version string) string {
	return filepath.Join(cacheFolder(), version, "envoy")
}

// funcEFolders lists where the func-e of today and that before 1.2 keep Envoys.
func funcEFolders() []string {
	var folders []string
	for _, variable := range []string{"FUNC_E_DATA_HOME", "FUNC_E_HOME"} {
		if home := os.Getenv(variable); home != "" {
			folders = append(folders, filepath.Join(home, "envoy-versions"), filepath.Join(home, "versions"))
		}
	}
	if home, err := os.UserHomeDir(); err == nil {
		folders = append(folders,
			filepath.Join(home, ".local", "share", "func-e", "envoy-versions"),
			filepath.Join(home, ".func-e", "versions"))
	}
	return folders
}

var versionLine = regexp.MustCompile(`/(\d+\.\d+\.\d+)[^/]*/`)

// probe runs the binary at path for its version.
func probe(ctx context.Context, path, source string) (Binary, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Binary{}, fmt.Errorf("making %s absolute: %w", path, err)
	}
	if _, err := os.Stat(path); err != nil {
		return Binary{}, fmt.Errorf("looking for Envoy: %w", err)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output() //nolint:gosec // the user's own choice of binary
	if err != nil {
		return Binary{}, fmt.Errorf("running %s --version on %s/%s: %w", path, runtime.GOOS, runtime.GOARCH, err)
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return Binary{}, fmt.Errorf("%s does not say an Envoy version with --version", path)
	}
	version := string(match[1])
	if compareVersions(version, MinVersion) < 0 {
		return Binary{}, fmt.Errorf("%s is Envoy %s; %s or later is needed", path, version, MinVersion)
	}
	return Binary{Path: path, Source: source, Version: version}, nil
}

// compareVersions orders "1.9.0" before "1.40.0". What is no number counts as 0.
func compareVersions(a, b string) int {
	return slices.Compare(numbers(a), numbers(b))
}

func numbers(version string) []int {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	found := make([]int, len(parts))
	for i, part := range parts {
		if n, err := strconv.Atoi(part); err == nil {
			found[i] = n
		}
	}
	return found
}
