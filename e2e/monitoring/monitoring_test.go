package monitoring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process"
	"github.com/umagate/umagate/e2e/process/processtest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
	"github.com/umagate/umagate/plugin/decision"
)

const folder = "../../envoy/monitoring"

var errEnded = errors.New("prometheus ended")

// program finds a program of Debian's package prometheus.
func program(t *testing.T, name string) string {
	t.Helper()
	return processtest.Require(t, "Prometheus", func() (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", fmt.Errorf("%w: install it (Debian's package is prometheus)", err)
		}
		return path, nil
	})
}

// promtool returns what it said, and whether it was content.
func promtool(t *testing.T, in string, args ...string) (string, bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "promtool"), args...)
	cmd.Dir, cmd.Stdin = folder, strings.NewReader(in)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "config", "prometheus.yaml"}, {"check", "rules", "conditions.rules.yaml", "requests.rules.yaml"}, {"test", "rules", "rules.test.yaml"},
	} {
		said, ok := promtool(t, "", args...)
		require.True(t, ok, said)
	}
}

// rule is an alert.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) []rule {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.rules.yaml"))
	require.NoError(t, err)
	var list []rule
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var parsed struct {
			Groups []struct {
				Rules []rule `yaml:"rules"`
			} `yaml:"groups"`
		}
		require.NoError(t, yaml.Unmarshal(text, &parsed))
		for _, g := range parsed.Groups {
			list = append(list, g.Rules...)
		}
	}
	require.Greater(t, len(list), 50)
	return list
}

// TestAlertsLeadSomewhere: each alert leads to a line of a page, and is tried by promtool
// or generated.
func TestAlertsLeadSomewhere(t *testing.T) {
	t.Parallel()
	tried, err := os.ReadFile(filepath.Join(folder, "rules.test.yaml"))
	require.NoError(t, err)
	for _, a := range alerts(t) {
		page, anchor, ok := strings.Cut(strings.TrimPrefix(a.Annotations["runbook_url"], "https://github.com/umagate/umagate/blob/main/"), "#")
		require.True(t, ok, a.Alert)
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(page)))
		require.NoError(t, err)
		require.Contains(t, string(text), `<a id="`+anchor+`"></a>`, a.Alert)
		if page == "docs/monitoring.md" {
			require.Contains(t, string(tried), "alertname: "+a.Alert)
		}
	}
}

// question is a query of a rule or the dashboard.
type question struct {
	from, expr string
	// data: it has an answer where there is traffic.
	data bool
}

func questions(t *testing.T) []question {
	t.Helper()
	var list []question
	for _, a := range alerts(t) {
		list = append(list, question{from: a.Alert, expr: a.Expr})
	}
	text, err := os.ReadFile(filepath.Join(folder, "dashboard.json"))
	require.NoError(t, err)
	var board struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &board))
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$site", ".*", "$__rate_interval", "1m").Replace(target.Expr)
			require.NotContains(t, expr, "$", p.Title)
			list = append(list, question{from: p.Title, expr: expr, data: p.Type != "table"})
		}
	}
	return list
}

// server is a Prometheus that scrapes.
type server struct {
	t    *testing.T
	base string
}

// prometheus runs one with prometheus.yaml, changed to scrape what the test runs.
func prometheus(t *testing.T, plane, envoys string) *server {
	t.Helper()
	binary := program(t, "prometheus")
	text, err := os.ReadFile(filepath.Join(folder, "prometheus.yaml"))
	require.NoError(t, err)
	config := strings.NewReplacer("127.0.0.1:8090", plane, "127.0.0.1:9901", envoys, "15s", "1s").Replace(string(text))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yaml"), []byte(config), 0o600))
	for _, name := range []string{"conditions.rules.yaml", "requests.rules.yaml"} {
		rules, err := os.ReadFile(filepath.Join(folder, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), rules, 0o600))
	}
	port, err := process.FreePort(t.Context())
	require.NoError(t, err)
	s := &server{t: t, base: "http://127.0.0.1:" + strconv.Itoa(port)}
	cmd := exec.Command(binary, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), //nolint:noctx // it is stopped below
		"--web.listen-address=127.0.0.1:"+strconv.Itoa(port), "--log.level=warn")
	log := filepath.Join(dir, "prometheus.log")
	child, err := process.Start(cmd, log)
	require.NoError(t, err)
	t.Cleanup(func() {
		child.Stop(syscall.SIGTERM)
		if t.Failed() {
			t.Log(process.LastWords(log))
		}
	})
	require.NoError(t, child.Await(t.Context(), servertest.Within, errEnded, func(ctx context.Context) bool {
		_, err := s.get(ctx, "/-/ready")
		return err == nil
	}))
	return s
}

func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", path, resp.Status, body)
	}
	return body, err
}

