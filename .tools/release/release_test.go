package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"debug/macho"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/stretchr/testify/require"
)

// made is the folder of a release that has been made, which these tests try out. It
// has this machine's platform at least.
func made(t *testing.T) string {
	t.Helper()
	folder, set := os.LookupEnv("UMAGATE_RELEASE")
	if !set {
		folder = filepath.Join("..", "..", "build", "release")
	}
	require.FileExists(t, filepath.Join(folder, "SHA256SUMS"), "run `make release` first, or set UMAGATE_RELEASE")
	folder, err := filepath.Abs(folder)
	require.NoError(t, err)
	return folder
}

// one returns the only file of the release with such a name.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(made(t), pattern))
	require.NoError(t, err)
	require.Len(t, found, 1, pattern)
	return found[0]
}

// output runs a command and returns what it prints.
func output(t *testing.T, command *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s%s", command, out, stderr.String())
	return string(out)
}

func run(t *testing.T, command string, args ...string) string {
	t.Helper()
	return output(t, exec.CommandContext(t.Context(), command, args...))
}

func TestSums(t *testing.T) {
	t.Parallel()
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = made(t)
	sums := output(t, check)
	files := 0
	require.NoError(t, filepath.WalkDir(made(t), func(_ string, entry os.DirEntry, err error) error {
		if !entry.IsDir() && !strings.HasPrefix(entry.Name(), "SHA256SUMS") {
			files++
		}
		return err
	}))
	require.Equal(t, files, strings.Count(sums, ": OK\n"))
}

// TestArchive goes from the download to the end of the demo.
func TestArchive(t *testing.T) {
	t.Parallel()
	archive := one(t, "umagate_*_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz")
	folder := t.TempDir()
	run(t, "tar", "-xzf", archive, "-C", folder)
	root := filepath.Join(folder, strings.TrimSuffix(filepath.Base(archive), ".tar.gz"))
	for _, file := range []string{"LICENSE", "README.md", "umagate.service", "umagate-agent.service", "man1/umagate-serve.1", "completions/umagate.bash", "completions/_umagate", "completions/umagate.fish"} {
		require.FileExists(t, filepath.Join(root, file))
	}
	requireVersion(t, filepath.Join(root, "umagate"), filepath.Join(root, "umagate.wasm"))
	demo := exec.CommandContext(t.Context(), filepath.Join(root, "umagate"), "demo", "--once", "--gateway", "wazero")
	demo.Dir = folder
	require.Contains(t, output(t, demo), "all as told")
}

// TestDarwin reads the programs for macOS as its loader does: an executable of that
// machine, which needs nothing but what the system has.
func TestDarwin(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob(filepath.Join(made(t), "umagate_*_darwin_*.tar.gz"))
	require.NoError(t, err)
	for _, archive := range archives {
		folder := t.TempDir()
		run(t, "tar", "-xzf", archive, "-C", folder, "--strip-components=1")
		program, err := macho.Open(filepath.Join(folder, "umagate"))
		require.NoError(t, err, archive)
		require.Equal(t, macho.TypeExec, program.Type)
		cpu := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}
		_, name, _ := strings.Cut(strings.TrimSuffix(filepath.Base(archive), ".tar.gz"), "_darwin_")
		require.Equal(t, cpu[name], program.Cpu)
		libraries, err := program.ImportedLibraries()
		require.NoError(t, err)
		for _, library := range libraries {
			require.Regexp(t, `^/(usr/lib|System/Library)/`, library)
		}
		signed := false
		for _, load := range program.Loads {
			signed = signed || program.ByteOrder.Uint32(load.Raw()) == codeSignature
		}
		require.True(t, signed || name == "amd64", "arm64 runs signed programs only; Go signs them ad hoc")
		require.NoError(t, program.Close())
		info, err := buildinfo.ReadFile(filepath.Join(folder, "umagate"))
		require.NoError(t, err)
		require.Equal(t, "github.com/umagate/umagate", info.Main.Path)
	}
}

// codeSignature is the load command LC_CODE_SIGNATURE.
const codeSignature = 0x1d

// requireVersion asks a program which release it is, and which module it has found.
func requireVersion(t *testing.T, program, wasm string) {
	t.Helper()
	var version struct {
		Version, Revision, Time string
		Modified                bool
		Module                  struct{ Path, SHA256 string }
	}
	require.NoError(t, json.Unmarshal([]byte(run(t, program, "version", "--output", "json")), &version))
	require.Contains(t, filepath.Base(one(t, "umagate_*_"+runtime.GOOS+"_"+runtime.GOARCH+".tar.gz")), strings.TrimPrefix(version.Version, "v"))
	require.Len(t, version.Revision, 40)
	require.NotEmpty(t, version.Time)
	require.False(t, version.Modified)
	require.Equal(t, wasm, version.Module.Path)
	sums, err := os.ReadFile(filepath.Join(made(t), "SHA256SUMS"))
	require.NoError(t, err)
	require.Contains(t, string(sums), version.Module.SHA256+"  umagate.wasm\n")
}

