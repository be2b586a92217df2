package envoy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/demo/sampleapi"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// recipe is one yaml block of docs/authorization-servers.md.
type recipe struct {
	section, text string
}

var yamlBlock = regexp.MustCompile("(?m)^```yaml\n((?s:.*?))^```$")

func recipes(t *testing.T) []recipe {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", "authorization-servers.md"))
	require.NoError(t, err)
	var out []recipe
	for section := range strings.SplitSeq(string(text), "\n## ") {
		title, _, _ := strings.Cut(section, "\n")
		for _, block := range yamlBlock.FindAllStringSubmatch(section, -1) {
			out = append(out, recipe{section: title, text: block[1]})
		}
	}
	return out
}

// recipeOf gives the n-th recipe of a section.
func recipeOf(t *testing.T, section string, n int) string {
	t.Helper()
	for _, r := range recipes(t) {
		if r.section == section {
			if n == 0 {
				return r.text
			}
			n--
		}
	}
	require.FailNow(t, "no such recipe", "%s", section)
	return ""
}

func TestRecipesAreValid(t *testing.T) {
	t.Parallel()
	all := recipes(t)
	require.Len(t, all, 6)
	for _, r := range all {
		file, err := site.Parse("authorization-servers.md", []byte(r.text), site.Environment{
			LookupEnv: func(name string) (string, bool) {
				return "secret", strings.HasSuffix(name, "_SECRET") || strings.HasSuffix(name, "_TOKEN")
			},
		})
		require.NoError(t, err, r.section)
		require.Empty(t, file.Warnings, r.section)
	}
}

// kitchen runs umagate with a recipe.
type kitchen struct {
	t    *testing.T
	path string
	vars map[string]string
}

func cook(t *testing.T, text string, vars map[string]string) *kitchen {
	t.Helper()
	k := &kitchen{t: t, path: filepath.Join(t.TempDir(), "umagate.yaml"), vars: vars}
	require.NoError(t, os.WriteFile(k.path, []byte(text), 0o600))
	return k
}

func (k *kitchen) run(args ...string) (int, string, string) {
	k.t.Helper()
	var out, problems bytes.Buffer
	code := cli.Run(k.t.Context(), cli.Environment{
		Stdin: strings.NewReader(""), Stdout: &out, Stderr: &problems,
		LookupEnv:   func(name string) (string, bool) { v, ok := k.vars[name]; return v, ok },
		OpenBrowser: func(context.Context, string) error { return nil },
	}, args)
	return code, out.String(), problems.String()
}

// steps are those of the document: validate, plan, apply, plan.
func (k *kitchen) steps() {
	k.t.Helper()
	for _, step := range []struct {
		code int
		args []string
	}{
		{cli.ExitOK, []string{"validate", "-c", k.path}},
		{cli.ExitChanges, []string{"plan", "-c", k.path}},
		{cli.ExitOK, []string{"apply", "-c", k.path, "--yes"}},
		{cli.ExitOK, []string{"plan", "-c", k.path}},
	} {
		code, out, problems := k.run(step.args...)
		require.Equal(k.t, step.code, code, "%v\n%s%s", step.args, out, problems)
	}
}

