package mesh

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/umagate/umagate/e2e/process"
)

// Gateway is a running Envoy Gateway in its standalone mode: it reads objects from files
// and runs an Envoy itself. It listens on all addresses.
type Gateway struct {
	folder  string
	command command
	child   *process.Child
}

// gatewayConfig is Envoy Gateway's own configuration; %[1]s is its folder.
const gatewayConfig = `apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider:
  type: Custom
  custom:
    resource: {type: File, file: {paths: ["%[1]s/resources"]}}
    infrastructure:
      type: Host
      host: {configHome: "%[1]s/config", dataHome: "%[1]s/data", stateHome: "%[1]s/state", runtimeDir: "%[1]s/run"}
logging: {level: {default: info}}
extensionApis: {enableBackend: true, enableEnvoyPatchPolicy: true}
`

// standalone are the objects that every standalone Gateway needs. The class names the
// Envoy, which is looked for in the folder of data. The patch mends the cluster that
// Envoys fetch modules from: as shipped, it is for Envoys in a cluster.
const standalone = `apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: eg}
spec:
  controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: host, namespace: envoy-gateway-system}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: host, namespace: envoy-gateway-system}
spec:
  provider: {type: Host, host: {envoyVersion: %[2]q}}
  logging: {level: {default: info}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyPatchPolicy
metadata: {name: standalone-modules, namespace: %[3]s}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: %[4]s}
  type: JSONPatch
  jsonPatches:
  - type: type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: wasm_cluster
    operation:
      op: replace
      path: /transport_socket/typed_config/common_tls_context
      value:
        tls_params: {tls_maximum_protocol_version: TLSv1_3}
        tls_certificate_sds_secret_configs:
        - {name: xds_certificate, sds_config: {resource_api_version: V3, path_config_source: {path: "%[1]s/config/certs/envoy/xds-certificate.json"}}}
        validation_context_sds_secret_config:
          {name: xds_trusted_ca, sds_config: {resource_api_version: V3, path_config_source: {path: "%[1]s/config/certs/envoy/xds-trusted-ca.json"}}}
  - type: type.googleapis.com/envoy.config.cluster.v3.Cluster
    name: wasm_cluster
    operation:
      op: replace
      path: /load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/address
      value: 127.0.0.1
`

// GatewayOptions say which Gateway it is for.
type GatewayOptions struct {
	// Envoy is the path of the Envoy that it runs, of a version.
	Envoy, Version string
	// Namespace and Name are the Gateway's, and Objects are it and its routes.
	Namespace, Name, Objects string
}

// StartGateway runs one with its files in a folder, which stays, and returns when it runs.
// Its Envoy comes later.
func StartGateway(ctx context.Context, tools Tools, folder string, options GatewayOptions) (*Gateway, error) {
	binary := filepath.Join(folder, "data", "envoy-versions", options.Version, "bin")
	for _, name := range []string{binary, filepath.Join(folder, "resources")} {
		if err := os.MkdirAll(name, 0o750); err != nil {
			return nil, err
		}
	}
	if err := os.Symlink(options.Envoy, filepath.Join(binary, "envoy")); err != nil {
		return nil, err
	}
	g := &Gateway{folder: folder}
	// Before it starts: it misses a file that comes while it does.
	for name, objects := range map[string]string{
		"standalone": fmt.Sprintf(standalone, folder, options.Version, options.Namespace, options.Name), "gateway": options.Objects,
	} {
		if err := g.Apply(name, objects); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(folder, "envoy-gateway.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, gatewayConfig, folder), 0o600); err != nil {
		return nil, err
	}
	certificates := exec.CommandContext(ctx, tools.Path(EnvoyGateway), "certgen", "--local", "--config-home", filepath.Join(folder, "config")) //nolint:gosec // what Build has built
	certificates.Env = append(os.Environ(), "HOME="+folder)
	if out, err := certificates.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("envoy-gateway certgen: %w\n%s", err, out)
	}
	g.command = command{tools: tools, program: EnvoyGateway, folder: folder, arguments: []string{"server", "--config-path", config}}
	return g, g.Resume(ctx)
}

// Apply writes objects as a file of a name, or takes it away where there are none.
func (g *Gateway) Apply(name, objects string) error {
	path := filepath.Join(g.folder, "resources", name+".yaml")
	if strings.TrimSpace(objects) == "" {
		return os.Remove(path)
	}
	// A file beside it that is renamed: it never reads half of one.
	next := filepath.Join(g.folder, name+".new")
	if err := os.WriteFile(next, []byte(objects), 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Pause ends it at once, with its Envoy, until Resume.
func (g *Gateway) Pause() { g.child.Kill() }

// Resume starts it again.
func (g *Gateway) Resume(ctx context.Context) (err error) {
	const metrics = "http://127.0.0.1:19001/metrics"
	g.child, err = g.command.start(ctx, func(ctx context.Context) bool { return answers(ctx, http.DefaultClient, metrics, "") })
	return err
}

// Log is the file that it and its Envoy write.
func (g *Gateway) Log() string { return g.command.log() }

// Stop ends it.
func (g *Gateway) Stop() { g.child.Stop(syscall.SIGTERM) }
