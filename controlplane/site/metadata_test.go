package site_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

const mcpURL = "https://mcp.example.com/mcp"

// metadataFile is a file with one site; settings are lines at its top.
func metadataFile(settings string) string {
	return `
sites:
- name: mcp
  hosts: [mcp.example.com]
  path_prefixes: [/mcp]
` + settings + `
  authorization_server: {issuer: https://a.example.com, client: {id: mcp, secret: {env: SECRET}}}
  resources:
  - name: tools
    conditions:
    - {paths: ["/mcp"], methods: [POST], scopes: [call, all]}
    - {paths: ["/mcp"], methods: [GET], scope_expression: {rule: {and: [{var: 0}, {"!": {var: 1}}]}, data: [listen, suspended]}}
`
}

func compiled(t *testing.T, text string) (*site.File, []string, []string) {
	t.Helper()
	f, err := site.Parse("umagate.yaml", []byte(text), environment(map[string]string{"SECRET": "s"}))
	require.NoError(t, err)
	c, err := site.Compile(f, nil)
	require.ErrorIs(t, err, site.ErrIncomplete) // what clients are told does not wait for the AS
	var documents []string
	for i := range c.Sites {
		if m := c.Sites[i].Metadata; m != nil {
			for _, d := range m.Documents {
				documents = append(documents, d.Document)
			}
		}
	}
	return f, documents, c.Sites[0].Token.Audiences
}

func TestResourceMetadata(t *testing.T) {
	t.Parallel()
	const base = `{"resource":"` + mcpURL + `","authorization_servers":["https://a.example.com"]`
	for _, tt := range []struct {
		name, settings, document string
		audiences                []string
		warning                  string
	}{
		{"nothing", "", "", nil, ""},
		{
			"oauth", "  require: oauth_scopes\n  metadata: {identifiers: [" + mcpURL + "]}",
			base + `,"scopes_supported":["call","all","listen"],"bearer_methods_supported":["header"]}`,
			[]string{mcpURL},
			"",
		},
		{
			"written out", "  require: oauth_scopes\n  token: {audiences: [a], from: {query: access_token}}\n  metadata: {identifiers: [" + mcpURL + "], scopes: [x], name: Tools, documentation: https://docs.example.com}",
			base + `,"scopes_supported":["x"],"bearer_methods_supported":["header","query"],"resource_name":"Tools","resource_documentation":"https://docs.example.com"}`,
			[]string{"a"},
			"",
		},
		{
			"any audience", "  require: oauth_scopes\n  token: {insecure_any_audience: true}\n  metadata: {identifiers: [" + mcpURL + "]}",
			base + `,"scopes_supported":["call","all","listen"],"bearer_methods_supported":["header"]}`, nil, "issued for any other API does here",
		},
		{
			"uma", "  challenge: both\n  metadata: {identifiers: [" + mcpURL + "]}",
			base + `,"bearer_methods_supported":["header"]}`, nil, "",
		},
		{
			"uma, for clients that do not know it", "  challenge: bearer\n  token: {evaluate: at_as}\n  metadata: {identifiers: [" + mcpURL + "], scopes: [openid]}",
			base + `,"scopes_supported":["openid"],"bearer_methods_supported":["header"]}`, nil, "is evaluated here too",
		},
		{
			"for clients that are told nothing", "  metadata: {identifiers: [" + mcpURL + "]}",
			base + `,"bearer_methods_supported":["header"]}`, nil, "no challenge of theirs",
		},
		{
			"in the clear", "  challenge: both\n  metadata: {identifiers: [\"http://mcp.example.com/mcp\"]}",
			strings.Replace(base, "https://mcp", "http://mcp", 1) + `,"bearer_methods_supported":["header"]}`, nil, "can be read on the way",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, documents, audiences := compiled(t, metadataFile(tt.settings))
			require.Equal(t, tt.document, strings.Join(documents, "|"))
			require.Equal(t, tt.audiences, audiences)
			if tt.warning == "" {
				require.Empty(t, f.Warnings)
				return
			}
			require.Len(t, f.Warnings, 1)
			require.Contains(t, f.Warnings[0].Problem, tt.warning)
		})
	}
}

// TestResourceMetadataOfIssuers: a client that has no token yet is told of every AS whose
// tokens do.
func TestResourceMetadataOfIssuers(t *testing.T) {
	t.Parallel()
	const told = "challenge: bearer\n  metadata: {identifiers: [https://api.example.com]}"
	_, documents, _ := compiled(t, "sites:"+siteOf("b", "chosen_by: issuer\n  "+told, asB, "/**")+siteOf("a", told, asA, "/**"))
	const document = `{"resource":"https://api.example.com","authorization_servers":["https://a.example.com","https://b.example.com"],"bearer_methods_supported":["header"]}`
	require.Equal(t, []string{document, document}, documents)
}

func TestResourceMetadataFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ metadata, fault string }{
		{"{}", "sites[0].metadata"},
		{"{identifiers: []}", "sites[0].metadata.identifiers: is missing"},
		{"{identifiers: [mcp.example.com]}", `sites[0].metadata.identifiers[0]: "mcp.example.com" is not an http(s) URL`},
		{"{identifiers: [" + mcpURL + "?a=b]}", "sites[0].metadata.identifiers[0]: must be https://host"},
		{"{identifiers: [" + mcpURL + "#a]}", "sites[0].metadata.identifiers[0]: has a fragment"},
		{"{identifiers: [https://other.example.com/mcp]}", "sites[0].metadata: the host of https://other.example.com/.well-known/oauth-protected-resource/mcp is none of the site's"},
		{"{identifiers: [https://mcp.example.com]}", "sites[0].metadata: the path of a resource identifier, /, is not the site's"},
		{"{identifiers: [" + mcpURL + "], documentation: docs}", `sites[0].metadata.documentation: "docs" is not`},
		{"{identifiers: [" + mcpURL + "], scopes: [a b]}", "sites[0].metadata.scopes[0]: a scope must not"},
		{"{identifiers: [" + mcpURL + "], resource: x}", "sites[0].metadata.resource: unknown key"},
	} {
		_, err := site.Parse("umagate.yaml", []byte(metadataFile("  challenge: both\n  metadata: "+tt.metadata)), environment(map[string]string{"SECRET": "s"}))
		require.ErrorContains(t, err, tt.fault, tt.metadata)
	}
	guarded := strings.Replace(metadataFile("  challenge: both\n  metadata: {identifiers: ["+mcpURL+"]}"), `["/mcp"], methods: [GET]`, `["/.well-known/oauth-protected-resource/mcp"], methods: [GET]`, 1)
	_, err := site.Parse("umagate.yaml", []byte(guarded), environment(map[string]string{"SECRET": "s"}))
	require.ErrorContains(t, err, "sites[0].metadata.identifiers[0]: its document is at /.well-known/oauth-protected-resource/mcp, for which resources[0].conditions[1] is a condition")
}
