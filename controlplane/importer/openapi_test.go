package importer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/importer"
)

// api is a document with these members, and a scheme o of OAuth 2.0.
func api(members string) string {
	return `{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "components": {"securitySchemes": {"o": {"type": "oauth2"}, "k": {"type": "apiKey"}}}, ` + members + `}`
}

// TestHeadOfAnyMethod: HEAD is judged by GET, and one of any method of another path
// that the same request may be of.
func TestHeadOfAnyMethod(t *testing.T) {
	t.Parallel()
	draft, err := importText(t, "openapi", api(`"paths": {
		"/a{w}/{x}:a": {"get": {"security": [{"o": ["read"]}]}},
		"/{v}/a{y}": {"get": {"security": [{"o": ["read"]}]}, "x-amazon-apigateway-any-method": {"security": [{"o": ["admin"]}]}}}`), importer.Settings{})
	require.NoError(t, err)
	served := serve(t, draft)
	for _, a := range asks(
		"GET /ab/a:a | read | allowed",
		"HEAD /ab/a:a | read | denied",
		"HEAD /ab/a:a | read admin | allowed",
		"POST /ab/a:a | read | denied",
	) {
		require.Equal(t, a.want, served.decide(t, a.request, a.scopes), "%s with %q", a.request, a.scopes)
	}
}

// TestUnreadable: what cannot be read is not taken for open, and what stands beside
// it is not taken in its place.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	const open = `"/{x}": {"get": {"security": []}}`
	tests := []struct {
		name, members string
		asks          []ask
		note          string
	}{
		{
			"a path whose $ref points at nothing", `"paths": {"/a": {"$ref": "#/components/pathItems/gone"}, ` + open + `}`,
			asks("GET /a | | denied", "GET /a | read write | denied", "GET /b | | public"),
			`line 1: $ref "#/components/pathItems/gone" points at nothing`,
		},
		{
			"a path that is a text", `"paths": {"/a": "b", ` + open + `}`,
			asks("GET /a | | denied", "POST /a | read | denied"), "it is a scalar, not an object",
		},
		{
			"an operation whose $ref points at nothing", `"paths": {"/a": {"get": {"$ref": "#/x-gone"}}, ` + open + `}`,
			asks("GET /a | | denied", "GET /a | read | denied"), "points at nothing",
		},
		{
			"an operation that is a text", `"paths": {"/a": {"get": "b"}, ` + open + `}`,
			asks("GET /a | | denied", "GET /a | read | denied"), "it is a scalar, not an object",
		},
		{
			"a $ref that is found, with what stands beside it", `"x-items": {"a": {"put": {"security": [{"o": ["w"]}]}}}, "paths": {"/a": {"$ref": "#/x-items/a", "get": {"security": [{"o": ["r"]}]}}}`,
			asks("GET /a | r | allowed", "PUT /a | r | denied", "PUT /a | w | allowed"), "",
		},
		{
			"security that is a text", `"paths": {"/a": {"get": {"security": "none"}}}`,
			asks("GET /a | | denied", "GET /a | read | denied"), "it is a scalar, not a list",
		},
		{
			"security that is an object", `"paths": {"/a": {"get": {"security": {"o": ["r"]}}}}`,
			asks("GET /a | | denied", "GET /a | r | allowed"), "is an object, and is read as a list",
		},
		{
			"security that is an empty object", `"paths": {"/a": {"get": {"security": {}}}}`,
			asks("GET /a | | denied"), "not a list",
		},
		{
			"security that is null is none of its own", `"security": [{"o": ["r"]}], "paths": {"/a": {"get": {"security": null}}}`,
			asks("GET /a | | denied", "GET /a | r | allowed"), "",
		},
		{
			"an alternative that is null", `"paths": {"/a": {"get": {"security": [null, {"o": ["r"]}]}}}`,
			asks("GET /a | | denied", "GET /a | r | allowed"), "the alternative paths./a.get.security[0] is left out",
		},
		{
			"security twice asks for both", `"paths": {"/a": {"get": {"security": [{"o": ["r"]}], "security": [{"o": ["w"]}]}}}`,
			asks("GET /a | r | denied", "GET /a | w | denied", "GET /a | r w | allowed"), "",
		},
		{
			"a path twice", `"paths": {"/a": {"get": {"security": [{"o": ["r"]}]}}, "/a": {"get": {"security": []}}}`,
			asks("GET /a | | denied", "GET /a | r | allowed"), "it needs what all of them ask for",
		},
		{
			"a scope that no token can have", `"paths": {"/a": {"get": {"security": [{"o": ["a b"]}, {"o": ["r"]}]}}}`,
			asks("GET /a | a | denied", "GET /a | r | allowed"), `"a b" is no scope that a token can have`,
		},
		{
			"an API key and no token", `"paths": {"/a": {"get": {"security": [{"k": []}]}}}`,
			asks("GET /a | | denied"), "no alternative of its security can be checked by a token",
		},
		{
			"an optional token", `"paths": {"/a": {"get": {"security": [{"o": ["r"]}, {}]}}}`,
			asks("GET /a | | public"), "a token is optional",
		},
		{
			"a variable that is checked, and public", `"paths": {"/a/{id:[0-9]+}": {"get": {"security": []}}, "/b": {"get": {"security": []}}}`,
			asks("GET /a/x | | denied", "GET /b | | public"), "it cannot be written exactly, and it is public",
		},
		{
			"a path that umagate always refuses", `"paths": {"/a//b": {"get": {"security": []}}, "/b": {"get": {"security": []}}}`,
			asks("GET /a//b | | denied"), "umagate refuses each request for it",
		},
		{
			"a method that no HTTP request has", `"paths": {"/a": {"additionalOperations": {"N0": {"security": []}, "COPY": {"security": []}}}}`,
			asks("COPY /a | | public", "N0 /a | | denied"), "is left out",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importText(t, "openapi", api(tt.members), importer.Settings{})
			require.NoError(t, err)
			served := serve(t, draft)
			for _, a := range tt.asks {
				require.Equal(t, a.want, served.decide(t, a.request, a.scopes), "%s with %q", a.request, a.scopes)
			}
			require.Contains(t, check(t, draft), tt.note)
		})
	}
}

