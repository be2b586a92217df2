package blocks

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/port"
	"github.com/umagate/umagate/e2e/browser"
	"github.com/umagate/umagate/e2e/pki"
)

// example is the umagate.yaml of a document that shows none, and what is around a
// block that shows a part.
const example = `
plugin: {wasm: build/umagate.wasm}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: http://127.0.0.1:8080
  authorization_server: {issuer: https://as.example.com, client: {register: {}}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/{id}"], methods: [GET], scopes: [view]}]}
`

// variables are the environment variables that the documents name.
var variables = map[string]string{
	"PHOTOS_API_SECRET":    "photos-api-secret",
	"API_SECRET":           "api-secret",
	"API_STAFF_SECRET":     "api-staff-secret",
	"API_PARTNERS_SECRET":  "api-partners-secret",
	"INITIAL_ACCESS_TOKEN": "initial-access-token",
	"UMAGATE_STORE_KEY":    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
	"UMAGATE_PASSWORD":     "alice",
	"KC_ADMIN_PASSWORD":    "admin",
}

// sandbox is the machine of somebody who follows a document.
type sandbox struct {
	t       *testing.T
	dir     string
	as      *devas.Server
	listen  map[string]any     // where the control plane listens
	env     []string           // of commands
	replace *strings.Replacer  // what the documents name, and where it is here
	stop    context.CancelFunc // ends the control plane; nil while there is none
	stopped chan struct{}
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := &sandbox{t: t, dir: t.TempDir(), listen: map[string]any{}}
	var err error
	s.as, err = devas.New(devas.Options{
		InitialAccessTokens: []devas.InitialAccessToken{{Token: "initial-access-token"}},
		Users:               []devas.User{{Name: "alice", Password: "alice"}},
		Clients: []devas.Client{
			{ID: "app", Metadata: devas.Metadata{TokenEndpointAuthMethod: devas.AuthNone, RedirectURIs: []string{"http://127.0.0.1/callback"}}},
			{ID: "photos-api", Secret: "photos-api-secret", Metadata: devas.Metadata{GrantTypes: []string{"client_credentials"}, Scope: devas.ScopePAT}},
			{ID: "tools-api", Secret: "api-secret", Metadata: devas.Metadata{GrantTypes: []string{"client_credentials"}, Scope: devas.ScopePAT}},
		},
	})
	require.NoError(t, err)
	stop, err := s.as.Start(context.WithoutCancel(t.Context()))
	require.NoError(t, err)
	t.Cleanup(stop)
	for _, name := range []string{"api", "xds", "instances"} {
		address, reservation, err := port.Reserve("127.0.0.1")
		require.NoError(t, err)
		t.Cleanup(func() { _ = reservation.Close() })
		s.listen[name] = address
	}
	s.replace = strings.NewReplacer(
		"127.0.0.1:8090", s.listen["api"].(string),
		"http://127.0.0.1:10000", s.protected(),
		"https://photos.example.com", s.protected(),
		"/etc/envoy/sds", filepath.Join(s.dir, "sds"),
		"/var/lib/umagate-agent", filepath.Join(s.dir, "agent"),
		"/opt/oxd-server", s.copyOf("controlplane/oxd/legacy/testdata/v3", "oxd-server"),
	)
	s.files()
	s.configure(example)
	t.Cleanup(s.halt)
	return s
}