// TestKeycloakRecipes are followed to the letter, with a real Keycloak and a real
// Envoy that has no control plane.
func TestKeycloakRecipes(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	kc := keycloaktest.Start(t)
	api, err := sampleapi.New().Start(t.Context(), "127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(api.Stop)
	vars := map[string]string{
		"ISSUER": kc.Issuer(), "UPSTREAM": "http://" + api.Address, "PHOTOS_API_SECRET": "photos-api-secret", "UMAGATE_PASSWORD": "alice",
	}

	t.Run("a client of its own", func(t *testing.T) {
		wasm, err := filepath.Abs("../build/umagate.wasm")
		require.NoError(t, err)
		require.FileExists(t, wasm, "run: make wasm")
		k := cook(t, recipeOf(t, "Keycloak", 0)+`plugin: {wasm: `+wasm+`}
envoy: {listener: "127.0.0.1:0", admin: "127.0.0.1:0", access_log: "`+filepath.Join(t.TempDir(), "access.log")+`"}
`, vars)
		k.steps()
		code, bootstrap, problems := k.run("render", "envoy", "-c", k.path)
		require.Equal(t, cli.ExitOK, code, problems)
		process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: []byte(bootstrap)})
		url := "http://" + envoytest.Address(t.Context(), t, process, "umagate") + "/albums/1"
		rpt := func(args ...string) (int, string, string) {
			return k.run(append([]string{"rpt", "--client", "app", "-H", "Host: photos.example.com"}, args...)...)
		}
		// Envoy gets its PAT by itself, shortly after it has begun to listen.
		require.Eventually(t, func() bool { return statusOf(t, http.MethodGet, url, "") == http.StatusUnauthorized }, 2*time.Minute, 50*time.Millisecond)
		code, body, problems := rpt("--user", "alice", url)
		require.Equal(t, cli.ExitOK, code, problems)
		require.True(t, json.Valid([]byte(body)), body)
		require.Contains(t, problems, "UMA realm=")
		require.NotContains(t, problems, "photos-api-secret")
		code, _, problems = rpt("--user", "alice", "-X", "DELETE", url)
		require.Equal(t, cli.ExitOK, code, problems)

		k.vars["UMAGATE_PASSWORD"] = "bob"
		code, _, problems = rpt("--user", "bob", url)
		require.Equal(t, cli.ExitDenied, code, problems)
		require.Contains(t, problems, "access_denied")
		k.vars["UMAGATE_PASSWORD"] = "wrong"
		code, _, problems = rpt("--user", "alice", url)
		require.NotEqual(t, cli.ExitOK, code)
		require.NotContains(t, problems, "wrong\"")
	})

	t.Run("clients without UMA", func(t *testing.T) {
		plainTokensRecipe(t, binary, vars, func(user string) (string, error) { return kc.Token(t.Context(), user) }, func(recipe string) string {
			// What render envoy prints is for any Envoy then, see docs/authorization-servers.md.
			const client = "client: {id: photos-api, secret: {env: PHOTOS_API_SECRET}"
			require.Contains(t, recipe, client)
			recipe = strings.Replace(recipe, client, client+", token_endpoint_auth_method: client_secret_post", 1)
			// Another recipe's store has registered it already.
			return strings.Replace(recipe, "  - name: albums\n", "  - name: albums\n    adopt: true\n", 1)
		})
	})

	t.Run("registered by umagate", func(t *testing.T) {
		token, err := kc.InitialAccessToken(t.Context(), 1)
		require.NoError(t, err)
		vars["INITIAL_ACCESS_TOKEN"] = token
		cook(t, recipeOf(t, "Keycloak", 1), vars).steps()
	})
}

// TestPlainTokensOfAnotherAS follows docs/plain-tokens.md with an AS that takes no token
// alone, and so is asked with a permission ticket.
func TestPlainTokensOfAnotherAS(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	if binary.Version < "1.40" { // and the development AS takes nothing but what a client has registered
		t.Skip("an older Envoy does not authenticate with client_secret_basic by itself")
	}
	server, err := devas.New(devas.Options{
		Users:   []devas.User{{Name: "alice", Password: "alice"}, {Name: "bob", Password: "bob"}},
		Clients: []devas.Client{{ID: "photos-api", Secret: "photos-api-secret"}, {ID: "app", Secret: "app-secret"}},
		Scopes:  []string{"view", "edit"},
	})
	require.NoError(t, err)
	stop, err := server.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	_, err = server.Permit(devas.Policy{Resource: "albums", Subjects: []string{"alice"}})
	require.NoError(t, err)
	api, err := sampleapi.New().Start(t.Context(), "127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(api.Stop)
	token := func(user string) (string, error) {
		form := url.Values{"grant_type": {"password"}, "username": {user}, "password": {user}}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Issuer()+"/token", strings.NewReader(form.Encode()))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth("app", "app-secret")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return "", err
		}
		defer func() { _ = response.Body.Close() }()
		var answer struct {
			Token string `json:"access_token"`
		}
		err = json.NewDecoder(response.Body).Decode(&answer)
		require.NotEmpty(t, answer.Token)
		return answer.Token, err
	}
	plainTokensRecipe(t, binary, map[string]string{"ISSUER": server.Issuer(), "UPSTREAM": "http://" + api.Address, "PHOTOS_API_SECRET": "photos-api-secret"},
		token, func(recipe string) string { return strings.Replace(recipe, "    dialect: keycloak\n", "", 1) })
}

