package mesh

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ErrNotBuilt says that the programs have not been built on this machine.
var ErrNotBuilt = errors.New("the control planes of the mesh are not built: make mesh (15 minutes the first time)")

// Program is one that [Build] compiles, by the name of its file.
type Program string

// The programs.
const (
	Etcd           Program = "etcd"
	KubeAPIServer  Program = "kube-apiserver"
	Kubectl        Program = "kubectl"
	PilotDiscovery Program = "pilot-discovery" // istiod
	PilotAgent     Program = "pilot-agent"
	Istioctl       Program = "istioctl"
	EnvoyGateway   Program = "envoy-gateway"
	Egctl          Program = "egctl"
	Crane          Program = "crane" // pushes images, and is a registry
)

// recipe is how a program is compiled. Those that share libraries stand together.
type recipe struct {
	program Program
	path    string
	tags    string
	ldflags string
}

// isOf reports whether a program is asked for: by its name, or as one of all.
func (r recipe) isOf(only []Program) bool { return len(only) == 0 || slices.Contains(only, r.program) }

const kubernetesVersion = "-X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"

func recipes() []recipe {
	return []recipe{
		{program: Etcd, path: "go.etcd.io/etcd/server/v3"},
		{program: KubeAPIServer, path: "k8s.io/kubernetes/cmd/kube-apiserver", ldflags: kubernetesVersion},
		{program: Kubectl, path: "k8s.io/kubernetes/cmd/kubectl", ldflags: kubernetesVersion},
		{program: PilotDiscovery, path: "istio.io/istio/pilot/cmd/pilot-discovery"},
		{program: PilotAgent, path: "istio.io/istio/pilot/cmd/pilot-agent", tags: "agent"}, // leaves out what only istiod needs
		{program: Istioctl, path: "istio.io/istio/istioctl/cmd/istioctl"},
		{program: EnvoyGateway, path: "github.com/envoyproxy/gateway/cmd/envoy-gateway"},
		{program: Egctl, path: "github.com/envoyproxy/gateway/cmd/egctl"},
		{program: Crane, path: "github.com/google/go-containerregistry/cmd/crane"},
	}
}

// helmCondition is a line around a definition.
var helmCondition = regexp.MustCompile(`(?m)^\{\{-.*\}\}\n?`)

// asset is a file, or what is in several, of a module that the programs are of.
type asset struct {
	name, module, pattern string
	template              bool // of a chart, with conditions around plain YAML
}

// The files that come with the programs.
const (
	IstioCRDs        = "istio-crds.yaml"
	GatewayAPICRDs   = "gateway-api-crds.yaml"
	EnvoyGatewayCRDs = "envoy-gateway-crds.yaml"
	envoyBootstrap   = "envoy_bootstrap.json" // the template of pilot-agent
)

func assets() []asset {
	return []asset{
		{name: IstioCRDs, module: "istio.io/istio", pattern: "manifests/charts/base/files/crd-all.gen.yaml"},
		{name: envoyBootstrap, module: "istio.io/istio", pattern: "tools/packaging/common/envoy_bootstrap.json"},
		{name: GatewayAPICRDs, module: "sigs.k8s.io/gateway-api", pattern: "config/crd/standard/gateway.networking.k8s.io_*.yaml"},
		{name: EnvoyGatewayCRDs, module: "github.com/envoyproxy/gateway", pattern: "charts/gateway-crds-helm/templates/generated/*.yaml", template: true},
	}
}

// Tools are the programs, built.
type Tools struct{ folder string }

// Path is where a program is.
func (t Tools) Path(p Program) string { return filepath.Join(t.folder, string(p)) }

// File is where a file that came with the programs is.
func (t Tools) File(name string) string { return filepath.Join(t.folder, name) }

// Folder has the programs under their names, as controller-runtime's envtest wants
// them in KUBEBUILDER_ASSETS.
func (t Tools) Folder() string { return t.folder }

