package mesh

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/umagate/umagate/e2e/process"
)

// Registry is a running registry of images, which keeps them in memory and is asked
// without TLS.
type Registry struct {
	// Address is HOST:PORT.
	Address string

	command command
	child   *process.Child
}

// StartRegistry runs one. Its log is in a folder, which stays.
func StartRegistry(ctx context.Context, tools Tools, folder string) (*Registry, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	r := &Registry{Address: loopback(ports[0])}
	r.command = command{tools: tools, program: Crane, folder: folder, arguments: []string{"registry", "serve", "--address", r.Address}}
	r.child, err = r.command.start(ctx, func(ctx context.Context) bool {
		return answers(ctx, http.DefaultClient, "http://"+r.Address+"/v2/", "")
	})
	return r, err
}

// Pull writes an image as a folder in the form of an OCI layout.
func (r *Registry) Pull(ctx context.Context, name, layout string) error {
	_, err := r.crane(ctx, "pull", "--format", "oci", r.Address+"/"+name, layout)
	return err
}

// PushModule pushes a module of WebAssembly as Istio and Envoy Gateway pull one: an image
// whose only layer has plugin.wasm. It returns the digest.
func (r *Registry) PushModule(ctx context.Context, path, name string) (string, error) {
	layer := filepath.Join(r.command.folder, "module.tar.gz")
	if err := writeLayer(layer, path); err != nil {
		return "", fmt.Errorf("making the layer of the module: %w", err)
	}
	if _, err := r.crane(ctx, "append", "--oci-empty-base", "--new_layer", layer, "--new_tag", r.Address+"/"+name); err != nil {
		return "", err
	}
	digest, err := r.crane(ctx, "digest", r.Address+"/"+name)
	return strings.TrimSpace(digest), err
}

func writeLayer(layer, module string) error {
	content, err := os.ReadFile(module) //nolint:gosec // the test's own
	if err != nil {
		return err
	}
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	if err := archive.WriteHeader(&tar.Header{Name: "plugin.wasm", Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	if _, err := archive.Write(content); err != nil {
		return err
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return err
	}
	return os.WriteFile(layer, out.Bytes(), 0o600)
}

func (r *Registry) crane(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.command.tools.Path(Crane), append(arguments, "--insecure")...) //nolint:gosec // what Build has built
	var out, problems strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("crane %s: %w\n%s", strings.Join(arguments, " "), err, problems.String())
	}
	return out.String(), nil
}

// Log is the file that it writes.
func (r *Registry) Log() string { return r.command.log() }

// Stop ends it.
func (r *Registry) Stop() { r.child.Stop(syscall.SIGTERM) }
