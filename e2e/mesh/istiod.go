package mesh

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/umagate/umagate/e2e/process"
)

// Istiod is a running istiod, the shipped one, without TLS and without what changes
// pods. What comes of it is for proxies that are plain Envoys: without the filters that
// only Istio's own build has.
type Istiod struct {
	// Discovery is where proxies find it.
	Discovery string

	command command
	ready   string
	child   *process.Child
}

// meshConfig turns off what a plain Envoy does not have.
const meshConfig = `trustDomain: cluster.local
rootNamespace: istio-system
accessLogFile: ""
enablePrometheusMerge: false
enableAutoMtls: false
defaultConfig:
  controlPlaneAuthPolicy: NONE
defaultProviders:
  metrics: []
`

// StartIstiod runs one that reads its objects from an API server, whose definitions are
// installed ([IstioCRDs]). Its files are in a folder, which stays.
func StartIstiod(ctx context.Context, tools Tools, folder string, api *APIServer) (*Istiod, error) {
	if _, err := api.Kubectl(ctx, `{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}`, "apply", "-f", "-"); err != nil {
		return nil, err
	}
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "mesh.yaml")
	if err := os.WriteFile(config, []byte(meshConfig), 0o600); err != nil {
		return nil, err
	}
	i := &Istiod{Discovery: loopback(ports[0]), ready: "http://" + loopback(ports[1]) + "/ready"}
	i.command = command{
		tools: tools, program: PilotDiscovery, folder: folder,
		arguments: []string{
			"discovery", "--kubeconfig", api.Kubeconfig, "--meshConfig", config, "--shutdownDuration", "1s",
			"--grpcAddr", i.Discovery, "--httpAddr", loopback(ports[1]), "--monitoringAddr", loopback(ports[2]),
			"--secureGRPCAddr", "", "--httpsAddr", "", "--ctrlz_port", "0",
		},
		variables: []string{
			"POD_NAME=istiod", "POD_NAMESPACE=istio-system", "ENABLE_LEADER_ELECTION=false",
			"PILOT_ENABLE_GATEWAY_API=false", "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION=false",
			"INJECTION_WEBHOOK_CONFIG_NAME=", "VALIDATION_WEBHOOK_CONFIG_NAME=",
			// Filters that only Istio's own build of Envoy has.
			"PILOT_ENABLE_METADATA_EXCHANGE=false", "PILOT_ENABLE_ALPN_FILTER=false",
		},
	}
	return i, i.Resume(ctx)
}

// Pause ends it, until Resume.
func (i *Istiod) Pause() { i.child.Kill() }

// Resume starts it again, at the same address.
func (i *Istiod) Resume(ctx context.Context) (err error) {
	i.child, err = i.command.start(ctx, func(ctx context.Context) bool { return answers(ctx, http.DefaultClient, i.ready, "") })
	return err
}

// Log is the file that it writes.
func (i *Istiod) Log() string { return i.command.log() }

// Stop ends it.
func (i *Istiod) Stop() { i.child.Stop(syscall.SIGTERM) }

// Proxy is an Envoy that pilot-agent runs, as in each pod of a mesh. It listens on all
// addresses, and writes below /var/lib/istio.
type Proxy struct {
	// Admin is the address of Envoy's admin interface.
	Admin string

	command command
	child   *process.Child
}

// ProxyOptions say which proxy it is.
type ProxyOptions struct {
	// Envoy is the path of the plain Envoy that it runs.
	Envoy string
	// Role is "router" for a gateway, or "sidecar".
	Role string
	// Namespace is that of its pod, and Labels are the pod's, as JSON.
	Namespace, Labels string
	// Registry is one that is asked without TLS, HOST:PORT.
	Registry string
	// Metadata is more of what the proxy tells istiod, as NAME=VALUE.
	Metadata []string
}

// StartProxy runs one that istiod configures, and returns when Envoy is ready. Its files
// are in a folder, which stays.
func StartProxy(ctx context.Context, tools Tools, folder string, istiod *Istiod, options ProxyOptions) (*Proxy, error) {
	ports, err := freePorts(ctx, 1)
	if err != nil {
		return nil, err
	}
	config := filepath.Join(folder, "mesh.yaml")
	if err := os.WriteFile(config, []byte(meshConfig), 0o600); err != nil {
		return nil, err
	}
	// Its image has the folder that it keeps modules in.
	if err := os.MkdirAll("/var/lib/istio/data", 0o750); err != nil {
		return nil, err
	}
	p := &Proxy{Admin: loopback(ports[0])}
	p.command = command{
		tools: tools, program: PilotAgent, folder: folder,
		arguments: []string{
			"proxy", options.Role, "--meshConfig", config, "--templateFile", tools.File(envoyBootstrap),
			"--domain", options.Namespace + ".svc.cluster.local", "--proxyLogLevel", "info",
		},
		variables: append([]string{
			"POD_NAME=proxy-0", "POD_NAMESPACE=" + options.Namespace, "SERVICE_ACCOUNT=default",
			"INSTANCE_IP=10.1.1.1", // loopback is no address of a pod
			"ISTIO_META_CLUSTER_ID=Kubernetes", "ISTIO_META_WORKLOAD_NAME=proxy", "ISTIO_METAJSON_LABELS=" + options.Labels,
			"FILE_MOUNTED_CERTS=true", "WASM_INSECURE_REGISTRIES=" + options.Registry, "ENVOY_SKIP_DEPRECATED_LOGS=true",
			fmt.Sprintf(`PROXY_CONFIG={discoveryAddress: %q, controlPlaneAuthPolicy: NONE, binaryPath: %q, configPath: %q, proxyAdminPort: %s, concurrency: 1, terminationDrainDuration: 1s, tracing: {}}`,
				istiod.Discovery, options.Envoy, filepath.Join(folder, "proxy"), strconv.Itoa(ports[0])),
		}, options.Metadata...),
	}
	p.child, err = p.command.start(ctx, func(ctx context.Context) bool {
		return answers(ctx, http.DefaultClient, "http://"+p.Admin+"/ready", "")
	})
	return p, err
}

// Log is the file that pilot-agent and its Envoy write.
func (p *Proxy) Log() string { return p.command.log() }

// Stop ends both.
func (p *Proxy) Stop() { p.child.Stop(syscall.SIGTERM) }
