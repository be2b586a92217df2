package mcp_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/mcp"
)

func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

func read(uri string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + uri + `"}}`
}

// many are n parameters of different names.
func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`,"p` + strconv.Itoa(i) + `":0`)
	}
	return b.String()
}

func TestRead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       mcp.Message
	}{
		{"an id of text", `{"jsonrpc":"2.0","id":"a\u0022-1","method":"ping"}`, mcp.Message{Method: "ping", ID: `"a\u0022-1"`}},
		{"an id that no answer could have", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, mcp.Message{Method: "ping"}},
		{"a call", call(`{"name":"delete_all","arguments":{"name":"x","name":"y"}}`), mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "delete_all", ID: "1"}},
		{"with room around", "\n\t " + call(`{ "name" : "a" }`) + "\r\n", mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a", ID: "1"}},
		{"escapes", call(`{"\u006eame":"\u0064elete_\u00e9\ud83d\ude00"}`), mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "delete_é😀", ID: "1"}},
		{"an escaped method", `{"jsonrpc":"2.0","id":1,"\u006dethod":"tools\/call","params":{"name":"a"}}`, mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a", ID: "1"}},
		{"a notification is a call", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"a"}}`, mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a"}},
		{"more parameters", call(`{"_meta":{"progressToken":1},"name":"a","task":{"ttl":1}}`), mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a", ID: "1"}},
		{"as many parameters as can be", call(`{"name":"a"` + many(63) + `}`), mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a", ID: "1"}},
		{"no parameters", `{"jsonrpc":"2.0","id":1,"method":"ping"}`, mcp.Message{Method: "ping", ID: "1"}},
		{"a prompt", `{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"p q"}}`, mcp.Message{Method: "prompts/get", Target: mcp.TargetPrompt, Name: "p q", ID: "1"}},
		{"a resource", read("file:///a/b%20c.txt?x=1"), mcp.Message{Method: "resources/read", Target: mcp.TargetResource, Name: "file:///a/b%20c.txt?x=1", ID: "1"}},
		{"of another scheme", read("note:1"), mcp.Message{Method: "resources/read", Target: mcp.TargetResource, Name: "note:1", ID: "1"}},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{"method":"tools/call"}}`, mcp.Message{}},
		{"an error", `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"m"}}`, mcp.Message{}},
		{"big", call(`{"name":"a","arguments":{"x":"` + strings.Repeat("y", 1<<20) + `"}}`), mcp.Message{Method: "tools/call", Target: mcp.TargetTool, Name: "a", ID: "1"}},
	} {
		got, problem := mcp.Read([]byte(tt.body))
		require.Empty(t, problem, tt.name)
		require.Equal(t, tt.want, got, tt.name)
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, body string
		want       mcp.Problem
	}{
		{"nothing", "", mcp.ProblemBody},
		{"trailing bytes", call(`{"name":"a"}`) + "garbage", mcp.ProblemJSON},
		{"a second value", call(`{"name":"a"}`) + call(`{"name":"b"}`), mcp.ProblemJSON},
		{"NUL at the end", call(`{"name":"a"}`) + "\x00", mcp.ProblemJSON},
		{"half a value", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"`, mcp.ProblemJSON},
		{"a comment", `/**/` + call(`{"name":"a"}`), mcp.ProblemJSON},
		{"a comma", call(`{"name":"a",}`), mcp.ProblemJSON},
		{"single quotes", strings.ReplaceAll(call(`{"name":"a"}`), `"`, "'"), mcp.ProblemJSON},
		{"NaN", call(`{"name":"a","arguments":NaN}`), mcp.ProblemJSON},
		{"BOM", "\uFEFF" + call(`{"name":"a"}`), mcp.ProblemJSON},
		{"UTF-16", "\xff\xfe{\x00}\x00", mcp.ProblemJSON},
		{"UTF-16 without BOM", "{\x00}\x00", mcp.ProblemJSON},
		{"no UTF-8", call("{\"name\":\"a\xff\"}"), mcp.ProblemJSON},
		{"overlong", call("{\"name\":\"\xc1\xa1\"}"), mcp.ProblemJSON},
		{"a raw line feed", call("{\"name\":\"a\n\"}"), mcp.ProblemJSON},
		{"too deep", call(`{"name":"a","arguments":` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `}`), mcp.ProblemJSON},
		{"a batch", "[" + call(`{"name":"a"}`) + "]", mcp.ProblemObject},
		{"a text", `"tools/call"`, mcp.ProblemObject},
		{"method twice", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"a"}}`, mcp.ProblemDuplicate},
		{"method twice, escaped", `{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call","params":{"name":"a"}}`, mcp.ProblemDuplicate},
		{"params twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"params":{"name":"b"}}`, mcp.ProblemDuplicate},
		{"params null and again", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":null,"params":{"name":"b"}}`, mcp.ProblemDuplicate},
		{"id twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, mcp.ProblemDuplicate},
		{"name twice", call(`{"name":"a","name":"b"}`), mcp.ProblemDuplicate},
		{"name twice, escaped", call(`{"name":"a","n\u0061me":"b"}`), mcp.ProblemDuplicate},
		{"arguments twice", call(`{"name":"a","arguments":{},"arguments":{}}`), mcp.ProblemDuplicate},
		{"Method", `{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}`, mcp.ProblemMember},
		{"paramſ", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"paramſ":{"name":"b"}}`, mcp.ProblemMember},
		{"METHOD alone", `{"jsonrpc":"2.0","id":1,"METHOD":"ping"}`, mcp.ProblemMember},
		{"__proto__", `{"jsonrpc":"2.0","id":1,"method":"ping","__proto__":{"method":"tools/call"}}`, mcp.ProblemMember},
		{"params.__proto__", call(`{"name":"a","__proto__":{"name":"b"}}`), mcp.ProblemMember},
		{"Name", call(`{"name":"a","Name":"b"}`), mcp.ProblemMember},
		{"NAME alone", call(`{"NAME":"b"}`), mcp.ProblemMember},
		{"a parameter in other letters", call(`{"name":"a","nаme":"b"}`), mcp.ProblemMember},
		{"too many parameters", call(`{"name":"a"` + many(64) + `}`), mcp.ProblemMember},
		{"half a surrogate as a parameter", call(`{"name":"a","\ud800":"b"}`), mcp.ProblemMember},
		{"no version", `{"id":1,"method":"ping"}`, mcp.ProblemVersion},
		{"another version", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, mcp.ProblemVersion},
		{"neither", `{"jsonrpc":"2.0","id":1}`, mcp.ProblemShape},
		{"both", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"result":{}}`, mcp.ProblemShape},
		{"result and error", `{"jsonrpc":"2.0","id":1,"result":1,"error":{}}`, mcp.ProblemShape},
		{"a result with params", `{"jsonrpc":"2.0","id":1,"result":1,"params":{}}`, mcp.ProblemShape},
		{"a number as method", `{"jsonrpc":"2.0","id":1,"method":1}`, mcp.ProblemType},
		{"a list as method", `{"jsonrpc":"2.0","id":1,"method":["tools/call"]}`, mcp.ProblemType},
		{"null as method", `{"jsonrpc":"2.0","id":1,"method":null}`, mcp.ProblemType},
		{"a list as params", call(`["a"]`), mcp.ProblemType},
		{"null as params", call(`null`), mcp.ProblemType},
		{"a number as name", call(`{"name":1}`), mcp.ProblemType},
		{"an object as name", call(`{"name":{"toString":"a"}}`), mcp.ProblemType},
		{"a list as name", call(`{"name":["a"]}`), mcp.ProblemType},
		{"no name", call(`{}`), mcp.ProblemNoName},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, mcp.ProblemNoName},
		{"a space before the method", `{"jsonrpc":"2.0","id":1,"method":" tools/call","params":{"name":"a"}}`, mcp.ProblemName},
		{"an empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, mcp.ProblemName},
		{"NUL in a name", call(`{"name":"a\u0000b"}`), mcp.ProblemName},
		{"a tab after a name", call(`{"name":"a\t"}`), mcp.ProblemName},
		{"a no-break space after a name", call(`{"name":"a\u00a0"}`), mcp.ProblemName},
		{"a zero-width space", call(`{"name":"a\u200bb"}`), mcp.ProblemName},
		{"half a surrogate", call(`{"name":"a\ud800"}`), mcp.ProblemName},
		{"halves in the wrong order", call(`{"name":"\ude00\ud83d"}`), mcp.ProblemName},
		{"an empty name", call(`{"name":""}`), mcp.ProblemName},
		{"dot segments", read("file:///public/../secret"), mcp.ProblemURI},
		{"encoded dots", read("file:///public/%2e%2e/secret"), mcp.ProblemURI},
		{"dot segments of another scheme", read("note:public/../secret"), mcp.ProblemURI},
		{"a scheme in capitals", read("FILE:///secret"), mcp.ProblemURI},
		{"a host in capitals", read("http://Secret/x"), mcp.ProblemURI},
		{"a user", read("http://public@secret/x"), mcp.ProblemURI},
		{"two slashes", read("file:///public//x"), mcp.ProblemURI},
		{"a fragment", read("file:///x#y"), mcp.ProblemURI},
		{"encoded letters", read("file:///%73ecret"), mcp.ProblemURI},
		{"an encoded sub-delimiter", read("file:///a%21"), mcp.ProblemURI},
		{"small hex digits", read("file:///%c3%a9"), mcp.ProblemURI},
		{"a raw brace", read("file:///{x}"), mcp.ProblemURI},
		{"a backslash", read(`file:///a\\b`), mcp.ProblemURI},
		{"a space", read("file:///a b"), mcp.ProblemURI},
		{"other letters", read("file:///é"), mcp.ProblemURI},
		{"no scheme", read("/etc/passwd"), mcp.ProblemURI},
		{"half an escape", read("file:///a%2"), mcp.ProblemURI},
	} {
		got, problem := mcp.Read([]byte(tt.body))
		require.Equal(t, tt.want, problem, tt.name)
		require.Empty(t, got, tt.name)
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"", "initialize", "ping", "notifications/initialized", "tools/list", "prompts/list", "resources/templates/list"} {
		require.True(t, mcp.Basic(method), method)
	}
	for _, method := range []string{"tools/call", "resources/read", "logging/setLevel", "completion/complete", "tasks/result", "Initialize", "subscriptions/listen"} {
		require.False(t, mcp.Basic(method), method)
	}
}
