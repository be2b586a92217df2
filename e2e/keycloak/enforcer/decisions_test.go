package enforcer_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/enforcer"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// narrower are requests that pass at the enforcer and may not pass here, and what says so.
type narrower struct {
	// requests match "GET /path", with the person before it.
	requests string
	// note is told by the import, or by what reads Keycloak.
	note string
}

// TestDecisions: whole configurations, with realm, clients, policies and enforcer file, in
// one Keycloak. Its own policy enforcer protects a servlet; umagate protects an API by a
// real Envoy, once by what "umagate import" makes of the same files, and once by
// resources_at_as beside an enforcer without paths. Both are asked the same, with tokens
// of the same people: nothing passes here that the enforcer refuses, and what it lets pass and
// umagate does not is what a note says.
func TestDecisions(t *testing.T) {
	process := start(t)
	binary := envoytest.Binary(t)
	server := keycloaktest.Start(t)
	t.Setenv("CLIENT_SECRET", "secret")
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)

	cases := []*decisionCase{
		{name: "photoz", paths: []string{"/album", "/album/1", "/album/1/photos", "/profile", "/admin/users", "/admin", "/health", "/healthz", "/other"}},
		{name: "servlet-authz", atAS: true, paths: []string{"/", "/index.html", "/protected/premium/a", "/protected/premium", "/protected/admin/a", "/protected/user/alice", "/protected/user/alice/x"}},
		{name: "rest-methods", paths: []string{"/api/orders", "/api/orders/1", "/api/orders/1/approve", "/api/orders/1/log", "/api/customers/1", "/api/reports/2026", "/api/missing", "/api/docs/index.html", "/other"}, narrower: []narrower{
			{`^rest-methods: .* PATCH /api/customers/`, `scopes-enforcement-mode DISABLED takes every authenticated caller`},
		}},
		{name: "method-scopes", atAS: true, methodAsScope: true, paths: []string{"/items", "/items/1", "/items/a", "/items/1/stock", "/items/a/stock", "/exports/all", "/x"}, narrower: []narrower{
			{`^method-scopes: .* /items/[^/]+/stock$`, `by /items/{id}/stock it is denied here`},
			{`^method-scopes-at-as: .* /items/a/stock$`, `"/items/a/stock" stands for "special item" at Keycloak`},
		}},
		{name: "permissive", paths: []string{"/", "/pages/1", "/pages/drafts/1", "/pages/1.html", "/pages/drafts/1.html", "/public/a", "/elsewhere", "/elsewhere/a"}, narrower: []narrower{
			{`a forger `, `a caller is authenticated by a token that Keycloak calls active`},
		}},
		{name: "claims", paths: []string{"/accounts/1", "/accounts/1/transfers", "/accounts", "/x"}},
		{name: "claims-read", paths: []string{"/loans/1", "/rates", "/x"}},
		{name: "tenants", atAS: true, paths: []string{"/tenants/b", "/tenants/acme", "/tenants/b/users/1", "/tenants/acme/users/1", "/tenants/acme/x", "/settings/a", "/settings", "/status"}, narrower: []narrower{
			{`^tenants: .* /(settings|tenants/[^/]+/users)`, `the enforcer finds it there when it is asked for`},
			{`^tenants-at-as: .* /tenants/acme/users/`, `by /tenants/acme/users/** it is denied here`},
		}},
		{name: "switched-off", paths: []string{"/", "/a", "/a/b"}, narrower: []narrower{
			{``, `a caller is authenticated by a token that Keycloak calls active`},
		}},
		{name: "server-permissive", atAS: true, paths: []string{"/wiki/a", "/wiki/a/b", "/wiki/admin", "/attachments/1", "/attachments", "/x"}, narrower: []narrower{
			{`^server-permissive: .* (/attachments/[^/]+|/wiki/admin)$`, `scope "access" is made up`},
			{`^server-permissive: carol.* /wiki/[^/]+/[^/]+$`, `by /wiki/{space}/{page} it is denied here`},
		}},
		{name: "tickets", atAS: true, paths: []string{"/files/1", "/folders/a", "/folders/a/b", "/x"}},
	}
	sites := ""
	for _, c := range cases {
		c.prepare(t, server, process)
		sites += c.site(t, server, api.URL)
	}
	p := servertest.New(t)
	p.Options.Intervals.Site.Sync = time.Hour // what Keycloak has does not change
	p.Write(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: "` + servertest.Module(t) + `"}
