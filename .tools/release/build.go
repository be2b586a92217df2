package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// program is umagate, compiled for one platform.
type program struct {
	path     string
	os, arch string // as Go spells them

	version string // what Go has stamped into it, see release
	commit  string
	time    time.Time
}

// compile compiles umagate for a platform such as linux/amd64, as a static binary.
func compile(ctx context.Context, platform, folder string) (program, error) {
	var p program
	var ok bool
	if p.os, p.arch, ok = strings.Cut(platform, "/"); !ok {
		return p, fmt.Errorf("%q is no platform; one is linux/amd64", platform)
	}
	p.path = filepath.Join(folder, p.os+"_"+p.arch, "umagate")
	_, _ = fmt.Fprintln(os.Stderr, "Compiling umagate for", platform)
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", p.path, "./controlplane") //nolint:gosec // the platform is the user's
	build.Env = append(os.Environ(), "GOOS="+p.os, "GOARCH="+p.arch, "CGO_ENABLED=0", "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return p, fmt.Errorf("go build for %s: %w", platform, err)
	}
	return p, p.readStamp()
}

// readStamp reads which commit the program is of.
func (p *program) readStamp() error {
	info, err := buildinfo.ReadFile(p.path)
	if err != nil {
		return err
	}
	p.version = strings.TrimPrefix(info.Main.Version, "v")
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			p.commit = s.Value
		case "vcs.time":
			if p.time, err = time.Parse(time.RFC3339, s.Value); err != nil {
				return err
			}
		case "vcs.modified":
			if s.Value == "true" {
				return errors.New("what is compiled is not what is committed: commit it, or clone anew")
			}
		}
	}
	if p.commit == "" {
		return errors.New("no commit is stamped into the program: make the release in a clone, which an archive or a worktree is not")
	}
	return nil
}
