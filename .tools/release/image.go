package main

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The user of the image has no name on the host, and may write to its state only.
const (
	imageUser  = 65532
	imageState = "var/lib/umagate"
)

// writeImage writes the image of the control plane, for each Linux, as an OCI layout.
func (r release) writeImage(programs []program) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		if p.os != "linux" {
			continue
		}
		image, err := r.image(v1.ConfigFile{
			OS: p.os, Architecture: p.arch, Config: v1.Config{
				User:       fmt.Sprintf("%d:%d", imageUser, imageUser),
				Entrypoint: []string{"/umagate"},
				Cmd:        []string{"serve", "-c", "/etc/umagate/umagate.yaml"},
				WorkingDir: "/" + imageState,
				Labels:     r.labels("umagate", "The control plane of umagate, UMA 2.0 for any API behind Envoy or Istio"),
			},
		}, systemEntries(), []entry{
			{name: "umagate", source: p.path, mode: 0o755},
			{name: "umagate.wasm", source: r.module},
			{name: "LICENSE", source: "LICENSE"},
		})
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.os, Architecture: p.arch}},
		})
	}
	path, err := layout.Write(filepath.Join(r.out, "image"), empty.Index)
	if err != nil {
		return err
	}
	return path.AppendIndex(index, layout.WithAnnotations(r.reference()))
}

// writeModule writes umagate.wasm, and an image of it as Istio and Envoy Gateway pull
// one: with plugin.wasm in its only layer.
func (r release) writeModule() error {
	err := r.create("umagate.wasm", func(w io.Writer) error { return copyFile(w, r.module) })
	if err != nil {
		return err
	}
	image, err := r.image(v1.ConfigFile{
		OS: "wasip1", Architecture: "wasm",
		Config: v1.Config{Labels: r.labels("umagate-wasm", "The filter of umagate, UMA 2.0 for any API behind Envoy or Istio")},
	}, []entry{{name: "plugin.wasm", source: r.module}})
	if err != nil {
		return err
	}
	path, err := layout.Write(filepath.Join(r.out, "module-image"), empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(image, layout.WithAnnotations(r.reference()))
}

// image makes an image with the layers.
func (r release) image(config v1.ConfigFile, layers ...[]entry) (v1.Image, error) {
	config.Created = v1.Time{Time: r.time}
	config.RootFS.Type = "layers"
	image, err := mutate.ConfigFile(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), &config)
	if err != nil {
		return nil, err
	}
	for _, entries := range layers {
		layer, err := newLayer(entries, r.time)
		if err != nil {
			return nil, err
		}
		image, err = mutate.Append(image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "make release"}})
		if err != nil {
			return nil, err
		}
	}
	return image, nil
}

func newLayer(entries []entry, date time.Time) (v1.Layer, error) {
	var archive bytes.Buffer
	if err := writeTar(&archive, entries, date); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	}, tarball.WithMediaType(types.OCILayer))
}

// systemEntries are what a program finds on a system: the certificate authorities,
// the names of users, folders to write to.
func systemEntries() []entry {
	return []entry{
		{name: "etc/ssl/certs/ca-certificates.crt", data: certificateAuthorities()},
		{name: "etc/passwd", data: fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\numagate:x:%d:%d:umagate:/%s:/sbin/nologin\n", imageUser, imageUser, imageState)},
		{name: "etc/group", data: fmt.Appendf(nil, "root:x:0:\numagate:x:%d:\n", imageUser)},
		{name: "tmp", mode: 0o1777},
		{name: imageState, mode: 0o700, owner: imageUser},
	}
}

// certificateAuthorities are those of Mozilla, as the Go project publishes them, so
// that they do not depend on the machine. One whose newer certificates Mozilla
// distrusts is left out: a file cannot say from when on.
func certificateAuthorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a Buffer takes everything
		}
	}
	return out.Bytes()
}

// labels are those of the OCI image specification.
func (r release) labels(title, description string) map[string]string {
	const prefix = "org.opencontainers.image."
	return map[string]string{
		prefix + "title":       title,
		prefix + "description": description,
		prefix + "version":     r.version,
		prefix + "revision":    r.commit,
		prefix + "created":     r.time.Format(time.RFC3339),
		prefix + "source":      "https://github.com/umagate/umagate",
		prefix + "licenses":    "Apache-2.0",
	}
}

// reference names the version in a layout.
func (r release) reference() map[string]string {
	return map[string]string{"org.opencontainers.image.ref.name": r.version}
}
