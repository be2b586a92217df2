package suite_test

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// listScenarios are about the lists of an MCP server, which show what the caller may use.
func listScenarios() []scenario {
	server := func(_ *env, s *config.Site) {
		s.MCPLists = config.ListsPermitted
		s.Limits.MCPMessageBytes = 64 << 10
		on := func(m *config.MCP, scope string) config.Condition {
			return config.Condition{Paths: []string{"/listing", "/listing/{way}"}, MCP: m, Scopes: []string{scope}}
		}
		s.Resources[0].Conditions = append(s.Resources[0].Conditions,
			on(nil, "view"), on(&config.MCP{Tools: []string{"search", "get_*"}, Resources: []string{"file:///docs/*"}}, "view"),
			on(&config.MCP{Tools: []string{"delete_*"}, Prompts: []string{"*"}}, "edit"))
		s.Resources = append(s.Resources, config.Resource{Name: "help", Conditions: []config.Condition{
			{Paths: []string{"/listing", "/listing/{way}"}, MCP: &config.MCP{Tools: []string{"help"}}, Public: true},
		}})
	}
	evaluated := func(e *env, s *config.Site) {
		server(e, s)
		s.AuthorizationServer.Evaluation = e.as.evaluation()
		s.Limits.EvaluationsPerSecond = 10_000
		s.Resources[1].Conditions = append(s.Resources[1].Conditions, config.Condition{
			Paths: []string{"/listing", "/listing/{way}"}, MCP: &config.MCP{Tools: []string{"format_*"}}, Scopes: []string{"view"},
		})
	}
	return []scenario{
		{name: "mcp-lists", site: server, run: permittedTools},
		{name: "mcp-lists-answers", once: true, site: server, run: listAnswers},
		{name: "mcp-lists-long", once: true, needs: canKeepLong, site: server, run: longLists},
		{name: "mcp-lists-evaluated", site: evaluated, run: evaluatedTools},
	}
}

// listedTools are those of the server. No condition has the last one.
var listedTools = []string{"search", "get_album", "delete_album", "help", "format_disk"}

// answerList is a server that lists its tools, in the way that X-Suite-List says.
func answerList(w http.ResponseWriter, r *http.Request) {
	var message struct {
		ID     json.RawMessage
		Method string
	}
	body, err := io.ReadAll(r.Body)
	if err == nil && r.Method == http.MethodPost {
		err = json.Unmarshal(body, &message)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("X-Saw", fmt.Sprintf("%s %q %q %q", r.Header.Get("X-Uma-Subject"), r.Header.Get("Accept-Encoding"), r.Header.Get("Last-Event-Id"), r.Host))
	w.Header().Set("Mcp-Session-Id", "s1")
	w.Header().Set("Content-Type", "application/json")
	how := r.Header.Get("X-Suite-List")
	if message.Method != "tools/list" {
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, message.ID)
		return
	}
	var tools []string
	for _, name := range listedTools {
		tools = append(tools, fmt.Sprintf(`{"name":%q,"inputSchema":{"type":"object"}}`, name))
	}
	list := strings.Join(tools, ",")
	answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"tools":[%s],"nextCursor":"page 2"}}`, message.ID, list)
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1,"progressToken":1}}`
	events := func() { w.Header().Set("Content-Type", "text/event-stream") }
	switch how {
	case "events":
		events()
		_, _ = fmt.Fprintf(w, "id: 1\ndata:\n\nevent: message\nid: 2\ndata: %s\n\n", progress)
		_ = http.NewResponseController(w).Flush()
		_, _ = fmt.Fprintf(w, "event: message\nid: 3\ndata: %s\n\n", answer)
	case "another event":
		events()
		_, _ = fmt.Fprintf(w, "event: tools\ndata: %s\n\n", answer)
	case "chunked":
		for len(answer) > 0 {
			n := min(len(answer), 17)
			_, _ = io.WriteString(w, answer[:n])
			_ = http.NewResponseController(w).Flush()
			answer = answer[n:]
		}
	case "compressed":
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, answer)
		_ = z.Close()
	case "no type":
		w.Header()["Content-Type"] = nil
		_, _ = io.WriteString(w, answer)
	case "gone":
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, answer)
	case "broken off":
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)+100))
		_, _ = io.WriteString(w, answer)
	case "long":
		long := strings.Repeat(" ", 1<<20)
		_, _ = io.WriteString(w, answer[:len(answer)-1]+long+"}")
	case "error":
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no such cursor"}}`, message.ID)
	default:
		if hostile := hostileAnswers[how]; hostile != "" {
			answer = strings.NewReplacer("ID", string(message.ID), "LIST", list).Replace(hostile)
		}
		_, _ = io.WriteString(w, answer)
	}
}