// TestDebian unpacks the Debian package and uses what is in it.
func TestDebian(t *testing.T) {
	t.Parallel()
	file := one(t, "umagate_*_"+runtime.GOARCH+".deb")
	root := t.TempDir()
	run(t, "dpkg", "-x", file, root)
	program := filepath.Join(root, "usr", "bin", "umagate")

	t.Run("the program", func(t *testing.T) {
		t.Parallel()
		requireVersion(t, program, filepath.Join(root, "usr", "share", "umagate", "umagate.wasm"))
		require.Contains(t, run(t, "file", program), "statically linked")
	})
	t.Run("the configuration", func(t *testing.T) {
		t.Parallel()
		run(t, program, "validate", "-c", filepath.Join(root, "etc", "umagate", "umagate.yaml"))
		control := t.TempDir()
		run(t, "dpkg", "-e", file, control)
		conffiles, err := os.ReadFile(filepath.Join(control, "conffiles"))
		require.NoError(t, err)
		require.Equal(t, "/etc/umagate/umagate.yaml\n", string(conffiles))
		for _, script := range []string{"postinst", "prerm", "postrm"} {
			run(t, "sh", "-n", filepath.Join(control, script))
		}
	})
	t.Run("the man pages", func(t *testing.T) {
		t.Parallel()
		page := exec.CommandContext(t.Context(), "man", "--warnings", "-l", filepath.Join(root, "usr", "share", "man", "man1", "umagate-serve.1.gz"))
		page.Env = append(os.Environ(), "MANPAGER=cat", "MANWIDTH=100", "LC_ALL=C.UTF-8")
		var warnings bytes.Buffer
		page.Stderr = &warnings
		text, err := page.Output()
		require.NoError(t, err, warnings.String())
		require.Empty(t, warnings.String())
		require.Contains(t, string(text), "Run the control plane")
	})
	t.Run("the completion", func(t *testing.T) {
		t.Parallel()
		script := filepath.Join(root, "usr", "share", "bash-completion", "completions", "umagate")
		bash := exec.CommandContext(t.Context(), "bash", "--norc", "-c", pressTab, "bash", script)
		bash.Env = append(os.Environ(), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"))
		require.Equal(t, "auto\nenvoy\nwazero\n", output(t, bash))
	})
	t.Run("the unit", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"umagate.service", "umagate-agent.service"} {
			text, err := os.ReadFile(filepath.Join(root, "usr", "lib", "systemd", "system", name))
			require.NoError(t, err)
			unit := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(unit, bytes.ReplaceAll(text, []byte("/usr/bin/umagate"), []byte(program)), 0o600))
			verify := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", unit)
			said, err := verify.CombinedOutput()
			require.NoError(t, err, string(said))
			require.Empty(t, string(said))
			run(t, "systemd-analyze", "security", "--offline=yes", "--threshold=20", unit)
		}
	})
}

// pressTab does what bash does after "umagate demo --gateway " and a tab.
const pressTab = `
. /usr/share/bash-completion/bash_completion
. "$1"
compopt() { :; } # works in a shell with a terminal only
COMP_WORDS=(umagate demo --gateway "") COMP_CWORD=3
COMP_LINE="umagate demo --gateway " COMP_POINT=23
__start_umagate
printf '%s\n' "${COMPREPLY[@]}"`

// TestRPM compares the RPM with the Debian package.
func TestRPM(t *testing.T) {
	t.Parallel()
	file := one(t, "umagate-*."+map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]+".rpm")
	root := t.TempDir()
	run(t, "dpkg", "-x", one(t, "umagate_*_"+runtime.GOARCH+".deb"), root)
	require.Contains(t, run(t, "rpm", "--checksig", "--nosignature", file), "digests OK")
	require.Contains(t, run(t, "rpm", "-qp", "--nosignature", "--configfiles", file), "/etc/umagate/umagate.yaml")
	require.Contains(t, run(t, "rpm", "-qp", "--nosignature", "--scripts", file), "systemd-sysusers umagate.conf")
	digests := run(t, "rpm", "-qp", "--nosignature", "--queryformat", "[%{FILEDIGESTS}  %{FILENAMES}\n]", file)
	for _, path := range []string{
		"/usr/bin/umagate", "/usr/share/umagate/umagate.wasm", "/etc/umagate/umagate.yaml", "/usr/lib/systemd/system/umagate.service", "/usr/lib/systemd/system/umagate-agent.service",
		"/usr/lib/sysusers.d/umagate.conf", "/usr/share/man/man1/umagate.1.gz",
	} {
		sum, _, _ := strings.Cut(run(t, "sha256sum", filepath.Join(root, path)), " ")
		require.Contains(t, digests, sum+"  "+path+"\n")
	}
}

