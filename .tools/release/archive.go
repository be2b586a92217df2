package main

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"
)

// entry is a file, or a folder where source and data are empty, of an archive.
type entry struct {
	name   string // in the archive, with slashes
	source string // the file it is copied from
	data   []byte // what is in it, where there is no source
	mode   int64
	owner  int // the number of the user and group
}

// writeArchive writes umagate_1.2.3_linux_amd64.tar.gz: everything in a folder of
// that name, the module beside the program.
func (r release) writeArchive(p program) error {
	folder := fmt.Sprintf("umagate_%s_%s_%s", r.version, p.os, p.arch)
	entries := []entry{
		{name: "umagate", source: p.path, mode: 0o755},
		{name: "umagate.wasm", source: r.module},
		{name: "umagate.service", source: packageFile("umagate.service")},
		{name: "umagate-agent.service", source: packageFile("umagate-agent.service")},
	}
	for _, name := range []string{"LICENSE", "README.md", "CHANGELOG.md", "SECURITY.md"} {
		entries = append(entries, entry{name: name, source: name})
	}
	for _, pattern := range []string{"man1/*", "completions/*"} {
		paths, err := filepath.Glob(filepath.Join(r.docs, pattern))
		if err != nil {
			return err
		}
		for _, source := range paths {
			entries = append(entries, entry{name: path.Join(path.Dir(pattern), filepath.Base(source)), source: source})
		}
	}
	for i := range entries {
		entries[i].name = path.Join(folder, entries[i].name)
	}
	return r.create(folder+".tar.gz", func(w io.Writer) error {
		return compress(w, func(w io.Writer) error { return writeTar(w, entries, r.time) })
	})
}

// compress is gzip without a name and a date.
func compress(w io.Writer, write func(io.Writer) error) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := write(z); err != nil {
		return err
	}
	return z.Close()
}

// writeTar writes the entries in the order of their names.
func writeTar(w io.Writer, entries []entry, date time.Time) error {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	archive := tar.NewWriter(w)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: cmp.Or(e.mode, 0o644), Uid: e.owner, Gid: e.owner, ModTime: date, Format: tar.FormatUSTAR}
		if e.source != "" {
			var err error
			if e.data, err = os.ReadFile(e.source); err != nil {
				return err
			}
		}
		if e.data == nil {
			header.Typeflag, header.Name = tar.TypeDir, e.name+"/"
		}
		header.Size = int64(len(e.data))
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(e.data); err != nil {
			return err
		}
	}
	return archive.Close()
}