// ask asks a query, and returns how many lines the answer has.
func (s *server) ask(expr string) (int, error) {
	body, err := s.get(s.t.Context(), "/api/v1/query?"+url.Values{"query": {expr}}.Encode())
	if err != nil {
		return 0, err
	}
	var answer struct {
		Data struct{ Result []json.RawMessage }
	}
	err = json.Unmarshal(body, &answer)
	return len(answer.Data.Result), err
}

// series are those of a metric, by their labels.
func (s *server) series(metric string) []map[string]string {
	s.t.Helper()
	body, err := s.get(s.t.Context(), "/api/v1/series?"+url.Values{"match[]": {metric}}.Encode())
	require.NoError(s.t, err)
	var answer struct{ Data []map[string]string }
	require.NoError(s.t, json.Unmarshal(body, &answer))
	return answer.Data
}

var (
	metricName = regexp.MustCompile(`\b(?:umagate_\w+|process_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher    = regexp.MustCompile(`(\w+)(=~|!=|=)"([^"]*)"`)
	grouped    = regexp.MustCompile(`\b(?:by|ignoring) \(([^)]*)\)`)
	oursLine   = regexp.MustCompile(`(?m)^(?:# (?:HELP|TYPE) )?(umagate_\w+?)(?:_bucket|_sum|_count)?[ {]`)
	composed   = regexp.MustCompile(`^umagate_(control_plane|mcp_server)_call`) // by the filter, of whom it calls
	rowOfPage  = regexp.MustCompile("(?m)^\\| `(umagate_\\w+)` \\|")
)

// rare are labels of what does not happen here: no instance is lost, no message is withheld,
// and no site has a condition. The sources have them.
var rare = map[string][]string{
	"umagate_instance_reports_lost_total": {"site"}, "umagate_condition": {"site"}, "umagate_mcp_messages_withheld_total": {"site", "reason"},
}

// values are all that a label can have, where that is known.
func values(label string) []string {
	var list []string
	switch label {
	case "reason":
		for r := range decision.Reasons {
			list = append(list, r.String())
		}
	case "outcome":
		for o := range decision.CallOutcomes {
			list = append(list, o.String())
		}
	case "result":
		for e := range decision.Effects {
			list = append(list, e.String())
		}
		list = append(list, "hit", "miss", "stale")
	}
	return list
}

// names compares what a query names with what there is.
func (s *server) names(t *testing.T, q question) {
	t.Helper()
	labels := map[string]bool{}
	for _, found := range metricName.FindAllStringSubmatch(q.expr, -1) {
		name, _, _ := strings.Cut(found[0], "{")
		have := map[string]bool{}
		for _, one := range s.series(name) {
			for label := range maps.Keys(one) {
				have[label] = true
			}
		}
		for _, label := range rare[name] {
			have[label] = true
		}
		require.NotEmpty(t, have, "%s: there is no metric %s", q.from, name)
		for _, m := range matcher.FindAllStringSubmatch(found[1], -1) {
			require.True(t, have[m[1]], "%s: %s has no label %s", q.from, name, m[1])
			known := values(m[1])
			if m[2] == "=~" {
				for part := range strings.SplitSeq(m[3], "|") {
					whole := regexp.MustCompile("^(?:" + part + ")$")
					require.True(t, len(known) == 0 || slices.ContainsFunc(known, whole.MatchString), "%s: %s is never %s", q.from, m[1], part)
				}
			} else {
				require.True(t, len(known) == 0 || slices.Contains(known, m[3]), "%s: %s is never %s", q.from, m[1], m[3])
			}
		}
		maps.Copy(labels, have)
	}
	for _, g := range grouped.FindAllStringSubmatch(q.expr, -1) {
		for label := range strings.SplitSeq(g[1], ",") {
			require.True(t, labels[strings.TrimSpace(label)], "%s: nothing has the label %s", q.from, label)
		}
	}
}

// callTool sends a message to the MCP server, which is no server: what counts is before it.
func callTool(p *servertest.Plane, e *servertest.Protected) {
	p.T.Helper()
	req, err := http.NewRequestWithContext(p.T.Context(), http.MethodPost, e.Base+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search"}}`))
	require.NoError(p.T, err)
	req.Host = "photos.example.com"
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(p.T, err)
	_ = resp.Body.Close()
	require.Equal(p.T, http.StatusOK, resp.StatusCode)
}

// streamed is an answer of the API that does not end by itself.
const streamed = "/albums/stream"

// endStream begins an answer that does not end, and revokes its token.
func endStream(p *servertest.Plane, e *servertest.Protected, rpt string) {
	p.T.Helper()
	send := func(method, url, body string, change func(*http.Request)) *http.Response {
		req, err := http.NewRequestWithContext(p.T.Context(), method, url, strings.NewReader(body))
		require.NoError(p.T, err)
		change(req)
		resp, err := http.DefaultClient.Do(req)
		require.NoError(p.T, err)
		return resp
	}
	stream := send(http.MethodGet, e.Base+streamed, "", func(r *http.Request) {
		r.Host = "photos.example.com"
		r.Header.Set("Authorization", "Bearer "+rpt)
	})
	defer func() { _ = stream.Body.Close() }()
	require.Equal(p.T, http.StatusOK, stream.StatusCode)
	revoked := send(http.MethodPost, "http://"+p.API+"/v1/revocations", fmt.Sprintf(`{"token":%q,"site":"photos"}`, rpt), func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		p.Authorize(r)
	})
	_ = revoked.Body.Close()
	require.Less(p.T, revoked.StatusCode, 300)
	_, err := io.Copy(io.Discard, stream.Body)
	require.Error(p.T, err, "the stream breaks off")
}