// files writes what the documents take for granted in the folder.
func (s *sandbox) files() {
	ca := pki.New(s.t, "documents")
	pair := ca.Issue(s.t, pki.Leaf{Names: []string{"control.example.com", "127.0.0.1"}})
	for name, content := range map[string][]byte{
		"xds.crt": pair.Certificate, "xds.key": pair.Key, "envoys.crt": ca.PEM,
		"api.crt": pair.Certificate, "api.key": pair.Key, "callers.crt": ca.PEM,
		"iat": []byte("initial-access-token"), "ci.token": []byte("a-token-of-the-documents-with-enough-characters"), "stolen.token": []byte("stolen"),
		"store-1.key": []byte(variables["UMAGATE_STORE_KEY"]), "store-2.key": []byte(strings.ToLower(variables["UMAGATE_STORE_KEY"])),
		"restored.yaml": []byte("store: sqlite:restored.db\n" + example),
	} {
		s.write(name, content)
	}
	s.copyOf("controlplane/importer/testdata/openapi-photos.yaml", "openapi.yaml")
	s.copyOf("controlplane/importer/testdata/keycloak-photoz.json", "keycloak.json")
	s.copyOf("controlplane/importer/testdata/authorization-photoz.json", "settings.json")
	s.write("resources.json", []byte(`[{"name":"Album","_id":"8e1f0c2a-0001"}]`))
	s.copyOf("controlplane/importer/testdata/quarkus-shop.properties", "application.properties")
	s.copyOf("controlplane/importer/testdata/spring-cars.yaml", "application.yaml")
	s.copyOf("controlplane/importer/testdata/apisix-orders.yaml", "apisix.yaml")
	s.copyOf("controlplane/importer/testdata/pinggateway-guides.json", "uma-route.json")
	s.copyOf("controlplane/importer/testdata/gatekeeper-docs.yaml", "gatekeeper.yaml")
	s.copyOf("controlplane/importer/testdata/istio-httpbin.yaml", "policies.yaml")
	s.copyOf("controlplane/importer/testdata/gluu-protect.json", "uma_rs_protect.json")

	self, err := os.Executable()
	require.NoError(s.t, err)
	for _, folder := range []string{"bin", "build", "sds", "agent"} {
		require.NoError(s.t, os.Mkdir(filepath.Join(s.dir, folder), 0o700))
	}
	for _, program := range []string{"umagate", "build/umagate"} {
		require.NoError(s.t, os.Symlink(self, filepath.Join(s.dir, program)))
	}
	for name := range commands {
		require.NoError(s.t, os.Symlink(self, filepath.Join(s.dir, "bin", name)))
	}
	for _, name := range []string{"cat", "cp"} {
		path, err := exec.LookPath(name)
		require.NoError(s.t, err)
		require.NoError(s.t, os.Symlink(path, filepath.Join(s.dir, "bin", name)))
	}
	makefile, err := filepath.Abs(filepath.Join(root, "Makefile"))
	require.NoError(s.t, err)
	s.env = []string{
		"PATH=" + filepath.Join(s.dir, "bin"), "HOME=" + s.dir,
		makefileVariable + "=" + makefile, personVariable + "=" + s.person(),
	}
	for name, value := range variables {
		s.env = append(s.env, name+"="+value)
	}
}

func (s *sandbox) write(name string, content []byte) {
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), content, 0o600))
}

// copyOf puts a file or folder of the repository into the sandbox and returns where.
func (s *sandbox) copyOf(source, name string) string {
	from, to := filepath.Join(root, filepath.FromSlash(source)), filepath.Join(s.dir, name)
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		require.NoError(s.t, os.CopyFS(to, os.DirFS(from)))
		return to
	}
	content, err := os.ReadFile(from)
	require.NoError(s.t, err)
	s.write(name, content)
	return to
}

// configure validates a yaml block, whole or at its place in the example, and makes
// it the umagate.yaml of what follows, with the addresses of this machine.
func (s *sandbox) configure(text string) {
	s.t.Helper()
	s.halt()
	file := merged(s.t, text)
	s.encode("block.yaml", file)
	s.command(cli.ExitOK, "validate", "-c", filepath.Join(s.dir, "block.yaml"))

	delete(file, "store")
	delete(file, "store_key")
	delete(file, "store_key_previous")
	listen, _ := file["listen"].(map[string]any)
	file["listen"] = maps.Clone(listen)
	if listen == nil {
		file["listen"] = map[string]any{}
	}
	maps.Copy(file["listen"].(map[string]any), s.listen)
	sites := file["sites"].([]any)
	// Issuers that tell sites apart are as they are written: there is only one AS here.
	if !slices.ContainsFunc(sites, func(entry any) bool { return entry.(map[string]any)["chosen_by"] != nil }) {
		for _, entry := range sites {
			entry.(map[string]any)["authorization_server"].(map[string]any)["issuer"] = s.as.Issuer()
		}
	}
	s.encode("umagate.yaml", file)
	old, err := filepath.Glob(filepath.Join(s.dir, "umagate.db*"))
	require.NoError(s.t, err)
	for _, name := range old {
		require.NoError(s.t, os.Remove(name))
	}
}

func (s *sandbox) encode(name string, file map[string]any) {
	text, err := yaml.Marshal(file)
	require.NoError(s.t, err)
	s.write(name, text)
}

// merged is the example with a block at its place: in the file where the schema has
// its first member there, and otherwise in the site.
func merged(t *testing.T, text string) map[string]any {
	t.Helper()
	var file, part map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(example), &file))
	require.NoError(t, yaml.Unmarshal([]byte(text), &part), text)
	schema, err := os.ReadFile(filepath.Join(root, "controlplane", "site", "umagate.schema.json"))
	require.NoError(t, err)
	var known struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(schema, &known))
	members := known.Defs["File"].Properties
	require.Contains(t, members, "sites")
	for name, value := range part {
		if _, whole := members[name]; whole {
			file[name] = value
		} else {
			file["sites"].([]any)[0].(map[string]any)[name] = value
		}
	}
	return file
}

