package suite_test

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// messageScenarios are about an MCP server whose tools are guarded one by one. The API is an
// echo: what it got tells what a server would have read.
func messageScenarios() []scenario {
	server := func(_ *env, s *config.Site) {
		s.Limits.MCPMessageBytes = 64 << 10
		on := func(m *config.MCP, scope string) config.Condition {
			return config.Condition{Paths: []string{"/echo/mcp"}, MCP: m, Scopes: []string{scope}}
		}
		s.Resources[0].Conditions = append(s.Resources[0].Conditions,
			on(nil, "view"), on(&config.MCP{Tools: []string{"search", "get_*"}, Resources: []string{"file:///docs/*"}, Prompts: []string{"summary"}}, "view"),
			on(&config.MCP{Tools: []string{"delete_*"}, Resources: []string{"file:///docs/drafts/*"}}, "edit"))
	}
	watched := func(e *env, s *config.Site) {
		server(e, s)
		s.Mode = config.ModeMonitor
	}
	return []scenario{
		{name: "mcp", site: server, steps: messageSteps()},
		{name: "mcp-bodies", once: true, site: server, run: hostileBodies},
		{name: "mcp-long", once: true, needs: canKeepLong, site: server, run: longMessages},
		{name: "mcp-watched", once: true, site: watched, run: func(e *env) {
			e.step(e.t, callStep(step{name: "what would be denied", body: toolCall("delete_all"), token: "alice/album/view", status: 200, introspections: -1}))
			e.step(e.t, callStep(step{name: "what cannot be read", body: "[]", token: "alice/album/view", status: 200}))
		}},
		{name: "mcp-watched-long", once: true, needs: canKeepLong, site: watched, run: func(e *env) {
			e.step(e.t, callStep(step{name: "what is too long", body: toolCall(strings.Repeat("x", 100<<10)), token: "alice/album/view", status: 200}))
		}},
	}
}