// TestMetrics asks a Prometheus that scrapes both sides each query of the rules and the
// dashboard, has promtool judge the names, and compares them with docs/monitoring.md.
func TestMetrics(t *testing.T) {
	t.Parallel()
	program(t, "prometheus")
	binary := envoytest.Binary(t)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == streamed {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}))
	t.Cleanup(upstream.Close)
	as := servertest.StartAS(t, devas.Options{})
	require.NoError(t, as.AddClient(devas.Client{ID: "app", Secret: "app-secret"}))
	_, err := as.Permit(devas.Policy{Resource: "*", Clients: []string{"app"}})
	require.NoError(t, err)
	p := servertest.New(t)
	p.Write(fmt.Sprintf(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0", access_log: "off"}
plugin: {wasm: %q}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: %s
  authorization_server: {issuer: %s, client: {register: {}}}
  token: {streams: end_with_token}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}
  - {name: tools, conditions: [{paths: [/mcp], public: true}, {paths: [/mcp], public: true, mcp: {tools: [search]}}]}
`, servertest.Module(t), upstream.URL, as.Issuer()))
	p.Start()
	e := p.Protect(envoy.Options{Binary: binary})
	s := prometheus(t, p.API, strings.TrimPrefix(e.AdminURL(), "http://"))
	endStream(p, e, e.RPT(as))
	traffic := func() {
		e.Get("/albums/1", "")
		e.Get("/albums/1", "nobody-"+strconv.FormatInt(time.Now().UnixNano(), 36))
		e.Get("/elsewhere", "")
		callTool(p, e)
	}
	require.NoError(t, as.SetFault(devas.Fault{Endpoint: devas.EndpointIntrospection, Kind: devas.FaultHTML, Count: 1}))
	asked := questions(t)
	for _, q := range asked {
		require.Eventually(t, func() bool {
			traffic()
			n, err := s.ask(q.expr)
			require.NoError(t, err, "%s", q.from)
			return n > 0 || !q.data
		}, servertest.Within, 100*time.Millisecond, "%s: nothing answers %s", q.from, q.expr)
	}
	for _, q := range asked {
		s.names(t, q)
	}
	for _, a := range []string{"up{job=\"umagate\"} == 1", "up{job=\"envoy\"} == 1", "absent(ALERTS{alertstate=\"firing\"})"} {
		n, err := s.ask(a)
		require.NoError(t, err)
		require.Equal(t, 1, n, a)
	}

	_, plane := p.Get("/metrics")
	said, ok := promtool(t, plane, "check", "metrics")
	require.True(t, ok, said)
	envoys, err := e.Prometheus(t.Context())
	require.NoError(t, err)
	var ours bytes.Buffer
	for line := range strings.Lines(envoys) {
		if oursLine.MatchString(line) {
			ours.WriteString(line)
		}
	}
	said, _ = promtool(t, ours.String(), "check", "metrics")
	for line := range strings.Lines(said) {
		// Envoy writes no help for any metric, and takes whole numbers only from a filter.
		require.True(t, strings.HasSuffix(line, " no help text\n") || strings.HasSuffix(line, `use base unit "seconds" instead of "milliseconds"`+"\n"), line)
	}

	page, err := os.ReadFile("../../docs/monitoring.md")
	require.NoError(t, err)
	told := map[string]bool{}
	for _, row := range rowOfPage.FindAllStringSubmatch(string(page), -1) {
		told[row[1]] = true
	}
	shown := map[string]bool{}
	for _, line := range oursLine.FindAllStringSubmatch(plane+ours.String(), -1) {
		shown[line[1]] = true
		require.True(t, told[line[1]], "docs/monitoring.md does not tell of %s", line[1])
	}
	var source []byte
	for _, file := range []string{"../../plugin/filter/metrics.go", "../../controlplane/server/metrics.go"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		source = append(source, text...)
	}
	for name := range told {
		require.True(t, shown[name] || bytes.Contains(source, []byte(strings.TrimPrefix(name, "umagate_"))) || composed.MatchString(name), "docs/monitoring.md tells of %s", name)
	}
}
