package importer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/enforcer/enforcertest"
	"github.com/umagate/umagate/controlplane/importer"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/decision"
)

// policyOf imports a configuration and compiles what is printed, as a gateway would
// have it. Each resource is registered under its name.
func policyOf(t *testing.T, text []byte) (policy *decision.Policy, printed string) {
	t.Helper()
	draft, err := importer.KeycloakEnforcer("keycloak.json", text, importer.Settings{})
	return policyOfDraft(t, text, draft, err)
}

func policyOfDraft(t *testing.T, text []byte, draft *importer.Draft, err error) (policy *decision.Policy, printed string) {
	t.Helper()
	if err == nil {
		err = draft.Finish()
	}
	if errors.Is(err, importer.ErrNothing) || errors.Is(err, importer.ErrSource) {
		return nil, ""
	}
	require.NoError(t, err, string(text))
	var out bytes.Buffer
	_, err = draft.WriteTo(&out)
	require.NoError(t, err)
	file, err := site.Parse("imported.yaml", out.Bytes(), site.Environment{SkipSecrets: true})
	require.NoError(t, err, out.String())
	require.NotContains(t, out.String(), "is left out", "a condition that umagate refuses")
	facts := site.Facts{
		URI: "https://as.example.com", Introspection: "https://as.example.com/introspect", Permission: "https://as.example.com/permission",
		Token: "https://as.example.com/token", EvaluatesTokens: true, Audience: "api",
		ResourceIDs: map[string]string{},
	}
	for i := range file.Sites[0].Resources {
		file.Sites[0].Resources[i].ID = "" // so that it is its name
		facts.ResourceIDs[file.Sites[0].Resources[i].Name] = file.Sites[0].Resources[i].Name
	}
	compiled, err := site.Compile(file, map[string]site.Facts{file.Sites[0].Name: facts})
	require.NoError(t, err)
	policy, err = decision.Compile(&compiled)
	require.NoError(t, err, out.String())
	return policy, out.String()
}

// TestKeycloakOpensNothing: of random configurations and requests, none passes here
// that Keycloak's enforcer does not let pass; and of what it lets pass, most does.
func TestKeycloakOpensNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		odd     bool
		configs int
		// kept is how much, in percent, of what the enforcer lets pass has to pass here.
		kept int
	}{
		{"as people write them", false, 100, 60},
		{"odd", true, 100, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(3, 4))
			requests, allowed, kept := 0, 0, 0
			for range tt.configs {
				c := enforcertest.SomeConfig(r, tt.odd)
				text, err := json.Marshal(c)
				require.NoError(t, err)
				policy, printed := policyOf(t, text)
				if policy == nil {
					continue
				}
				for range 25 {
					path := enforcertest.SomeTarget(r, c.PathsOf(), tt.odd)
					if strings.ContainsAny(path, " ") {
						continue // no request has it
					}
					for _, req := range enforcertest.SomeRequests(r, path) {
						if strings.ContainsAny(path, "{}") && req.Permissions != nil {
							continue // the enforcer may lose its way, and deny what is permitted
						}
						requests++
						source, here := c.Allows(req), enforcertest.Passes(policy, req)
						require.False(t, here && !source, "%s passes here\n%s\n%s", req, text, printed)
						if source {
							allowed++
						}
						if source && here {
							kept++
						}
					}
				}
			}
			t.Logf("%d requests; the enforcer lets %d pass, and %d of them pass here", requests, allowed, kept)
			require.Greater(t, 100*kept, tt.kept*allowed, "it is right and of no use")
		})
	}
}

// TestKeycloakExportOpensNothing: an enforcer loads the resources of the server in an
// order that nobody knows. Nothing passes that it does not let pass in each.
func TestKeycloakExportOpensNothing(t *testing.T) {
	t.Parallel()
	type named struct {
		Name string `json:"name"`
	}
	type resource struct {
		Name   string   `json:"name"`
		URIs   []string `json:"uris"`
		Scopes []named  `json:"scopes"`
	}
	r := rand.New(rand.NewPCG(7, 8))
	requests, kept := 0, 0
	for i := range 100 {
		var export struct {
			Resources []resource `json:"resources"`
			Policies  []string   `json:"policies"`
		}
		export.Policies = []string{}
		c := enforcertest.Config{}
		for _, name := range enforcertest.Resources() {
			of := resource{Name: name, Scopes: []named{{"s1"}, {"s2"}}}
			for range 1 + r.IntN(2) {
				if path := enforcertest.SomePath(r, i%2 == 1); !slices.Contains(c.PathsOf(), path) {
					of.URIs = append(of.URIs, path)
					c.Paths = append(c.Paths, enforcertest.Path{Name: name, Path: path, Scopes: []string{"s1", "s2"}})
				}
			}
			export.Resources = append(export.Resources, of)
		}
		text, err := json.Marshal(export)
		require.NoError(t, err)
		policy, printed := policyOf(t, text)
		if policy == nil {
			continue
		}
		for range 20 {
			path := enforcertest.SomeTarget(r, c.PathsOf(), i%2 == 1)
			if strings.ContainsAny(path, " {}") {
				continue // the enforcer may lose its way, and deny what is permitted
			}
			for _, req := range enforcertest.SomeRequests(r, path) {
				requests++
				if !enforcertest.Passes(policy, req) {
					continue
				}
				kept++
				for range 5 {
					r.Shuffle(len(c.Paths), func(i, k int) { c.Paths[i], c.Paths[k] = c.Paths[k], c.Paths[i] })
					require.True(t, c.Allows(req), "%s passes here\n%s\n%v\n%s", req, text, c.PathsOf(), printed)
				}
			}
		}
	}
	require.Greater(t, kept, requests/20, "too few pass to say anything")
}