// plainTokensRecipe follows docs/plain-tokens.md: nobody has a ticket.
func plainTokensRecipe(t *testing.T, binary envoy.Binary, vars map[string]string, token func(user string) (string, error), change func(recipe string) string) {
	t.Helper()
	wasm, err := filepath.Abs("../build/umagate.wasm")
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join("..", "docs", "plain-tokens.md"))
	require.NoError(t, err)
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(t, blocks)
	recipe := change(blocks[0][1])
	require.NotEqual(t, blocks[0][1], recipe)
	k := cook(t, recipe+`plugin: {wasm: `+wasm+`}
envoy: {listener: "127.0.0.1:0", admin: "127.0.0.1:0", access_log: "`+filepath.Join(t.TempDir(), "access.log")+`"}
`, vars)
	code, out, problems := k.run("apply", "-c", k.path, "--yes")
	require.Equal(t, cli.ExitOK, code, "%s%s", out, problems)
	code, bootstrap, problems := k.run("render", "envoy", "-c", k.path)
	require.Equal(t, cli.ExitOK, code, problems)
	process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: []byte(bootstrap)})
	address := "http://" + envoytest.Address(t.Context(), t, process, "umagate") + "/albums/2"
	require.Equal(t, http.StatusUnauthorized, statusOf(t, http.MethodGet, address, ""))
	alice, err := token("alice")
	require.NoError(t, err)
	bob, err := token("bob")
	require.NoError(t, err)
	// Envoy gets its PAT by itself, shortly after it has begun to listen.
	require.Eventually(t, func() bool { return statusOf(t, http.MethodGet, address, alice) < 300 }, 2*time.Minute, 50*time.Millisecond)
	for _, method := range []string{http.MethodGet, http.MethodDelete} {
		require.Equal(t, http.StatusForbidden, statusOf(t, method, address, bob))
		require.Less(t, statusOf(t, method, address, alice), 300)
	}
	require.Equal(t, http.StatusUnauthorized, statusOf(t, http.MethodGet, address, "garbage"))
	for token, exit := range map[string]int{alice: cli.ExitOK, bob: cli.ExitDenied} {
		code, out, problems := k.run("check", "-c", k.path, "--host", "photos.example.com", "--path", "/albums/2", "--token", token)
		require.Equal(t, exit, code, "%s%s", out, problems)
		require.Contains(t, out, "evaluation")
		require.NotContains(t, out, "access_token")
	}
}

// statusOf asks with a token, or without one.
func statusOf(t *testing.T, method, url, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	req.Host = "photos.example.com"
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode
}

// TestGenericRecipe is followed with the development AS.
func TestGenericRecipe(t *testing.T) {
	t.Parallel()
	server, err := devas.New(devas.Options{})
	require.NoError(t, err)
	stop, err := server.Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(stop)
	cook(t, recipeOf(t, "Any other: the specifications", 0), map[string]string{"ISSUER": server.Issuer()}).steps()
	require.Len(t, server.Resources(), 1)
}

// TestRecordedRecipes finds with each recipe what is recorded of that AS.
func TestRecordedRecipes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		section, folder, path string
		dialect               as.DialectName
		introspection         string
	}{
		{"Gluu Server and Janssen", "gluu", "", as.DialectGluu, "/jans-auth/restv1/rpt/status"},
		{"WSO2 Identity Server", "wso2", "/oauth2/token", as.DialectWSO2, "/oauth2/introspect"},
	} {
		t.Run(tt.folder, func(t *testing.T) {
			t.Parallel()
			front := discoveryOf(t, tt.folder)
			file, err := site.Parse("authorization-servers.md", []byte(recipeOf(t, tt.section, 0)), site.Environment{
				LookupEnv: func(name string) (string, bool) {
					if name == "ISSUER" {
						return front.URL + tt.path, true
					}
					return "secret", true
				},
			})
			require.NoError(t, err)
			client, err := as.New(file.Sites[0].ASConfig(nil))
			require.NoError(t, err)
			found, err := client.Discover(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.dialect, found.Dialect().Name)
			require.Equal(t, as.CredentialPAT, found.Dialect().Introspection)
			require.Equal(t, front.URL+tt.introspection, found.Metadata().IntrospectionEndpoint)
			require.NotEmpty(t, found.Metadata().ResourceRegistrationEndpoint)
			require.NotEmpty(t, found.Metadata().PermissionEndpoint)
		})
	}
}

// discoveryOf answers what is recorded of an AS's discovery.
func discoveryOf(t *testing.T, folder string) *httptest.Server {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "controlplane", "as", "testdata", folder, "discovery.json"))
	require.NoError(t, err)
	var recorded struct {
		Exchanges []struct {
			Request  struct{ Path string }
			Response struct {
				Status int
				JSON   json.RawMessage
			}
		}
	}
	require.NoError(t, json.Unmarshal(text, &recorded))
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, e := range recorded.Exchanges {
			if e.Request.Path == r.URL.RequestURI() {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(e.Response.Status)
				_, _ = io.WriteString(w, strings.ReplaceAll(string(e.Response.JSON), "ISSUER", "http://"+r.Host))
				return
			}
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(front.Close)
	return front
}
