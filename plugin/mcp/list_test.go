package mcp_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/mcp"
	"github.com/umagate/umagate/plugin/route"
)

// list makes an answer whose tools are given as they are in JSON.
func list(tools ...string) string {
	return `{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Join(tools, ",") + `]}}`
}

func tool(name string) string { return `{"name":"` + name + `","inputSchema":{"type":"object"}}` }

func isA(name string) bool { return strings.HasPrefix(name, "a") }

const (
	asJSON   = "application/json"
	asEvents = "text/event-stream"
)

func TestFilter(t *testing.T) {
	t.Parallel()
	event := func(data string) string { return "event: message\ndata: " + data + "\n\n" }
	const progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}`
	const ask = `{"jsonrpc":"2.0","id":7,"method":"roots/list"}`
	for _, tt := range []struct{ name, method, media, id, body, want string }{
		{"some", "", asJSON, "1", list(tool("a1"), tool("b1"), tool("a2")), list(tool("a1"), tool("a2"))},
		{"none", "", asJSON, "1", list(tool("b1")), list()},
		{"an empty one", "", asJSON, "1", list(), list()},
		{"with a charset", "", "Application/JSON; charset=UTF-8", "1", list(tool("b1")), list()},
		{"an id in other words", "", asJSON, `"x"`, `{"id":"\u0078","result":{"tools":[]},"jsonrpc":"2.0"}`, `{"jsonrpc":"2.0","id":"\u0078","result":{"tools":[]}}`},
		{"another writing of a number", "", asJSON, "1.0", list(), list()},
		{"room around", "", asJSON, "1", "\n" + list("\n"+tool("a1")+"\t") + "\r\n", list(tool("a1"))},
		{"the next page", "", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"nextCursor":"c","tools":[` + tool("b") + `],"_meta":{"a":[1]}}}`, `{"jsonrpc":"2.0","id":1,"result":{"nextCursor":"c","tools":[],"_meta":{"a":[1]}}}`},
		{"it is this caller's", "", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"public","ttlMs":5,"tools":[]}}`, `{"jsonrpc":"2.0","id":1,"result":{"cacheScope":"private","ttlMs":5,"tools":[]}}`},
		{"and that is said", "", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":5}}`, `{"jsonrpc":"2.0","id":1,"result":{"tools":[],"ttlMs":5,"cacheScope":"private"}}`},
		{"an error", "", asJSON, "1", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`},
		{"escapes in a name", "", asJSON, "1", list(`{"n\u0061me":"\u00611"}`, `{"name":"\u0062"}`), list(`{"n\u0061me":"\u00611"}`)},
		{"a name twice", "", asJSON, "1", list(`{"name":"a","name":"b"}`, `{"name":"b","n\u0061me":"a"}`), list()},
		{"another name", "", asJSON, "1", list(`{"name":"a","Name":"b"}`, `{"name":"a","NAME":"b"}`, `{"name":"a","__proto__":{"name":"b"}}`), list()},
		{"no name", "", asJSON, "1", list(`{}`, `{"name":1}`, `{"name":null}`, `{"name":""}`, `{"name":"a "}`, `"a"`, `["a"]`, `null`), list()},
		{"a name that ends early", "", asJSON, "1", list(`{"name":"a\u0000"}`, `{"name":"a\ud800"}`), list()},
		{"what a tool is like is its own", "", asJSON, "1", list(`{"name":"a","_meta":{"name":"b","name":"c"},"annotations":{"x":1}}`), list(`{"name":"a","_meta":{"name":"b","name":"c"},"annotations":{"x":1}}`)},

		{"an event", "", asEvents, "1", event(list(tool("b"))), event(list())},
		{"events", "", asEvents, "1", ": ping\n\nid: 1\ndata:\n\n" + event(progress) + "id: 7\nretry: 5\n" + event(list(tool("a"), tool("b"))) + event(ask), event(progress) + event(list(tool("a"))) + event(ask)},
		{"lines in a row", "", asEvents + "; charset=utf-8", "1", "data: " + strings.Replace(list(tool("b"), tool("a")), "},{", "},\r\ndata: {", 1) + "\r\n\r\n", event(list(tool("a")))},
		{"CR ends a line", "", asEvents, "1", "\xEF\xBB\xBFevent:message\rdata:" + list(tool("b")) + "\r\r", event(list())},
		{"what is not ended", "", asEvents, "1", "data: " + list(tool("b")), event(list())},
		{"an answer to something else", "", asEvents, "1", event(strings.Replace(list(tool("b")), `"id":1`, `"id":2`, 1)) + event(list()), event(list())},
		{"two answers", "", asEvents, "1", event(list(tool("b"))) + event(list(tool("b"))), event(list()) + event(list())},

		{"prompts", "prompts/list", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"prompts":[` + tool("b") + `,` + tool("a") + `],"tools":[1]}}`, `{"jsonrpc":"2.0","id":1,"result":{"prompts":[` + tool("a") + `],"tools":[1]}}`},
		{"resources", "resources/list", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"a:b"},{"uri":"b:b"},{"uri":"a:b/../c"},{"uri":"a:%61"}]}}`, `{"jsonrpc":"2.0","id":1,"result":{"resources":[{"uri":"a:b"}]}}`},
		{"templates", "resources/templates/list", asJSON, "1", `{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"a:/{x}{?y}"},{"uriTemplate":"b:/{x}"},{"uriTemplate":"a:/{x"},{"uriTemplate":"a:/x}"},{"uriTemplate":"a:/{}"},{"uriTemplate":"a:/{{x}}"},{"uriTemplate":"A:/{x}"}]}}`, `{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"a:/{x}{?y}"}]}}`},
	} {
		method := tt.method
		if method == "" {
			method = "tools/list"
		}
		of, ok := mcp.ListOf(method)
		require.True(t, ok)
		got, problem := of.Filter(tt.media, []byte(tt.body), tt.id, isA)
		require.Empty(t, problem, tt.name)
		require.Equal(t, tt.want, string(got), tt.name)
	}
}

// TestFilterVaries: a template is asked about by what it says whatever its variables are.
func TestFilterVaries(t *testing.T) {
	t.Parallel()
	of, _ := mcp.ListOf("resources/templates/list")
	var asked []string
	_, problem := of.Filter(asJSON, []byte(`{"jsonrpc":"2.0","id":1,"result":{"resourceTemplates":[{"uriTemplate":"file:///docs/{+path}.md"}]}}`), "1",
		func(name string) bool { asked = append(asked, name); return true })
	require.Empty(t, problem)
	require.Equal(t, []string{"file:///docs/" + route.Varies + ".md"}, asked)
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, media, body string
		want              mcp.Problem
	}{
		{"no type", "", list(), mcp.ProblemMedia},
		{"another type", "text/html", list(), mcp.ProblemMedia},
		{"another encoding", "application/json; charset=utf-16", list(), mcp.ProblemMedia},
		{"nothing", asJSON, "", mcp.ProblemBody},
		{"no event", asEvents, "", mcp.ProblemNoAnswer},
		{"compressed", asJSON, "\x1f\x8b\x08", mcp.ProblemJSON},
		{"trailing bytes", asJSON, list() + "x", mcp.ProblemJSON},
		{"two answers", asJSON, list() + list(), mcp.ProblemJSON},
		{"half an answer", asJSON, list()[:40], mcp.ProblemJSON},
		{"a batch", asJSON, "[" + list() + "]", mcp.ProblemObject},
		{"another id", asJSON, strings.Replace(list(), `"id":1`, `"id":2`, 1), mcp.ProblemNoAnswer},
		{"its id as a text", asJSON, strings.Replace(list(), `"id":1`, `"id":"1"`, 1), mcp.ProblemNoAnswer},
		{"no id", asJSON, strings.Replace(list(), `"id":1,`, ``, 1), mcp.ProblemNoAnswer},
		{"null", asJSON, strings.Replace(list(), `"id":1`, `"id":null`, 1), mcp.ProblemNoAnswer},
		{"id twice", asJSON, strings.Replace(list(), `"id":1`, `"id":1,"id":1`, 1), mcp.ProblemDuplicate},
		{"result twice", asJSON, strings.Replace(list(), `"id":1`, `"id":1,"result":{"tools":[]}`, 1), mcp.ProblemDuplicate},
		{"Result", asJSON, strings.Replace(list(), `"id":1`, `"id":1,"Result":{"tools":[]}`, 1), mcp.ProblemMember},
		{"__proto__", asJSON, strings.Replace(list(), `"id":1`, `"id":1,"__proto__":{}`, 1), mcp.ProblemMember},
		{"result and error", asJSON, strings.Replace(list(), `"id":1`, `"id":1,"error":{}`, 1), mcp.ProblemShape},
		{"a notification alone", asJSON, `{"jsonrpc":"2.0","method":"notifications/progress"}`, mcp.ProblemNoAnswer},
		{"tools twice", asJSON, strings.Replace(list(), `"tools":[]`, `"tools":[],"tools":[{"name":"b"}]`, 1), mcp.ProblemDuplicate},
		{"tools twice, escaped", asJSON, strings.Replace(list(), `"tools":[]`, `"tools":[],"t\u006fols":[{"name":"b"}]`, 1), mcp.ProblemDuplicate},
		{"Tools", asJSON, strings.Replace(list(), `"tools":[]`, `"tools":[],"Tools":[{"name":"b"}]`, 1), mcp.ProblemMember},
		{"result.__proto__", asJSON, strings.Replace(list(), `"tools":[]`, `"tools":[],"__proto__":{"tools":[{"name":"b"}]}`, 1), mcp.ProblemMember},
		{"a member in other letters", asJSON, strings.Replace(list(), `"tools":[]`, `"tools":[],"tооls":[{"name":"b"}]`, 1), mcp.ProblemMember},
		{"no list", asJSON, `{"jsonrpc":"2.0","id":1,"result":{}}`, mcp.ProblemNoList},
		{"no array", asJSON, strings.Replace(list(), `[]`, `{"0":{"name":"b"}}`, 1), mcp.ProblemNoList},
		{"no object", asJSON, `{"jsonrpc":"2.0","id":1,"result":[{"name":"b"}]}`, mcp.ProblemType},
		{"another event", asEvents, "event: endpoint\ndata: " + list() + "\n\n", mcp.ProblemEvents},
		{"an event that is no message", asEvents, "data: x\n\ndata: " + list() + "\n\n", mcp.ProblemJSON},
		{"an event of a batch", asEvents, "data: [" + list() + "]\n\n", mcp.ProblemObject},
		{"no answer among them", asEvents, "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n", mcp.ProblemNoAnswer},
		{"JSON that is called events", asEvents, list(), mcp.ProblemNoAnswer},
		{"too deep", asJSON, list(`{"name":"a","x":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`), mcp.ProblemJSON},
	} {
		of, _ := mcp.ListOf("tools/list")
		got, problem := of.Filter(tt.media, []byte(tt.body), "1", isA)
		require.Equal(t, tt.want, problem, tt.name)
		require.Nil(t, got, tt.name)
	}
}

func TestIsFailure(t *testing.T) {
	t.Parallel()
	const failure = `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"m"}}`
	require.True(t, mcp.IsFailure(asJSON, []byte(failure)))
	require.False(t, mcp.IsFailure("text/plain", []byte(failure)))
	require.False(t, mcp.IsFailure(asJSON, []byte(list())))
	require.False(t, mcp.IsFailure(asJSON, []byte(list()+failure)))
}

// FuzzFilter: no reader finds a tool in what passes that may not be shown.
func FuzzFilter(f *testing.F) {
	f.Add(true, list(tool("a"), tool("b")))
	f.Add(false, "event: message\ndata: "+list(tool("a"), tool("b"))+"\n\n")
	f.Add(true, strings.Replace(list(), `"tools":[]`, `"tools":[],"Tools":[{"name":"b"}]`, 1))
	f.Fuzz(func(t *testing.T, plain bool, body string) {
		media := asEvents
		if plain {
			media = asJSON
		}
		of, _ := mcp.ListOf("tools/list")
		got, problem := of.Filter(media, []byte(body), "1", isA)
		if problem != "" {
			require.Nil(t, got)
			return
		}
		texts := []string{string(got)}
		if !plain {
			texts = strings.Split(strings.TrimSuffix(string(got), "\n\n"), "\n\n")
			for i, text := range texts {
				data, ok := strings.CutPrefix(text, "event: message\ndata: ")
				require.True(t, ok, "%q", text)
				texts[i] = strings.ReplaceAll(data, "\ndata: ", "\n")
			}
		}
		for _, text := range texts {
			var answer struct {
				Result struct {
					Tools []struct{ Name string }
				}
			}
			require.NoError(t, json.Unmarshal([]byte(text), &answer), "%q", text)
			for _, tool := range answer.Result.Tools {
				require.True(t, isA(tool.Name), "%q", text)
			}
		}
	})
}
