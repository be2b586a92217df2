package site

import (
	"fmt"
	"slices"
	"strings"

	pattern "github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/config"
)

// GuardsMessages reports whether a condition of the site names messages to an MCP server, so
// that the filter has to read bodies.
func (s *Site) GuardsMessages() bool {
	for i := range s.Resources {
		if slices.ContainsFunc(s.Resources[i].Conditions, func(c Condition) bool { return c.MCP != nil }) {
			return true
		}
	}
	return false
}

// messageEntry is one name or pattern of a condition with mcp.
type messageEntry struct {
	at, list, text string
	condition      *Condition
}

// lists warns of lists that mcp_lists cannot narrow, or narrows to what is known by chance.
func (v *validator) lists(path string, s *Site) {
	switch {
	case s.MCPLists != config.ListsPermitted:
	case !s.GuardsMessages():
		v.warn(path+".mcp_lists", "no condition of the site names messages to an MCP server, so that no list is read", "write conditions with mcp, or leave it out")
	case s.Token.Evaluate == EvaluateAtAS && s.AuthorizationServer.ClaimTokenFormat != "":
		v.warn(path+".mcp_lists", "the authorization server is asked by tickets, and for no list: one shows what has been permitted before", "leave it out where agents look for what they may ask for")
	}
}

// messages warns of what conditions with mcp leave closed, of each path.
func (v *validator) messages(path string, s *Site) {
	entries, at, plain := map[string][]messageEntry{}, map[string]string{}, map[string]bool{}
	var paths []string
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			c := &s.Resources[i].Conditions[j]
			place := config.Index(config.Index(path+".resources", i)+".conditions", j)
			for _, p := range c.Paths {
				if c.MCP == nil {
					plain[p] = plain[p] || len(c.Methods) == 0 || slices.Contains(c.Methods, "POST")
					continue
				}
				if at[p] == "" {
					at[p] = place + ".mcp"
					paths = append(paths, p)
				}
				entries[p] = append(entries[p], messageEntries(place, c)...)
			}
		}
	}
	for _, p := range paths {
		opens := slices.ContainsFunc(entries[p], func(e messageEntry) bool { return e.list == "methods" && e.text == "initialize" })
		if !plain[p] && !opens {
			v.warn(at[p], "no condition lets a client open a connection to "+p+": initialize, ping and tools/list are denied", "write a condition of that path without mcp, or name them in methods")
		}
		v.clashes(entries[p])
	}
}

func messageEntries(at string, c *Condition) []messageEntry {
	var out []messageEntry
	for _, list := range []struct {
		name  string
		texts []string
	}{{"tools", c.MCP.Tools}, {"resources", c.MCP.Resources}, {"prompts", c.MCP.Prompts}, {"methods", c.MCP.Methods}} {
		for i, text := range list.texts {
			out = append(out, messageEntry{config.Index(at+".mcp."+list.name, i), list.name, text, c})
		}
	}
	return out
}

// clashes warns of patterns of two conditions that have a text in common, and of which
// neither is the more specific one.
func (v *validator) clashes(entries []messageEntry) {
	for i, e := range entries {
		for _, other := range entries[:i] {
			a, b := strings.ReplaceAll(e.text, "*", pattern.Variable), strings.ReplaceAll(other.text, "*", pattern.Variable)
			if e.list == other.list && e.condition != other.condition && pattern.Meet(a, b) && !pattern.Covers(a, b) && !pattern.Covers(b, a) {
				v.warn(e.at, fmt.Sprintf("%q and %q of another condition have texts in common, and neither is the more specific one: those are denied", e.text, other.text),
					"make one of them narrower, or add a third pattern for what they have in common")
			}
		}
	}
}