// TestImage reads the image as a container engine does.
func TestImage(t *testing.T) {
	t.Parallel()
	outer, err := layout.ImageIndexFromPath(filepath.Join(made(t), "image"))
	require.NoError(t, err)
	manifest, err := outer.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	require.NoError(t, validate.Index(index))
	image := platformImage(t, index)
	config, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "65532:65532", config.Config.User)
	require.Len(t, config.Config.Labels["org.opencontainers.image.revision"], 40)

	root := t.TempDir()
	files := extract(t, image, root)
	requireVersion(t, filepath.Join(root, "umagate"), filepath.Join(root, "umagate.wasm"))
	authorities, err := os.ReadFile(filepath.Join(root, "etc", "ssl", "certs", "ca-certificates.crt"))
	require.NoError(t, err)
	require.Greater(t, bytes.Count(authorities, []byte("-----BEGIN CERTIFICATE-----")), 100)
	state := files["var/lib/umagate"]
	require.Equal(t, []int64{65532, 65532, 0o700}, []int64{int64(state.Uid), int64(state.Gid), state.Mode})
}

// platformImage is the image of an index for this machine.
func platformImage(t *testing.T, index v1.ImageIndex) v1.Image {
	t.Helper()
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	for _, m := range manifest.Manifests {
		if m.Platform.OS == "linux" && m.Platform.Architecture == runtime.GOARCH {
			image, err := index.Image(m.Digest)
			require.NoError(t, err)
			return image
		}
	}
	require.Fail(t, "no image for this machine")
	return nil
}

// extract writes an image's files into a folder, and returns their headers.
func extract(t *testing.T, image v1.Image, folder string) map[string]*tar.Header {
	t.Helper()
	contents := mutate.Extract(image)
	defer contents.Close()
	headers := map[string]*tar.Header{}
	for archive := tar.NewReader(contents); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return headers
		}
		require.NoError(t, err)
		headers[strings.TrimSuffix(header.Name, "/")] = header
		path := filepath.Join(folder, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		data, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, data, os.FileMode(header.Mode)))
	}
}

// TestModuleImage pushes the module to a registry and pulls it as Istio and Envoy
// Gateway do: a manifest with one layer, a gzipped tar with plugin.wasm.
func TestModuleImage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	reference, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://")+"/umagate/umagate-wasm:test", name.Insecure)
	require.NoError(t, err)
	outer, err := layout.ImageIndexFromPath(filepath.Join(made(t), "module-image"))
	require.NoError(t, err)
	manifest, err := outer.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 1)
	image, err := outer.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	require.NoError(t, remote.Write(reference, image))

	pulled, err := remote.Image(reference)
	require.NoError(t, err)
	require.NoError(t, validate.Image(pulled))
	layers, err := pulled.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	mediaType, err := layers[0].MediaType()
	require.NoError(t, err)
	require.Equal(t, "application/vnd.oci.image.layer.v1.tar+gzip", string(mediaType))
	compressed, err := layers[0].Compressed()
	require.NoError(t, err)
	plain, err := gzip.NewReader(compressed)
	require.NoError(t, err)
	archive := tar.NewReader(plain)
	header, err := archive.Next()
	require.NoError(t, err)
	require.Equal(t, "plugin.wasm", header.Name)
	module, err := io.ReadAll(archive)
	require.NoError(t, err)
	want, err := os.ReadFile(filepath.Join(made(t), "umagate.wasm"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, module))
}

// TestSBOM reads the bill of materials.
func TestSBOM(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(one(t, "umagate_*_"+runtime.GOOS+"_"+runtime.GOARCH+".cdx.json"))
	require.NoError(t, err)
	var bom struct {
		BOMFormat    string
		SerialNumber string
		Metadata     struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	require.NoError(t, json.Unmarshal(text, &bom))
	require.Equal(t, "CycloneDX", bom.BOMFormat)
	require.Regexp(t, `^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`, bom.SerialNumber)
	require.Equal(t, "github.com/umagate/umagate", bom.Metadata.Component.Name)
	names := map[string]bool{}
	for _, c := range bom.Components {
		names[c.Name] = c.Version != "" && c.PURL != ""
	}
	for _, module := range []string{"github.com/spf13/cobra", "github.com/envoyproxy/go-control-plane/envoy", "std"} {
		require.True(t, names[module], module)
	}
}