func toolCall(name string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`, name)
}

// callStep makes a step one that brings a message.
func callStep(s step) *step {
	s.method, s.path = http.MethodPost, "/echo/mcp"
	if s.header == nil {
		s.header = http.Header{"Content-Type": {"application/json"}}
	}
	return &s
}

func messageSteps() []step {
	const view, edit = "alice/album/view", "alice/album/edit,view"
	method := func(m string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + m + `"}` }
	read := func(uri string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + uri + `"}}`
	}
	var list []step
	add := func(s step) { list = append(list, *callStep(s)) }
	add(step{name: "no token", body: toolCall("search"), status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	add(step{name: "it opens", body: method("initialize"), token: view, status: 200, introspections: 1})
	add(step{name: "a notification", body: method("notifications/initialized"), token: view, status: 200})
	add(step{name: "a list", body: method("tools/list"), token: view, status: 200})
	add(step{name: "a response", body: `{"jsonrpc":"2.0","id":1,"result":{}}`, token: view, status: 200})
	add(step{name: "a tool", body: toolCall("search"), token: view, status: 200})
	add(step{name: "by a pattern", body: toolCall("get_album"), token: view, status: 200})
	add(step{name: "a guarded tool", body: toolCall("delete_album"), token: view, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: 1})
	add(step{name: "with its scope", body: toolCall("delete_album"), token: edit, status: 200, introspections: 1})
	add(step{name: "no condition", body: toolCall("format_disk"), token: edit, status: 403, code: "mcp_not_covered"})
	add(step{name: "an unknown method", body: method("logging/setLevel"), token: edit, status: 403, code: "mcp_not_covered"})
	add(step{name: "a resource", body: read("file:///docs/a"), token: view, status: 200})
	add(step{name: "a guarded resource", body: read("file:///docs/drafts/a"), token: view, status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: 1})
	add(step{name: "around it", body: read("file:///docs/x/../drafts/a"), token: view, status: 400, code: "mcp_unreadable"})
	add(step{name: "a prompt", body: `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"summary"}}`, token: view, status: 200})
	for name, header := range map[string]http.Header{
		"no type": {}, "another type": {"Content-Type": {"text/plain"}}, "another encoding": {"Content-Type": {"application/json; charset=utf-16"}},
		"compressed":          {"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}},
		"two types":           {"Content-Type": {"application/json", "text/plain"}},
		"another method said": {"Content-Type": {"application/json"}, "Mcp-Method": {"ping"}},
		"another name said":   {"Content-Type": {"application/json"}, "Mcp-Name": {"delete_all"}},
	} {
		add(step{name: name, body: toolCall("search"), header: header, token: view, status: 400, code: "mcp_unreadable"})
	}
	add(step{name: "nothing", token: view, status: 400, code: "mcp_unreadable"})
	events := http.Header{"Accept": {"text/event-stream"}}
	list = append(list,
		step{name: "a stream of events", path: "/echo/mcp", header: events, token: view, status: 200},
		step{name: "the end of a session", method: http.MethodDelete, path: "/echo/mcp", token: view, status: 200},
		step{name: "a method that brings no message", method: http.MethodPut, path: "/echo/mcp", body: toolCall("delete_album"), token: edit, status: 403, code: "method_not_covered"},
	)
	return list
}

// hostileBodies: a guarded tool is called by no body that readers may read differently. What
// passes reaches the API byte for byte.
func hostileBodies(e *env) {
	t := e.t
	text, err := os.ReadFile("../../plugin/mcp/testdata/bodies")
	require.NoError(t, err)
	token := e.token(t, "alice/album/view")
	for _, chunked := range []bool{false, true} {
		for line := range strings.Lines(string(text)) {
			name, quoted, ok := strings.Cut(strings.TrimRight(line, "\n"), "\t")
			if !ok {
				continue
			}
			body, err := strconv.Unquote(quoted)
			require.NoError(t, err, name)
			e.api.look()
			r := e.request(t, callStep(step{body: body}), token)
			if chunked {
				r.ContentLength = -1
			}
			answer := e.client.do(t, r)
			require.Contains(t, []int{200, 400, 401, 403}, answer.status, name)
			if answer.status != 200 {
				require.Empty(t, e.api.look(), name)
				continue
			}
			require.Equal(t, body, answer.echo.Body, name)
			require.True(t, harmless[name], "%s reached the API", name)
		}
	}
}

// harmless are the bodies that pass without the right to delete.
var harmless = map[string]bool{
	"plain": true, "arguments with a name of their own": true, "a name of its own in _meta": true, "a response": true,
	"room around": true, "initialize": true, "a huge number": true,
}

// longMessages come in many pieces, and are read as a whole or not at all.
func longMessages(e *env) {
	t := e.t
	long := func(name string, n int) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"x":"` + strings.Repeat("y", n) + `"},"name":"` + name + `"}}`
	}
	const view = "alice/album/view"
	token := e.token(t, view)
	send := func(body string, chunked bool) *answer {
		r := e.request(t, callStep(step{body: body}), token)
		if chunked {
			r.ContentLength = -1
		}
		return e.client.do(t, r)
	}
	for _, chunked := range []bool{false, true} {
		body := long("search", 60<<10)
		got := send(body, chunked)
		require.Equal(t, 200, got.status)
		require.Equal(t, body, got.echo.Body)
		require.Equal(t, 401, send(long("delete_all", 60<<10), chunked).status)
		e.api.look()
		got = send(long("search", 70<<10), chunked)
		require.Equal(t, 413, got.status)
		require.Equal(t, "mcp_too_large", got.code)
		require.Equal(t, 413, send(long("search", 10<<20), chunked).status)
		require.Empty(t, e.api.look())
	}
	t.Run("a token that is not known", func(t *testing.T) { // the AS is asked when the body is there
		e.step(t, callStep(step{name: "first", body: long("search", 60<<10), token: "alice/album/view,edit", status: 200, introspections: 1}))
	})
}