// hostileAnswers are those that two readers read differently, or that are no answer.
var hostileAnswers = map[string]string{
	"tools twice":         `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"tools":[LIST]}}`,
	"tools twice, hidden": `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"t\u006fols":[LIST]}}`,
	"Tools":               `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"Tools":[LIST]}}`,
	"__proto__":           `{"jsonrpc":"2.0","id":ID,"result":{"tools":[],"__proto__":{"tools":[LIST]}}}`,
	"result twice":        `{"jsonrpc":"2.0","id":ID,"result":{"tools":[]},"result":{"tools":[LIST]}}`,
	"Result":              `{"jsonrpc":"2.0","id":ID,"result":{"tools":[]},"Result":{"tools":[LIST]}}`,
	"two values":          `{"jsonrpc":"2.0","id":ID,"result":{"tools":[]}}{"jsonrpc":"2.0","id":ID,"result":{"tools":[LIST]}}`,
	"trailing bytes":      `{"jsonrpc":"2.0","id":ID,"result":{"tools":[LIST]}}x`,
	"a batch":             `[{"jsonrpc":"2.0","id":ID,"result":{"tools":[LIST]}}]`,
	"another id":          `{"jsonrpc":"2.0","id":77,"result":{"tools":[LIST]}}`,
	"no list":             `{"jsonrpc":"2.0","id":ID,"result":{"other":[LIST]}}`,
}

// list asks for the tools.
func (e *env) list(t *testing.T, token, how string, header http.Header) *answer {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	header.Set("Accept", "application/json, text/event-stream")
	header.Set("X-Suite-List", how)
	r := e.request(t, &step{method: http.MethodPost, path: "/listing", header: header, body: `{"jsonrpc":"2.0","id":"a-1","method":"tools/list"}`}, e.token(t, token))
	return e.client.do(t, r)
}

// toolsOf are the names in an answer, by events or not, as they can be read.
func toolsOf(t *testing.T, a *answer) []string {
	t.Helper()
	text := string(a.body)
	if _, data, ok := strings.Cut(text, `data: {"jsonrpc":"2.0","id":"a-1"`); ok {
		text, _, _ = strings.Cut(`{"jsonrpc":"2.0","id":"a-1"`+data, "\n")
	}
	var message struct {
		Result struct{ Tools []struct{ Name string } }
	}
	require.NoError(t, json.Unmarshal([]byte(text), &message), "%s", a.body)
	names := []string{}
	for _, tool := range message.Result.Tools {
		names = append(names, tool.Name)
	}
	return names
}

const (
	viewer = "alice/album/view"
	editor = "alice/album/edit,view"
)

// permittedTools: each caller is shown its tools, in every form that a server may answer in.
func permittedTools(e *env) {
	t := e.t
	for _, how := range []string{"", "events", "chunked"} {
		for token, want := range map[string][]string{viewer: {"search", "get_album", "help"}, editor: {"search", "get_album", "delete_album", "help"}} {
			got := e.list(t, token, how, http.Header{"Accept-Encoding": {"gzip"}, "X-Uma-Subject": {"mallory"}})
			require.Equal(t, 200, got.status, how)
			require.Equal(t, want, toolsOf(t, got), "%s %s", how, got.body)
			require.Contains(t, string(got.body), `"nextCursor":"page 2"`)
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.Equal(t, "s1", got.header.Get("Mcp-Session-Id"))
			saw := got.header.Get("X-Saw")
			require.True(t, strings.HasSuffix(saw, fmt.Sprintf(` "" "" %q`, e.host)), saw)
			require.False(t, strings.HasPrefix(saw, " ") || strings.HasPrefix(saw, "mallory"), saw)
			if how == "events" {
				require.Contains(t, string(got.body), "notifications/progress")
				require.NotContains(t, string(got.body), "id: ")
			}
		}
	}
	e.step(t, &step{
		name: "without a token there is no list", method: http.MethodPost, path: "/listing", header: http.Header{"Content-Type": {"application/json"}},
		body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, status: 401, code: "no_token", challenge: "UMA", tickets: 1,
	})
	e.api.look()
	resumed := e.client.do(t, e.request(t, &step{path: "/listing", header: http.Header{"Last-Event-Id": {"2"}}}, e.token(t, viewer)))
	require.Equal(t, 200, resumed.status)
	require.Contains(t, resumed.header.Get("X-Saw"), ` "" `)
	require.NotContains(t, resumed.header.Get("X-Saw"), `"2"`)
}