sites:
` + sites)
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	gateway := p.Protect(envoy.Options{Binary: binary})
	told := p.Until("Envoy has acknowledged everything", servertest.Acknowledged)
	for i := range told.Sites {
		if of := told.Sites[i].Kept; of != nil {
			at := slices.IndexFunc(cases, func(c *decisionCase) bool { return c.name+"-at-as" == told.Sites[i].Name })
			for _, n := range of.Notes {
				cases[at].notes += "kept: " + n.Text + "\n"
			}
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.compare(t, gateway.Base) })
	}
}

func allWell(s server.Status) bool { return s.OK }

// decisionCase is a configuration of testdata/decisions.
type decisionCase struct {
	name string
	// paths are asked for, and others that are made up of those that the files have.
	paths []string
	// atAS: the resources have URIs, so that resources_at_as can be asked, too.
	atAS          bool
	methodAsScope bool
	narrower      []narrower

	file  map[string]any
	known []string
	notes string
	login func(person string) (tokens, error)
	// enforcers are asked beside the hosts of the gateway.
	enforcers map[string]string
}

// tokens are those of a person: a plain access token, and one with permissions.
type tokens struct{ plain, rpt string }

// nobody sends no token, and the forger alice's with another signature.
const nobody, forger = "nobody", "a forger"

func (c *decisionCase) read(t *testing.T, file string) (out map[string]any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/decisions", c.name, file))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}

// prepare makes the realm, gets tokens, and runs the enforcers.
func (c *decisionCase) prepare(t *testing.T, server *keycloak.Server, process *enforcer.Process) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, server.ImportRealm(ctx, c.read(t, "realm.json")))
	c.file = c.read(t, "keycloak.json")
	c.file["auth-server-url"] = server.URL()
	client := c.file["resource"].(string)
	c.login = func(person string) (tokens, error) {
		access, err := server.TokenIn(ctx, c.name, keycloak.AppClient, person)
		if err != nil {
			return tokens{}, err
		}
		rpt, err := server.RPTIn(ctx, c.name, access, client)
		if err != nil {
			rpt = access // nothing is permitted
		}
		return tokens{plain: access, rpt: rpt}, nil
	}
	config := map[string]any{} // as the filter for servlets has it
	maps.Copy(config, c.file)
	if inner, ok := c.file["policy-enforcer"].(map[string]any); ok {
		delete(config, "policy-enforcer")
		maps.Copy(config, inner)
	}
	address, err := process.Serve(config)
	require.NoError(t, err)
	c.enforcers = map[string]string{c.name: address}
	if paths, ok := config["paths"].([]any); ok {
		for _, one := range paths {
			c.known = append(c.known, one.(map[string]any)["path"].(string))
		}
	}
	if c.atAS {
		delete(config, "paths")
		delete(config, "lazy-load-paths")
		address, err := process.Serve(config)
		require.NoError(t, err)
		c.enforcers[c.name+"-at-as"] = address
	}
}

// site imports the files, and gives the sites.
func (c *decisionCase) site(t *testing.T, server *keycloak.Server, upstream string) string {
	t.Helper()
	client, err := server.ClientIn(t.Context(), c.name, c.file["resource"].(string))
	require.NoError(t, err)
	var settings, list json.RawMessage // as the console exports them, and as kcadm.sh lists them
	authorization := "/clients/" + client + "/authz/resource-server"
	require.NoError(t, server.AdminIn(t.Context(), c.name, http.MethodGet, authorization+"/settings", nil, &settings))
	require.NoError(t, server.AdminIn(t.Context(), c.name, http.MethodGet, authorization+"/resource?max=10000", nil, &list))
	var export struct {
		Resources []struct {
			URIs []string `json:"uris"`
		} `json:"resources"`
	}
	require.NoError(t, json.Unmarshal(settings, &export))
	for _, r := range export.Resources {
		c.known = append(c.known, r.URIs...)
	}
	folder := t.TempDir()
	file, err := json.Marshal(c.file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "keycloak.json"), file, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "settings.json"), settings, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "resources.json"), list, 0o600))
	var out, stderr bytes.Buffer
	code := cli.Run(t.Context(), cli.Environment{Stdin: strings.NewReader(""), Stdout: &out, Stderr: &stderr}, []string{
		"import", "keycloak-enforcer", filepath.Join(folder, "keycloak.json"),
		"--authorization", filepath.Join(folder, "settings.json"), "--resource-ids", filepath.Join(folder, "resources.json"),
		"--site", c.name, "--host", c.name + ".example.com", "--output", "json",
	})
	require.Equal(t, cli.ExitOK, code, stderr.String())
	var report struct {
		File  string
		Notes []importer.Note
	}
	require.NoError(t, json.Unmarshal(out.Bytes(), &report))
	for _, n := range report.Notes {
		c.notes += fmt.Sprintf("%s: %s\n", n.Severity, n.Text)
	}
	const commented = "  # upstream: http://127.0.0.1:8080"
	more := "  upstream: " + upstream + "\n  limits: {evaluations_per_second: 100000, evaluation_burst: 100000}\n"
	head, site, found := strings.Cut(report.File, "sites:\n")
	require.True(t, found, head)
	require.Contains(t, site, commented)
	site = strings.Replace(site, commented, more+commented, 1)
	if c.atAS {
		evaluate := "  token: {evaluate: at_as}\n  challenge: bearer"
		if _, tickets := c.file["user-managed-access"]; tickets {
			evaluate = ""
		}
		site += fmt.Sprintf(`
- name: %[1]s-at-as
  hosts: [%[1]s-at-as.example.com]
