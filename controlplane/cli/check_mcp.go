package cli

import (
	"encoding/json"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// messageFlags are what a message to an MCP server is made of.
type messageFlags struct{ tool, resource, prompt, method, raw string }

func (m *messageFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&m.tool, "mcp-tool", "", "it brings an MCP server a call of this `TOOL`")
	f.StringVar(&m.resource, "mcp-resource", "", "the same, to read the resource of this `URI`")
	f.StringVar(&m.prompt, "mcp-prompt", "", "the same, for the prompt of this `NAME`")
	f.StringVar(&m.method, "mcp-method", "", "the same, with this `METHOD` and nothing else, such as tools/list")
	f.StringVar(&m.raw, "mcp-message", "", "the same, with this `JSON` as it is")
	cmd.MarkFlagsMutuallyExclusive("mcp-tool", "mcp-resource", "mcp-prompt", "mcp-method", "mcp-message")
}

func (m *messageFlags) given() bool { return *m != messageFlags{} }

// headers are those that say what the body is.
func (m *messageFlags) headers() []decision.Header {
	if !m.given() {
		return nil
	}
	return []decision.Header{{Name: "content-type", Value: "application/json"}, {Name: "accept", Value: "application/json, text/event-stream"}}
}

// body is the message, nothing where none was asked for.
func (m *messageFlags) body() []byte {
	method, params := m.method, map[string]string{}
	switch {
	case !m.given():
		return nil
	case m.raw != "":
		return []byte(m.raw)
	case m.tool != "":
		method, params["name"] = "tools/call", m.tool
	case m.resource != "":
		method, params["uri"] = "resources/read", m.resource
	case m.prompt != "":
		method, params["name"] = "prompts/get", m.prompt
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) // texts can be written
	return body
}

// described is the message in words, empty for none.
func (m *messageFlags) described() string {
	switch {
	case m.tool != "":
		return "tool " + m.tool
	case m.resource != "":
		return "resource " + m.resource
	case m.prompt != "":
		return "prompt " + m.prompt
	case m.method != "":
		return "method " + m.method
	case m.raw != "":
		return "as given"
	}
	return ""
}

// covers says which messages a condition is for, empty where it does not name any.
func covers(m *config.MCP) string {
	if m == nil {
		return ""
	}
	var parts []string
	for _, list := range []struct {
		name  string
		texts []string
	}{{"tools", m.Tools}, {"resources", m.Resources}, {"prompts", m.Prompts}, {"methods", m.Methods}} {
		if len(list.texts) > 0 {
			parts = append(parts, list.name+" "+strings.Join(list.texts, ", "))
		}
	}
	return strings.Join(parts, "; ")
}