// evaluatedTools: the AS is asked once for all that a list could show, which is what calls of
// the tools are decided by then.
func evaluatedTools(e *env) {
	t := e.t
	alice, bob := e.plain(t, "alice"), e.plain(t, "bob")
	list := func(token string, evaluations int) []string {
		before := e.front.evaluationsOf(token)
		tools := toolsOf(t, e.list(t, "="+token, "", nil))
		require.Equal(t, evaluations, e.front.evaluationsOf(token)-before)
		return tools
	}
	call := func(tool, token string, status int) {
		body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `"}}`
		got := e.client.do(t, e.request(t, &step{method: http.MethodPost, path: "/listing", header: http.Header{"Content-Type": {"application/json"}}, body: body}, token))
		require.Equal(t, status, got.status, tool)
	}
	require.Equal(t, []string{"search", "get_album", "delete_album", "help"}, list(alice, 2), "one for the list itself")
	require.Equal(t, []string{"search", "get_album", "delete_album", "help"}, list(alice, 0))
	before := e.front.evaluationsOf(alice)
	call("delete_album", alice, 200)
	require.Equal(t, before, e.front.evaluationsOf(alice), "it is known")
	call("format_disk", alice, 401)
	got := e.list(t, "="+bob, "", nil)
	require.Equal(t, 401, got.status)
	require.Equal(t, "insufficient_permission", got.code)
}

// listAnswers: what cannot be read in one way only shows nothing, and what is no list is said.
func listAnswers(e *env) {
	t := e.t
	ways := []string{"another event", "compressed", "no type", "long"}
	for how := range hostileAnswers {
		ways = append(ways, how)
	}
	for _, how := range ways {
		got := e.list(t, editor, how, nil)
		require.Equal(t, 502, got.status, how)
		require.Equal(t, "mcp_list_unreadable", got.code, how)
		require.Equal(t, "application/json", got.header.Get("Content-Type"), how)
		var message struct {
			JSONRPC, ID string
			Result      json.RawMessage
			Error       struct{ Code int }
		}
		require.NoError(t, json.Unmarshal(got.body, &message), "%s: %s", how, got.body)
		require.Equal(t, "a-1", message.ID, how)
		require.Equal(t, -32010, message.Error.Code, how)
		require.Empty(t, message.Result, how)
	}
	got := e.list(t, editor, "error", nil)
	require.Equal(t, 200, got.status)
	require.Contains(t, string(got.body), "no such cursor")
	got = e.list(t, editor, "gone", nil)
	require.Equal(t, 404, got.status)
	require.Empty(t, got.body)
	require.Equal(t, "s1", got.header.Get("Mcp-Session-Id"))
	got = e.list(t, editor, "broken off", nil)
	require.Equal(t, 503, got.status)
	require.NotContains(t, string(got.body), "delete_album")
	require.Equal(t, []string{"search", "get_album", "delete_album", "help"}, toolsOf(t, e.list(t, editor, "", nil)), "and it goes on")
	for how, reason := range map[string]string{"": "permitted", "a batch": "mcp_list_unreadable"} {
		marker := "/listing/" + reason
		header := http.Header{"Content-Type": {"application/json"}, "X-Suite-List": {how}}
		e.client.do(t, e.request(t, &step{method: http.MethodPost, path: marker, header: header, body: `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`}, e.token(t, editor)))
		waitFor(t, "the access log", func() bool {
			d, ok := e.gw.logged(marker)
			return ok && d["reason"] == reason && d["mcp_method"] == "tools/list"
		})
	}
}

// longLists: a request that Envoy keeps in many pieces is sent as it came.
func longLists(e *env) {
	for _, chunked := range []bool{false, true} {
		body := `{"jsonrpc":"2.0","id":"a-1","method":"tools/list","params":{"_meta":{"x":"` + strings.Repeat("y", 60<<10) + `"}}}`
		r := e.request(e.t, &step{method: http.MethodPost, path: "/listing", header: http.Header{"Content-Type": {"application/json"}}, body: body}, e.token(e.t, viewer))
		if chunked {
			r.ContentLength = -1
		}
		require.Equal(e.t, []string{"search", "get_album", "help"}, toolsOf(e.t, e.client.do(e.t, r)))
	}
}
