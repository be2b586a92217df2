package site

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxFile bounds what is read from umagate.yaml and from a secret's file.
const maxFile = 8 << 20

// Environment is where ${NAME}, {env: NAME} and {file: PATH} come from.
type Environment struct {
	// LookupEnv is [os.LookupEnv] or a test's own.
	LookupEnv func(name string) (string, bool)
	// ReadFile returns the content of a file named in the document, bounded.
	ReadFile func(path string) ([]byte, error)
	// SkipSecrets leaves secrets that cannot be resolved as placeholders, to judge
	// a file where its secrets are not, as in a pull request's checks.
	SkipSecrets bool
	// SitesElsewhere lets a file have no sites: others bring them.
	SitesElsewhere bool
}

// OSEnvironment is the process's environment; relative paths start at dir.
func OSEnvironment(dir string) Environment {
	return Environment{
		LookupEnv: os.LookupEnv,
		ReadFile: func(path string) ([]byte, error) {
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			return readBounded(path)
		},
	}
}

// Load reads the file at path; secrets named relatively are beside it.
func Load(path string) (*File, error) {
	return LoadIn(path, OSEnvironment(filepath.Dir(path)))
}

// LoadAnyway is [LoadIn] that gives what could be read of a file with faults, beside
// the error; nil where there is no file.
func LoadAnyway(path string, env Environment) (*File, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return parse(path, data, env)
}

// LoadIn is [Load] in an environment of the caller's.
func LoadIn(path string, env Environment) (*File, error) {
	data, err := readBounded(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, data, env)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	return data, nil
}

// expand replaces ${NAME} and ${NAME:-default}; $${ is a literal ${. It returns
// the variables that are not set, and whether anything was replaced.
func (e Environment) expand(s string) (out string, missing []string, replaced bool) {
	if !strings.Contains(s, "${") {
		return s, nil, false
	}
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), missing, replaced
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1])
			b.WriteString("${")
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			b.WriteString(s)
			return b.String(), missing, replaced
		}
		b.WriteString(s[:i])
		name, fallback, hasFallback := strings.Cut(s[i+2:i+end], ":-")
		s = s[i+end+1:]
		replaced = true
		if v, ok := e.lookup(name); ok && (v != "" || !hasFallback) {
			b.WriteString(v)
		} else if hasFallback {
			b.WriteString(fallback)
		} else {
			missing = append(missing, name)
		}
	}
}

func (e Environment) lookup(name string) (string, bool) {
	if e.LookupEnv == nil {
		return "", false
	}
	return e.LookupEnv(name)
}
