// Package realenvoy_test holds what the filter and the control plane rely on of a real Envoy.
package realenvoy_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// patience bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const patience = 2 * time.Minute

// TestMain hides that the default transport can close idle connections: each server
// of httptest has it do so when it ends, also with those of a test beside it.
func TestMain(m *testing.M) {
	http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport}
	os.Exit(m.Run())
}

// setup is what a test's Envoy is made of. Parts that are empty are left out.
type setup struct {
	Wasm     string // path of the module
	Config   string // the filter's configuration
	Upstream string // host:port of the API
	// UpstreamExtra is YAML for the API's cluster, four spaces deep.
	UpstreamExtra string
	AccessLogs    []string
	// AccessLogJSON is a whole access log, in JSON, in place of that.
	AccessLogJSON string
	LogFile       string
	Listeners     string // YAML list items, two spaces deep
	Clusters      string // YAML list items, two spaces deep
	Resources     string // YAML for the top level, such as stats_config
	HCM           string // YAML for the HTTP connection manager, eight spaces deep
	Filter        string // replaces the wasm filter, eight spaces deep
	Plugin        string // YAML for the wasm filter's config, sixteen spaces deep
	Before, After string // YAML list items beside the wasm filter, ten spaces deep
	VirtualHost   string // YAML for the virtual host, fourteen spaces deep
}

var bootstrapTemplate = template.Must(template.New("bootstrap").Funcs(template.FuncMap{"cluster": cluster}).Parse(`
node: {id: test, cluster: test}
static_resources:
  listeners:
  - name: main
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: main
{{- if .HCM}}
{{.HCM}}
{{- end}}
{{- if .AccessLogJSON}}
          access_log: [{{.AccessLogJSON}}]
{{- else if .AccessLogs}}
          access_log:
          - name: envoy.access_loggers.file
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
              path: {{printf "%q" .LogFile}}
              log_format:
                text_format_source:
                  inline_string: {{printf "%q" .Format}}
                formatters:
                - name: envoy.formatter.cel
                  typed_config: {"@type": type.googleapis.com/envoy.extensions.formatter.cel.v3.Cel}
{{- end}}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
{{- if .VirtualHost}}
{{.VirtualHost}}
{{- end}}
              routes:
              - match: {prefix: "/"}
                route: {cluster: api}
              - match: {connect_matcher: {}}
                route: {cluster: api, upgrade_configs: [{upgrade_type: CONNECT, connect_config: {}}]}
          http_filters:
{{- if .Before}}
{{.Before}}
{{- end}}
{{- if .Filter}}
{{.Filter}}
{{- else}}
          - name: probe
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: probe
                root_id: probe
                failure_policy: FAIL_RELOAD
{{- if .Plugin}}
{{.Plugin}}
{{- end}}
                configuration: {"@type": type.googleapis.com/google.protobuf.StringValue, value: {{printf "%q" .Config}}}
                vm_config:
                  vm_id: probe
                  runtime: envoy.wasm.runtime.v8
                  code: {local: {filename: {{printf "%q" .Wasm}}}}
{{- end}}
{{- if .After}}
{{.After}}
{{- end}}
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
{{.Listeners}}
  clusters:
{{- with .Upstream}}
{{cluster "api" . $.UpstreamExtra}}
{{- end}}
{{.Clusters}}
{{.Resources}}
`[1:]))

// cluster is a static cluster with one endpoint, as a list item two spaces deep.
func cluster(name, address string, extra ...string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`  - name: %s
    connect_timeout: 1s
    load_assignment:
      cluster_name: %s
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %q, port_value: %s}}}}]}]
%s
`, name, name, host, port, strings.Join(extra, "\n"))
}

// Format is the access log's line.
func (s setup) Format() string { return strings.Join(s.AccessLogs, "|") + "\n" }

// start runs the Envoy of a setup until the end of the test, and returns it with
// the base URL of its listener.
func (s setup) start(t *testing.T) (process *envoy.Process, base string) {
	t.Helper()
	binary := envoytest.Binary(t)
	if s.Wasm == "" && s.Filter == "" {
		s.Wasm = probe(t)
	}
	if s.Upstream == "" {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %v", r.Method, r.RequestURI, r.Header)
		}))
		t.Cleanup(api.Close)
		s.Upstream = api.Listener.Addr().String()
	}
	var document bytes.Buffer
	require.NoError(t, bootstrapTemplate.Execute(&document, s))
	process = envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: document.Bytes(), ComponentLogLevel: "wasm:debug"})
	return process, "http://" + envoytest.Address(t.Context(), t, process, "main")
}

// probe builds the probe filter. Go's build cache makes all but the first quick.
func probe(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "probe.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", path, "./testdata/probe")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// ask sends a request with a command for the probe.
func ask(ctx context.Context, t *testing.T, url, command string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("x-probe", command)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(response.Body)
	require.NoError(t, err)
	return response, body.String()
}