%[2]s
  authorization_server: {issuer: "%[3]s/realms/%[1]s", insecure_http: true, client: {id: %[4]q, secret: {env: CLIENT_SECRET}}}
%[5]s
  resources_at_as: {http_method_as_scope: %[6]v}
`, c.name, more, server.URL(), c.file["resource"], evaluate, c.methodAsScope)
	}
	return site
}

// question is one request to both.
type question struct {
	host, who, method, path string
	rpt                     bool
	here, there             int
	code                    string
}

func (q *question) String() string {
	who := q.who
	if q.rpt {
		who += "'s RPT"
	}
	return q.host + ": " + who + " " + q.method + " " + q.path
}

func (q *question) token(of tokens) string {
	if q.rpt {
		return of.rpt
	}
	return of.plain
}

// questions are those of a person.
func (c *decisionCase) questions(who string) (out []*question) {
	r := rand.New(rand.NewPCG(41, uint64(len(c.name))))
	paths := slices.Clone(c.paths)
	for range 4 {
		if path := enforcertest.SomeTarget(r, c.known, false); !strings.ContainsAny(path, "{}*") && !slices.Contains(paths, path) {
			paths = append(paths, path)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(c.enforcers)) {
		for i, path := range paths {
			methods := []string{"GET", "POST", "PUT", "DELETE", "PATCH"}
			if i >= len(c.paths) {
				methods = []string{"GET", methods[1+r.IntN(4)]}
			}
			for _, method := range methods {
				out = append(out, &question{host: host, who: who, method: method, path: path})
				if who != nobody && who != forger && (method == "GET" || method == "DELETE") {
					out = append(out, &question{host: host, who: who, method: method, path: path, rpt: true})
				}
			}
		}
	}
	return out
}

// ask asks both, each with a session of its own of the person's: Keycloak loses some in which
// much is evaluated. A no is believed of a session that is new, or where Keycloak says no
// to umagate, too.
func (c *decisionCase) ask(t *testing.T, gateway string, all []*question) {
	t.Helper()
	who := all[0].who
	login := func() (out tokens) {
		if who == nobody {
			return out
		}
		person := who
		if who == forger {
			person = "alice"
		}
		out, err := c.login(person)
		if err != nil {
			t.Error(err)
		}
		if who == forger && err == nil {
			out.plain = out.plain[:len(out.plain)-8] + "AAAAAAAA"
		}
		return out
	}
	here, there := login(), login()
	for _, q := range all {
		q.here, q.code = status(t, gateway, q.host+".example.com", q, q.token(here))
		if q.code == "inactive_token" && who != forger {
			here = login()
			q.here, q.code = status(t, gateway, q.host+".example.com", q, q.token(here))
		}
		q.there, _ = status(t, c.enforcers[q.host], "", q, q.token(there))
		if q.there != http.StatusOK && q.code != "insufficient_permission" && who != forger && who != nobody {
			there = login()
			q.there, _ = status(t, c.enforcers[q.host], "", q, q.token(there))
		}
	}
}

// compare asks both, and compares.
func (c *decisionCase) compare(t *testing.T, gateway string) {
	t.Helper()
	var all []*question
	var people sync.WaitGroup
	for _, who := range []string{"alice", "bob", "carol", nobody, forger} {
		of := c.questions(who)
		all = append(all, of...)
		people.Go(func() { c.ask(t, gateway, of) })
	}
	people.Wait()

	var expressions []*regexp.Regexp
	used := make([]bool, len(c.narrower))
	for _, n := range c.narrower {
		expressions = append(expressions, regexp.MustCompile(n.requests))
	}
	passed, same := 0, 0
	for _, q := range all {
		if q.there != http.StatusOK {
			if q.here == http.StatusOK {
				t.Errorf("%s passes here; the enforcer says %d", q, q.there)
			}
			continue
		}
		passed++
		if q.here == http.StatusOK {
			same++
			continue
		}
		at := slices.IndexFunc(expressions, func(e *regexp.Regexp) bool { return e.MatchString(q.String()) })
		if at < 0 {
			t.Errorf("%s passes at the enforcer; %d (%s) here, and nothing says so", q, q.here, q.code)
			continue
		}
		used[at] = true
	}
	for i, n := range c.narrower {
		if !used[i] {
			t.Errorf("%q is not narrower", n.requests)
		}
		require.Contains(t, c.notes, n.note)
	}
	t.Logf("%d requests; the enforcer lets %d pass, and %d of them pass here", len(all), passed, same)
	require.Positive(t, same, "nothing passes")
	if t.Failed() {
		t.Log(c.notes)
	}
}

// status asks one of them; code is umagate's word for a denial.
func status(t *testing.T, base, host string, q *question, token string) (status int, code string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), q.method, base+q.path, http.NoBody)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	var answer struct{ Code string }
	body, _ := io.ReadAll(resp.Body)
	_ = json.Unmarshal(body, &answer)
	_ = resp.Body.Close()
	return resp.StatusCode, answer.Code
}
