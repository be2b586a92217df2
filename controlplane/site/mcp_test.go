package site_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

// guarded has a condition of /mcp without mcp, unless plain is false, and one for each of mcp.
func guarded(plain bool, mcp ...string) string {
	lines := []string{"    conditions:"}
	if plain {
		lines = append(lines, "    - {paths: [/mcp], scopes: [use]}")
	}
	for _, m := range mcp {
		lines = append(lines, "    - {paths: [/mcp], scopes: [view], mcp: {"+m+"}}")
	}
	return around("", "", strings.Join(lines, "\n"))
}

func TestMessageConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text     string
		fault, warning string // the first one: path and part of the problem
	}{
		{name: "good", text: guarded(true, `tools: ["get_*", search], resources: ["file:///docs/*"], prompts: ["*"]`, `tools: ["get_all_*", "*"], methods: [tools/list]`)},
		{name: "nobody opens", text: guarded(false, "tools: [search]"), warning: "sites[0].resources[0].conditions[0].mcp: no condition lets a client open"},
		{name: "somebody opens", text: guarded(false, "tools: [search], methods: [initialize, ping]")},
		{name: "patterns that meet", text: guarded(true, `tools: ["get_*"]`, `tools: ["*_all"]`), warning: `sites[0].resources[0].conditions[2].mcp.tools[0]: "*_all" and "get_*"`},
		{name: "of one condition", text: guarded(true, `tools: ["get_*", "*_all"]`)},
		{name: "for something else", text: guarded(true, `tools: ["get_*"]`, `prompts: ["*_all"]`)},
		{name: "twice", text: guarded(true, `tools: [search]`, `tools: [search]`), fault: "sites[0].resources[0].conditions[2].mcp.tools[0]: another condition"},
		{name: "a tool as method", text: guarded(true, `methods: [tools/call]`), fault: "sites[0].resources[0].conditions[1].mcp.methods[0]: a message of this method"},
		{name: "nothing", text: guarded(true, ``), fault: "sites[0].resources[0].conditions[1].mcp: at least one of tools"},
		{name: "no list", text: guarded(true, `tools: []`), fault: "sites[0].resources[0].conditions[1].mcp.tools: is empty"},
		{name: "unknown", text: guarded(true, `tolls: [a]`), fault: `sites[0].resources[0].conditions[1].mcp.tolls: unknown key`},
		{name: "lists", text: strings.Replace(guarded(true, `tools: [a]`), "  resources:", "  mcp_lists: permitted\n  resources:", 1)},
		{name: "lists of nothing", text: strings.Replace(guarded(true), "  resources:", "  mcp_lists: permitted\n  resources:", 1), warning: "sites[0].mcp_lists: no condition of the site names messages"},
		{name: "lists of some kind", text: strings.Replace(guarded(true, `tools: [a]`), "  resources:", "  mcp_lists: guarded\n  resources:", 1), fault: `sites[0].mcp_lists: "guarded" is not known here`},
		{name: "lists by ticket", text: strings.Replace(strings.Replace(guarded(true, `tools: [a]`), "  resources:", "  mcp_lists: permitted\n  token: {evaluate: at_as}\n  resources:", 1), "    client:", "    claim_token_format: \"a:b\"\n    client:", 1), warning: "sites[0].mcp_lists: the authorization server is asked by tickets"},
		{name: "too long a message", text: strings.Replace(guarded(true, `tools: [a]`), "  resources:", "  limits: {mcp_message_bytes: 99999999}\n  resources:", 1), fault: "sites[0].limits.mcp_message_bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, err := site.Parse("umagate.yaml", []byte(tt.text), environment(nil))
			if tt.fault != "" {
				require.ErrorContains(t, err, tt.fault)
				return
			}
			require.NoError(t, err)
			require.Equal(t, strings.Contains(tt.text, "mcp: {"), f.Sites[0].GuardsMessages())
			var warnings []string
			for _, w := range f.Warnings {
				warnings = append(warnings, w.Path+": "+w.Problem)
			}
			if tt.warning == "" {
				require.Empty(t, warnings)
				return
			}
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], tt.warning)
		})
	}
}