// TestServers: a base path that is not known is asked for by name.
func TestServers(t *testing.T) {
	t.Parallel()
	const paths = `, "paths": {"/a": {"get": {"security": [{"o": ["r"]}]}}}`
	tests := []struct {
		name, servers string
		settings      importer.Settings
		allowed       string
		hosts         []string
		err           string
	}{
		{name: "a variable without a default", servers: `[{"url": "https://{region}.example.com/{base}"}]`, err: `the variable "base" has no default: give it with --server-variable base=…`},
		{
			name: "the same, given", servers: `[{"url": "https://{region}.example.com/{base}"}]`,
			settings: importer.Settings{ServerVariables: map[string]string{"region": "eu", "base": "v7"}}, allowed: "/v7/a", hosts: []string{"eu.example.com"},
		},
		{name: "one that is known beside it", servers: `[{"url": "https://x.example.com/{base}"}, {"url": "https://x.example.com/v1"}]`, allowed: "/v1/a", hosts: []string{"x.example.com"}},
		{name: "relative, to the root", servers: `[{"url": "v3"}]`, allowed: "/v3/a"},
		{name: "relative, to where the document is", servers: `[{"url": "../v3"}]`, settings: importer.Settings{DocumentURL: "https://api.example.com/docs/latest/openapi.json"}, allowed: "/docs/v3/a", hosts: []string{"api.example.com"}},
		{name: "a host of the document", servers: `[{"url": "/v3"}]`, settings: importer.Settings{DocumentURL: "https://api.example.com/openapi.json"}, allowed: "/v3/a", hosts: []string{"api.example.com"}},
		{name: "no list", servers: `{"url": "/v3"}`, err: "it is an object, not a list"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			draft, err := importText(t, "openapi", api(`"servers": `+tt.servers+paths), tt.settings)
			if tt.err != "" {
				require.ErrorIs(t, err, importer.ErrSource)
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.hosts, draft.Hosts)
			require.Equal(t, "allowed", serve(t, draft).decide(t, "GET "+tt.allowed, "r"), check(t, draft))
		})
	}
}

// TestNotesAreGrouped: a large document has few lines of notes, the worst first, and
// every note is still there.
func TestNotesAreGrouped(t *testing.T) {
	t.Parallel()
	var paths []string
	const n = 1000
	for i := range n {
		paths = append(paths, fmt.Sprintf(`"/a%d": {"get": {}, "put": {"security": [{"k": []}]}}`, i))
	}
	draft, err := importText(t, "openapi", api(`"webhooks": {"w": {}}, "paths": {`+strings.Join(paths, ",")+`}`), importer.Settings{})
	require.NoError(t, err)
	require.Greater(t, len(draft.Notes), 2*n)
	var severities []importer.Severity
	lines := 0
	for _, shown := range draft.Show() {
		severities = append(severities, shown.Severity)
		lines += len(shown.Lines)
	}
	require.Equal(t, []importer.Severity{importer.Changed, importer.Narrowed, importer.Information}, severities)
	require.Less(t, lines, 20)
	head, _, _ := strings.Cut(check(t, draft), "\nsites:")
	require.Less(t, strings.Count(head, "\n"), 30)
	require.Contains(t, head, `paths./a0.get, paths./a1.get, paths./a10.get and 997 more places: no security is declared`)
}

// TestGatewaySettings: what Gluu Gateway does beside the scopes is told.
func TestGatewaySettings(t *testing.T) {
	t.Parallel()
	const text = `{"config": {"deny_by_default": false, "obtain_rpt": true, "require_id_token": true, "redirect_claim_gathering_url": true,
		"uma_scope_expression": [{"path": "/a", "conditions": [{"httpMethods": ["GET"], "scope_expression": {"data": ["r"]}}]}]}}`
	draft, err := importText(t, "gluu", text, importer.Settings{})
	require.NoError(t, err)
	served := serve(t, draft)
	require.Equal(t, "denied", served.decide(t, "GET /b", "r"))
	require.Equal(t, "denied", served.decide(t, "POST /a", "r"))
	require.Equal(t, "allowed", served.decide(t, "GET /a", "r"))
	out := check(t, draft)
	for _, key := range []string{"deny_by_default", "obtain_rpt", "require_id_token", "redirect_claim_gathering_url"} {
		require.Contains(t, out, "config."+key+": ")
	}
}
