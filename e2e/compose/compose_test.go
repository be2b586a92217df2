// Package compose_test runs what envoy/docker-compose.yaml runs, without containers: each
// service's command, files and variables, with the names that they know each other by.
package compose_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
	"github.com/umagate/umagate/e2e/mesh/pagetest"
	"github.com/umagate/umagate/e2e/process"
	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/envoy/envoytest"
)

// TestMain makes this program umagate where it is called so, and gives the tests a machine
// of their own, whose /etc they may write to.
func TestMain(m *testing.M) {
	pagetest.AsUmagate()
	meshtest.Main(m)
}

// service is what the file says of one.
type service struct {
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Volumes     []string          `yaml:"volumes"`
	Healthcheck struct {
		Test []string `yaml:"test"`
	} `yaml:"healthcheck"`
}

// address is where a service is: two listen on the same port.
var address = map[string]string{"keycloak": "127.0.0.2", "api": "127.0.0.3", "umagate": "127.0.0.4"}

func TestCompose(t *testing.T) {
	meshtest.RequireIsolation(t)
	installation, binary, module := keycloaktest.Installation(t), envoytest.Binary(t), servertest.Module(t)
	var file struct{ Services map[string]service }
	text, err := os.ReadFile(filepath.Join("..", "..", "envoy", "docker-compose.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &file))
	require.Len(t, file.Services, 4, "a service that no test runs")

	overlay(t, "/etc")
	hosts := "127.0.0.1 localhost\n"
	for name, at := range address {
		hosts += at + " " + name + "\n"
	}
	require.NoError(t, os.WriteFile("/etc/hosts", []byte(hosts), 0o600))

	distribution := filepath.Dir(installation.Commands())
	overlay(t, distribution) // start-dev builds it anew
	require.Equal(t, []string{"../e2e/keycloak/realm:/opt/keycloak/data/import:ro"}, file.Services["keycloak"].Volumes)
	put(t, "../../e2e/keycloak/realm/umagate-realm.json", filepath.Join(distribution, "data", "import", "umagate-realm.json"))
	// In its image it listens on all addresses.
	keycloak := file.Services["keycloak"]
	keycloak.run(t, "keycloak", append([]string{filepath.Join(installation.Commands(), "kc.sh")}, append(keycloak.Command, "--http-host="+address["keycloak"])...)...)
	publish(t, "127.0.0.1:8080", address["keycloak"]+":8080")
	require.Equal(t, "CMD-SHELL", keycloak.Healthcheck.Test[0])
	require.Eventually(t, func() bool {
		check := exec.CommandContext(t.Context(), "bash", "-c", keycloak.Healthcheck.Test[1])
		return check.Run() == nil
	}, servertest.Within, time.Second)

	api := filepath.Join(t.TempDir(), "sampleapi")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", api, "../../demo/sampleapi/cmd/sampleapi").CombinedOutput()
	require.NoError(t, err, string(out))
	file.Services["api"].run(t, "api", api, address["api"]+":8080")

	require.Contains(t, file.Services["umagate"].Volumes, "./docker-umagate.yaml:/etc/umagate/umagate.yaml:ro")
	put(t, "../../envoy/docker-umagate.yaml", "/etc/umagate/umagate.yaml")
	require.NoError(t, os.MkdirAll("/var/lib/umagate", 0o750))
	umagate := filepath.Join(t.TempDir(), "umagate")
	self, err := os.Executable()
	require.NoError(t, err)
	require.NoError(t, os.Symlink(self, umagate))
	file.Services["umagate"].run(t, "umagate", umagate, "serve", "-c", "/etc/umagate/umagate.yaml")

	put(t, "../../envoy/bootstrap.yaml", "/etc/envoy/envoy.yaml")
	put(t, module, "/etc/envoy/umagate.wasm")
	file.Services["envoy"].run(t, "envoy", binary.Path, "-c", "/etc/envoy/envoy.yaml")

	const album = "http://localhost:10000/albums/1"
	require.Eventually(t, func() bool { return strings.Contains(challenge(t, album), "ticket=") }, servertest.Within, 100*time.Millisecond)
	for person, may := range map[string]bool{"alice": true, "bob": false} {
		ask := exec.CommandContext(t.Context(), umagate, "rpt", "--client", "app", "--user", person, album)
		ask.Env = append(os.Environ(), "UMAGATE_PASSWORD="+person)
		out, err := ask.CombinedOutput()
		require.Equal(t, may, err == nil, "%s: %v\n%s", person, err, out)
	}
}

// challenge is what an answer without a token says.
func challenge(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return ""
	}
	defer response.Body.Close()
	return response.Header.Get("WWW-Authenticate")
}

// overlay has what is written below a folder go elsewhere, on this machine of the test.
func overlay(t *testing.T, folder string) {
	t.Helper()
	scratch := t.TempDir()
	for _, name := range []string{"upper", "work"} {
		require.NoError(t, os.Mkdir(filepath.Join(scratch, name), 0o755))
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%[2]s/upper,workdir=%[2]s/work", folder, scratch)
	require.NoError(t, syscall.Mount("overlay", folder, "overlay", 0, options))
}

// put copies a file to where a service has it.
func put(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
	require.NoError(t, os.WriteFile(to, content, 0o600))
}

// run runs the service's command until the end of the test.
func (s service) run(t *testing.T, name string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...) //nolint:noctx // it ends below
	cmd.Env, cmd.Dir = os.Environ(), t.TempDir()
	for variable, value := range s.Environment {
		cmd.Env = append(cmd.Env, variable+"="+value)
	}
	log := filepath.Join(cmd.Dir, name+".log")
	child, err := process.Start(cmd, log)
	require.NoError(t, err)
	t.Cleanup(func() {
		child.Stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("%s: %s\n%s", name, processtest.KeepLog(name, log), process.LastWords(log))
		}
	})
}

// publish is a port of a service as the machine has it.
func publish(t *testing.T, at, to string) {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(client, to)
		}
	}()
}

func forward(client net.Conn, to string) {
	defer client.Close()
	server, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	_, _ = io.Copy(client, server)
}
