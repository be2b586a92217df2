package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers itself
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers itself
)

// packageFile is a file that only the packages and the archives have.
func packageFile(name string) string { return filepath.Join(".tools", "release", "files", name) }

// writePackages writes the Debian and the RPM package for a Linux.
func (r release) writePackages(p program, temporary string) error {
	pages, err := r.compressPages(temporary)
	if err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		packager, err := nfpm.Get(format)
		if err != nil {
			return err
		}
		// Defaults come first: they take the version apart.
		info := nfpm.WithDefaults(&nfpm.Info{
			Name: "umagate", Arch: p.arch, Platform: p.os, Version: r.version, Release: "1", MTime: r.time,
			Section: "net", Priority: "optional", Maintainer: "The umagate authors <umagate@users.noreply.github.com>",
			Homepage: "https://github.com/umagate/umagate", License: "Apache-2.0",
			Description: "UMA 2.0 for any API behind Envoy or Istio\numagate registers an API at an authorization server and configures Envoys,\nwhose filter lets a request pass only if its token has the permission.",
			Overridables: nfpm.Overridables{
				Contents: r.contents(p, pages),
				Scripts: nfpm.Scripts{
					PostInstall: packageFile("postinstall.sh"), PreRemove: packageFile("preremove.sh"), PostRemove: packageFile("postremove.sh"),
				},
				Recommends: []string{"ca-certificates"},
				RPM:        nfpm.RPM{BuildHost: "localhost", Summary: "UMA 2.0 for any API behind Envoy or Istio"},
			},
		})
		if err := nfpm.Validate(info); err != nil {
			return err
		}
		err = r.create(packager.ConventionalFileName(info), func(w io.Writer) error { return packager.Package(info, w) })
		if err != nil {
			return fmt.Errorf("%s: %w", format, err)
		}
	}
	return nil
}

// contents are the files of a package. pages is the folder of the man pages.
func (r release) contents(p program, pages string) files.Contents {
	plain := func(destination, source string) *files.Content {
		return &files.Content{Destination: destination, Source: source, FileInfo: &files.ContentFileInfo{Mode: 0o644, MTime: r.time}}
	}
	completion := func(name string) string { return filepath.Join(r.docs, "completions", name) }
	zsh := plain("/usr/share/zsh/vendor-completions/_umagate", completion("_umagate"))
	zsh.Packager = "deb"
	otherZsh := plain("/usr/share/zsh/site-functions/_umagate", completion("_umagate"))
	otherZsh.Packager = "rpm"
	copyright := plain("/usr/share/doc/umagate/copyright", "LICENSE")
	copyright.Packager = "deb"
	license := plain("/usr/share/licenses/umagate/LICENSE", "LICENSE")
	license.Packager, license.Type = "rpm", files.TypeRPMLicense
	list := files.Contents{
		{Destination: "/usr/bin/umagate", Source: p.path, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: r.time}},
		plain("/usr/share/umagate/umagate.wasm", r.module),
		plain("/usr/lib/systemd/system/umagate.service", packageFile("umagate.service")),
		plain("/usr/lib/systemd/system/umagate-agent.service", packageFile("umagate-agent.service")),
		plain("/usr/lib/sysusers.d/umagate.conf", packageFile("sysusers.conf")),
		{
			Destination: "/etc/umagate/umagate.yaml", Source: packageFile("umagate.yaml"), Type: files.TypeConfigNoReplace,
			FileInfo: &files.ContentFileInfo{Mode: 0o644, MTime: r.time},
		},
		plain("/usr/share/bash-completion/completions/umagate", completion("umagate.bash")),
		plain("/usr/share/fish/vendor_completions.d/umagate.fish", completion("umagate.fish")),
		plain("/usr/share/doc/umagate/README.md", "README.md"),
		plain("/usr/share/doc/umagate/CHANGELOG.md", "CHANGELOG.md"),
		zsh, otherZsh, copyright, license,
	}
	names, _ := filepath.Glob(filepath.Join(pages, "*")) // fails only for a malformed pattern
	for _, name := range names {
		list = append(list, plain("/usr/share/man/man1/"+filepath.Base(name), name))
	}
	return list
}

// compressPages returns a folder with the man pages as distributions want them.
func (r release) compressPages(temporary string) (string, error) {
	names, err := filepath.Glob(filepath.Join(r.docs, "man1", "*.1"))
	if err != nil {
		return "", err
	}
	folder := filepath.Join(temporary, "man1")
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return "", err
	}
	for _, name := range names {
		page, err := os.ReadFile(name) //nolint:gosec // of mangen's folder
		if err != nil {
			return "", err
		}
		file, err := os.Create(filepath.Join(folder, filepath.Base(name)+".gz")) //nolint:gosec // of the temporary folder
		if err != nil {
			return "", err
		}
		err = compress(file, func(w io.Writer) error {
			_, err := w.Write(page)
			return err
		})
		if err != nil {
			return "", err
		}
		if err := file.Close(); err != nil {
			return "", err
		}
	}
	return folder, nil
}
