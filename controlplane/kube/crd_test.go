package kube_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
)

// define installs the definitions of umagate, and Gateway API's.
func define(t *testing.T, server *mesh.APIServer) {
	t.Helper()
	require.NoError(t, server.Define(t.Context(), mesh.GatewayAPICRDs))
	_, err := server.Kubectl(t.Context(), "", "apply", "--server-side", "--force-conflicts", "-k", "deploy/crds")
	require.NoError(t, err)
	_, err = server.Kubectl(t.Context(), "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	require.NoError(t, err)
}

const goodSite = `hosts: [photos.example.com]
resources:
- name: album
  conditions:
  - {paths: [/albums/**], methods: [GET], scopes: [view]}
`

const goodServer = `issuer: https://as.example.com
client: {register: {}}
`

// faultOf is what umagate validate says of a site and its AS.
func faultOf(t *testing.T, spec, server string) site.Fault {
	t.Helper()
	text := "sites:\n- name: x\n" + indent(spec) + "  authorization_server:\n" + indent(indent(server))
	_, err := site.Parse("umagate.yaml", []byte(text), site.Environment{})
	faults := site.Faults(err)
	require.NotEmpty(t, faults, text)
	return faults[0]
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}

func object(t *testing.T, kind, name, spec string) string {
	t.Helper()
	var values map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(spec), &values))
	if kind == "ProtectedAPI" && values["authorizationServerRef"] == nil {
		values["authorizationServerRef"] = map[string]string{"name": "as"}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "umagate.io/v1alpha1", "kind": kind, "metadata": map[string]string{"namespace": "default", "name": name}, "spec": values,
	})
	require.NoError(t, err)
	return string(text)
}

// dryRun has the server judge an object strictly, as kubectl does.
func dryRun(ctx context.Context, server *mesh.APIServer, text string) error {
	_, err := server.Kubectl(ctx, text, "create", "--dry-run=server", "-f", "-")
	return err
}

// TestServerRefusesAsValidateDoes: what the API server refuses by a rule, umagate validate
// refuses in the same words, which name the place.
func TestServerRefusesAsValidateDoes(t *testing.T) {
	t.Parallel()
	server := meshtest.StartAPIServer(t)
	define(t, server)
	require.NoError(t, dryRun(t.Context(), server, object(t, "ProtectedAPI", "good", goodSite)))
	require.NoError(t, dryRun(t.Context(), server, object(t, "AuthorizationServer", "good", goodServer)))

	sites := []struct{ name, old, replacement string }{
		{"two in one condition", "scopes: [view]", "scopes: [view], public: true"},
		{"none in a condition", ", scopes: [view]", ""},
		{"public asks for a ticket", "scopes: [view]", "public: true, ticket_scopes: [view]"},
		{"public asks how", "scopes: [view]", "deny: true, max_auth_age: 5m"},
		{"adopted with an id", "name: album", "name: album\n  id: x\n  adopt: true"},
		{"asks the owner by nothing", "resources:", "token: {ask_owner: true}\nresources:"},
		{"evaluates scopes", "resources:", "require: oauth_scopes\ntoken: {evaluate: at_as, audiences: [a]}\nresources:"},
	}
	for _, tt := range sites {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(goodSite, tt.old, tt.replacement, 1)
			require.NotEqual(t, goodSite, bad)
			want := faultOf(t, bad, goodServer)
			require.ErrorContains(t, dryRun(t.Context(), server, object(t, "ProtectedAPI", "x", bad)), want.Problem)
		})
	}
	servers := []struct{ name, bad string }{
		{"no client", "issuer: https://as.example.com\nclient: {}\n"},
		{"registered and given", "issuer: https://as.example.com\nclient: {register: {}, id: x}\n"},
	}
	for _, tt := range servers {
		t.Run(tt.name, func(t *testing.T) {
			want := faultOf(t, goodSite, tt.bad)
			require.ErrorContains(t, dryRun(t.Context(), server, object(t, "AuthorizationServer", "x", tt.bad)), want.Problem)
		})
	}

	refused := []struct{ name, kind, spec, words string }{
		{"nothing protected", "ProtectedAPI", "hosts: [a.example.com]\n", "nothing is protected"},
		{"no host", "ProtectedAPI", strings.Replace(goodSite, "hosts: [photos.example.com]", "", 1), "the site has no host"},
		{"unknown key", "ProtectedAPI", goodSite + "unmatchd: allow\n", `unknown field "spec.unmatchd"`},
		{"unknown value", "ProtectedAPI", goodSite + "unmatched: never\n", "Unsupported value"},
		{"no duration", "ProtectedAPI", goodSite + "token: {max_ttl: soon}\n", "spec.token.max_ttl"},
		{"one name twice", "ProtectedAPI", goodSite + "- name: album\n  conditions: [{paths: [/b], public: true}]\n", "Duplicate value"},
		{"a target without hosts", "ProtectedAPI", goodSite + "targetRefs: [{group: apps, kind: Deployment, name: x}]\n", "is nothing that has hosts"},
		{"a file", "AuthorizationServer", "issuer: https://a.example.com\nclient: {id: x, secret: {file: /etc/passwd}}\n", `unknown field "spec.client.secret.file"`},
		{"a variable", "AuthorizationServer", "issuer: https://a.example.com\nclient: {id: x, secret: \"${HOME}\"}\n", "spec.client.secret"},
		{"a path of the controller's", "AuthorizationServer", "issuer: https://a.example.com\nclient: {register: {}}\ntls: {ca_file: /etc/passwd}\n", "spec.tls.ca_file"},
	}
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			require.ErrorContains(t, dryRun(t.Context(), server, object(t, tt.kind, "x", tt.spec)), tt.words)
		})
	}
	t.Run("name", func(t *testing.T) {
		require.ErrorContains(t, dryRun(t.Context(), server, object(t, "ProtectedAPI", "a.b", goodSite)), "the name is no DNS label")
	})
}
