// Command release makes what a release of umagate has. "make release" calls it in
// the folder of a clone in which everything is committed.
//
// The same commit and the same Go give the same bytes, in whichever folder: every
// file has the date of the commit, and nothing of the machine is in it.
//
// Files: build.go compiles; archive.go, packages.go, image.go and sbom.go make of
// that what is downloaded, and sign.go signs its checksums; files/ is what the packages install besides.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	var (
		from      sources
		platforms = flag.String("platforms", "linux/amd64,linux/arm64,darwin/amd64,darwin/arm64", "what to compile for, a `LIST`")
		out       = flag.String("out", "build/release", "the `FOLDER` to make")
	)
	flag.StringVar(&from.module, "module", "build/umagate.wasm", "the filter's module, a `FILE`")
	flag.StringVar(&from.docs, "docs", "build/docs", "the `FOLDER` that mangen has filled")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := makeRelease(ctx, from, strings.Split(*platforms, ","), *out)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// sources are the paths of what is not compiled here.
type sources struct {
	module string // umagate.wasm
	docs   string // has man1 and completions
}

// release is one release, while it is made.
type release struct {
	sources

	out     string // the folder that is made
	version string // as Go stamps it, without the v: 1.2.3, or a pseudo-version
	commit  string
	time    time.Time // of the commit
}

// makeRelease fills the folder out, which must not exist yet.
func makeRelease(ctx context.Context, from sources, platforms []string, out string) error {
	temporary, err := os.MkdirTemp("", "umagate-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // of no use any more
	var programs []program
	for _, name := range platforms {
		p, err := compile(ctx, name, temporary)
		if err != nil {
			return err
		}
		programs = append(programs, p)
	}
	r := release{sources: from, out: out, version: programs[0].version, commit: programs[0].commit, time: programs[0].time}
	if err := os.Mkdir(out, 0o755); err != nil { //nolint:gosec // what is in it is published
		return err
	}
	for _, p := range programs {
		if err := r.writeArchive(p); err != nil {
			return fmt.Errorf("the archive for %s/%s: %w", p.os, p.arch, err)
		}
		if err := r.writeSBOM(p); err != nil {
			return fmt.Errorf("the SBOM for %s/%s: %w", p.os, p.arch, err)
		}
		if p.os == "linux" {
			if err := r.writePackages(p, temporary); err != nil {
				return fmt.Errorf("the packages for %s/%s: %w", p.os, p.arch, err)
			}
		}
	}
	if err := r.writeImage(programs); err != nil {
		return fmt.Errorf("the image: %w", err)
	}
	if err := r.writeModule(); err != nil {
		return fmt.Errorf("the module: %w", err)
	}
	if err := writeSums(out); err != nil {
		return err
	}
	return sign(out)
}

// create makes a file of the release.
func (r release) create(name string, write func(io.Writer) error) error {
	file, err := os.Create(filepath.Join(r.out, name)) //nolint:gosec // the folder that this program makes
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

// writeSums writes SHA256SUMS of every file in a folder, for sha256sum -c.
func writeSums(folder string) error {
	var sums strings.Builder
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contents, err := os.ReadFile(path) //nolint:gosec // the folder that this program makes
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		_, _ = fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(contents), filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), []byte(sums.String()), 0o644) //nolint:gosec // published
}