// command runs umagate in this process.
func (s *sandbox) command(code int, args ...string) {
	s.t.Helper()
	var out bytes.Buffer
	got := cli.Run(s.t.Context(), environment(&out, &out), args)
	require.Equal(s.t, code, got, "umagate %s\n%s", strings.Join(args, " "), out.String())
}

// environment is that of a reader who has set what the documents name.
func environment(out, problems io.Writer) cli.Environment {
	return cli.Environment{
		Stdin: strings.NewReader(""), Stdout: out, Stderr: problems,
		LookupEnv: func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
	}
}

// run runs an sh block, as a reader does who copies it whole.
func (s *sandbox) run(text string) {
	s.t.Helper()
	switch {
	case strings.Contains(text, "umagate restore"), strings.Contains(text, "--into"):
		s.halt()
	case strings.Contains(text, "umagate"):
		s.serve()
	}
	bash, err := exec.LookPath("bash")
	require.NoError(s.t, err)
	command := exec.CommandContext(s.t.Context(), bash, "-euo", "pipefail", "-c", s.replace.Replace(text))
	command.Dir, command.Env = s.dir, s.env
	out, err := command.CombinedOutput()
	require.NoError(s.t, err, "%s\n%s", text, out)
}

// serve runs the control plane on umagate.yaml until halt, and waits until it has
// published and the sites need nothing but a person.
func (s *sandbox) serve() {
	s.t.Helper()
	if s.stop != nil {
		return
	}
	path := filepath.Join(s.dir, "umagate.yaml")
	text, err := os.ReadFile(path)
	require.NoError(s.t, err)
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.WithoutCancel(s.t.Context()))
	s.stopped = make(chan struct{})
	go func() {
		defer close(s.stopped)
		cli.Run(ctx, environment(io.Discard, io.Discard), []string{"serve", "-c", path})
	}()
	login := strings.Contains(string(text), "authorization_code")
	var out bytes.Buffer
	require.Eventually(s.t, func() bool {
		out.Reset()
		code := cli.Run(s.t.Context(), environment(&out, &out), []string{"status", "-c", path})
		return code == cli.ExitOK || login && strings.Contains(out.String(), "umagate login")
	}, time.Minute, 20*time.Millisecond, "%s", &out)
}

// halt ends the control plane, if one runs.
func (s *sandbox) halt() {
	if s.stop != nil {
		s.stop()
		<-s.stopped
		s.stop = nil
	}
}

// person answers where somebody logs in at the address that is sent to it.
func (s *sandbox) person() string {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	front := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		address := r.FormValue("address")
		u, err := url.Parse(address)
		if err != nil {
			s.t.Errorf("%s: %v", address, err)
			return
		}
		back := browser.New(s.t, nil).Visit(s.t, address, u.Query().Get("redirect_uri"), "alice", "alice")
		req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, back.String(), http.NoBody)
		if err != nil {
			s.t.Errorf("%s: %v", back, err)
			return
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}))
	s.t.Cleanup(front.Close)
	return front.URL
}

// protected is a protected API that lets alice in: what Envoy and the filter are
// otherwise. It returns its address.
func (s *sandbox) protected() string {
	var ids map[string]string
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			_, _ = io.WriteString(w, "an album\n")
			return
		}
		pat := s.ask(r.Context(), "/token", "", url.Values{"grant_type": {"client_credentials"}, "scope": {devas.ScopePAT}}.Encode())["access_token"]
		if ids == nil {
			ids = s.ask(r.Context(), "/uma/resources", pat, `{"name": "album", "resource_scopes": ["view"]}`)
			_, err := s.as.Permit(devas.Policy{Resource: ids["_id"], Subjects: []string{"alice"}})
			if err != nil {
				s.t.Error(err)
			}
		}
		ticket := s.ask(r.Context(), "/uma/permission", pat, `[{"resource_id": "`+ids["_id"]+`", "resource_scopes": ["view"]}]`)["ticket"]
		w.Header().Set("WWW-Authenticate", `UMA realm="photos", as_uri="`+s.as.Issuer()+`", ticket="`+ticket+`"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	s.t.Cleanup(front.Close)
	return front.URL
}

// ask posts to the authorization server, with the PAT where there is one, and
// otherwise as the client.
func (s *sandbox) ask(ctx context.Context, path, pat, body string) map[string]string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.as.Issuer()+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+pat)
	if pat == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("photos-api", variables["PHOTOS_API_SECRET"])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Error(err)
	}
	texts := map[string]string{}
	for name, value := range answer {
		texts[name], _ = value.(string)
	}
	return texts
}