// Find returns what [Build] has built, or [ErrNotBuilt] where one of the named programs,
// or of all, is missing.
func Find(ctx context.Context, only ...Program) (Tools, error) {
	_, tools, err := locate(ctx)
	if err != nil {
		return Tools{}, err
	}
	for _, r := range recipes() {
		if !r.isOf(only) {
			continue
		}
		if _, err := os.Stat(tools.Path(r.program)); err != nil {
			return Tools{}, fmt.Errorf("%w: there is no %s in %s", ErrNotBuilt, r.program, tools.folder)
		}
	}
	for _, a := range assets() {
		if _, err := os.Stat(tools.File(a.name)); err != nil {
			return Tools{}, fmt.Errorf("%w: there is no %s in %s", ErrNotBuilt, a.name, tools.folder)
		}
	}
	return tools, nil
}

// locate returns the folder of the module of the programs, and where they are or will
// be: a folder for each state of that module.
func locate(ctx context.Context) (module string, tools Tools, err error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", Tools{}, fmt.Errorf("asking Go for the repository's folder: %w", err)
	}
	module = filepath.Join(filepath.Dir(strings.TrimSpace(string(out))), "e2e", "mesh", "tools")
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(module, name)) //nolint:gosec // the repository's own
		if err != nil {
			return "", Tools{}, fmt.Errorf("looking for the module of the mesh: %w", err)
		}
		_, _ = sum.Write(content) // never fails
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", Tools{}, fmt.Errorf("looking for the mesh: %w; set HOME or XDG_CACHE_HOME", err)
	}
	return module, Tools{folder: filepath.Join(cache, "umagate", "mesh", hex.EncodeToString(sum.Sum(nil)[:6]))}, nil
}

// Build compiles what is not there yet of the named programs, or of all, and tells
// progress what it does. It needs several gigabytes of memory and of Go's build cache.
func Build(ctx context.Context, progress io.Writer, only ...Program) (Tools, error) {
	module, tools, err := locate(ctx)
	if err != nil {
		return Tools{}, err
	}
	if err := os.MkdirAll(tools.folder, 0o750); err != nil {
		return Tools{}, fmt.Errorf("making the folder of the mesh: %w", err)
	}
	for _, r := range recipes() {
		if !r.isOf(only) {
			continue
		}
		if _, err := os.Stat(tools.Path(r.program)); err == nil {
			continue
		}
		_, _ = fmt.Fprintf(progress, "Compiling %s\n", r.path)
		if err := r.build(ctx, module, tools, progress); err != nil {
			return Tools{}, fmt.Errorf("compiling %s: %w", r.program, err)
		}
	}
	for _, a := range assets() {
		if err := a.copy(ctx, module, tools); err != nil {
			return Tools{}, fmt.Errorf("copying %s: %w", a.name, err)
		}
	}
	return tools, nil
}

func (r recipe) build(ctx context.Context, module string, tools Tools, progress io.Writer) error {
	// Renamed when it is whole, so that an interrupted build leaves nothing that looks right.
	unfinished := tools.Path(r.program) + ".new"
	arguments := []string{"build", "-C", module, "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", strings.TrimSpace("-s -w " + r.ldflags), "-o", unfinished}
	if r.tags != "" {
		arguments = append(arguments, "-tags", r.tags)
	}
	command := exec.CommandContext(ctx, "go", append(arguments, r.path)...) //nolint:gosec // the recipes above
	command.Stdout, command.Stderr = progress, progress
	if err := command.Run(); err != nil {
		return err
	}
	return os.Rename(unfinished, tools.Path(r.program))
}

// copy joins the asset's files, as documents of one YAML stream where they are several.
func (a asset) copy(ctx context.Context, module string, tools Tools) error {
	list := exec.CommandContext(ctx, "go", "list", "-C", module, "-mod=readonly", "-m", "-f", "{{.Dir}}", a.module) //nolint:gosec // the assets above
	out, err := list.Output()
	if err != nil {
		return fmt.Errorf("looking for %s: %w", a.module, err)
	}
	paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), filepath.FromSlash(a.pattern)))
	if err != nil {
		return err
	}
	if len(paths) == 0 {
		return fmt.Errorf("%s has no %s", a.module, a.pattern)
	}
	var all []byte
	for i, path := range paths {
		content, err := os.ReadFile(path) //nolint:gosec // of the module that go.mod pins
		if err != nil {
			return err
		}
		if i > 0 {
			all = append(all, "\n---\n"...)
		}
		if a.template {
			content = helmCondition.ReplaceAll(content, nil)
		}
		all = append(all, content...)
	}
	return os.WriteFile(tools.File(a.name), all, 0o600)
}
