package decision_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/uma"
)

// guardTools adds an MCP server with conditions of every kind.
func guardTools(c *config.Config) {
	s := &c.Sites[0]
	s.Limits.MCPMessageBytes = 2048
	on := func(m *config.MCP, change func(*config.Condition)) config.Condition {
		out := config.Condition{Paths: []string{"/mcp"}, MCP: m}
		change(&out)
		return out
	}
	scopes := func(names ...string) func(*config.Condition) {
		return func(c *config.Condition) { c.Scopes = names }
	}
	s.Resources = append(s.Resources, config.Resource{Name: "server", ID: "r1", Conditions: []config.Condition{
		on(nil, scopes("view")),
		on(&config.MCP{Tools: []string{"search", "get_*"}, Methods: []string{"logging/*"}}, scopes("view")),
		on(&config.MCP{Tools: []string{"delete_*"}, Resources: []string{"file:///drafts/*"}}, scopes("edit")),
		on(&config.MCP{Tools: []string{"*_all"}, Prompts: []string{"*"}}, scopes("all")),
		on(&config.MCP{Tools: []string{"wipe", "delete_none"}}, func(c *config.Condition) { c.Deny = true }),
		on(&config.MCP{Resources: []string{"file:///*"}, Methods: []string{"tools/list"}}, scopes("view")),
	}})
}

// callOf calls a tool.
func callOf(tool string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":%q}}`, tool)
}

func post(token string) *decision.Request {
	return ask("POST", "/mcp", token, "content-type", "application/json")
}

// say brings a message and returns what was decided; introspection is answered with answer.
func (h *harness) say(r *decision.Request, body, answer string) (decision.Decision, decision.Step) {
	h.t.Helper()
	x, step := h.start(r)
	if step.Kind == decision.KindRead {
		step = h.worker.Read(x, []byte(body), false, h.now)
	}
	for range 3 {
		if step.Kind != decision.KindCall {
			break
		}
		if step.Call.Purpose == decision.PurposeIntrospect {
			step = h.reply(step, 200, answer)
		} else {
			step = h.reply(step, 201, `{"ticket":"t1"}`)
		}
	}
	return x.Decision(), step
}

func TestMessages(t *testing.T) {
	t.Parallel()
	method := func(m string) string { return `{"jsonrpc":"2.0","id":1,"method":"` + m + `"}` }
	uri := func(u string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"` + u + `"}}`
	}
	for _, tt := range []struct {
		body, code string // with view alone
		withEdit   string // with view and edit; "" is the same
	}{
		{callOf("search"), "permitted", ""},
		{callOf("get_x"), "permitted", ""},
		{callOf("get_"), "mcp_not_covered", ""},
		{callOf("Search"), "mcp_not_covered", ""},
		{callOf("delete_x"), "insufficient_permission", "permitted"},
		{callOf("delete_none"), "denied", "denied"},
		{callOf("delete_all"), "mcp_not_covered", ""}, // two patterns
		{callOf("drop_all"), "insufficient_permission", ""},
		{callOf("wipe"), "denied", ""},
		{strings.Replace(callOf("delete_x"), "delete", `\u0064elete`, 1), "insufficient_permission", "permitted"},
		{uri("file:///a"), "permitted", ""},
		{uri("file:///drafts/a"), "insufficient_permission", "permitted"},
		{uri("file:///a/../drafts/a"), "mcp_unreadable", ""},
		{uri("http://a/b"), "mcp_not_covered", ""},
		{method("initialize"), "permitted", ""},
		{method("ping"), "permitted", ""},
		{method("notifications/initialized"), "permitted", ""},
		{method("tools/list"), "permitted", ""},
		{method("logging/setLevel"), "permitted", ""},
		{method("completion/complete"), "mcp_not_covered", ""},
		{method("unheard/of"), "mcp_not_covered", ""},
		{`{"jsonrpc":"2.0","id":1,"result":{}}`, "permitted", ""},
		{"[" + callOf("search") + "]", "mcp_unreadable", ""},
		{callOf("search") + "x", "mcp_unreadable", ""},
		{"", "mcp_unreadable", ""},
		{callOf(strings.Repeat("x", 2048)), "mcp_too_large", ""},
	} {
		h := newHarness(t, guardTools)
		d, step := h.say(post("token"), tt.body, viewR1)
		require.Equal(t, tt.code, d.Reason.String(), tt.body)
		require.Equal(t, d.Reason.Allows(), step.Kind == decision.KindAllow, tt.body)
		if tt.withEdit != "" {
			d, _ = h.say(post("editor"), tt.body, editR1)
			require.Equal(t, tt.withEdit, d.Reason.String(), tt.body)
		}
	}
}

func TestMessageHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		headers []string
		code    string
	}{
		{"JSON", []string{"content-type", "application/json"}, "permitted"},
		{"in UTF-8", []string{"content-type", "Application/JSON; charset=UTF-8"}, "permitted"},
		{"no type", nil, "mcp_unreadable"},
		{"text", []string{"content-type", "text/plain"}, "mcp_unreadable"},
		{"a form", []string{"content-type", "application/x-www-form-urlencoded"}, "mcp_unreadable"},
		{"like JSON", []string{"content-type", "application/json-rpc"}, "mcp_unreadable"},
		{"in UTF-16", []string{"content-type", "application/json; charset=utf-16"}, "mcp_unreadable"},
		{"two parameters", []string{"content-type", "application/json; charset=utf-8; charset=utf-16"}, "mcp_unreadable"},
		{"two types", []string{"content-type", "application/json", "content-type", "application/json"}, "mcp_unreadable"},
		{"two in one", []string{"content-type", "application/json, text/plain"}, "mcp_unreadable"},
		{"another name of it", []string{"content-type", "application/json", "content_type", "text/plain"}, "mcp_unreadable"},
		{"compressed", []string{"content-type", "application/json", "content-encoding", "gzip"}, "mcp_unreadable"},
		{"which waits for 100", []string{"content-type", "application/json", "expect", "100-continue"}, "expectation_failed"},
		{"the method too", []string{"content-type", "application/json", "mcp-method", "tools/call", "mcp-name", "search"}, "permitted"},
		{"in base64", []string{"content-type", "application/json", "mcp-name", "=?base64?c2VhcmNo?="}, "permitted"},
		{"another method", []string{"content-type", "application/json", "mcp-method", "ping"}, "mcp_unreadable"},
		{"another name", []string{"content-type", "application/json", "mcp-name", "delete_x"}, "mcp_unreadable"},
		{"another in base64", []string{"content-type", "application/json", "mcp-name", "=?base64?ZGVsZXRl?="}, "mcp_unreadable"},
		{"twice", []string{"content-type", "application/json", "mcp-name", "search", "mcp-name", "search"}, "mcp_unreadable"},
		{"folded", []string{"content-type", "application/json", "mcp_name", "search"}, "mcp_unreadable"},
		{"an upgrade", []string{"content-type", "application/json", "connection", "upgrade", "upgrade", "websocket"}, "mcp_unreadable"},
	} {
		d, _ := newHarness(t, guardTools).say(ask("POST", "/mcp", "token", tt.headers...), callOf("search"), viewR1)
		require.Equal(t, tt.code, d.Reason.String(), tt.name)
	}
}

// TestMessageMethods: what brings no message is judged by the condition of the path.
func TestMessageMethods(t *testing.T) {
	t.Parallel()
	for method, code := range map[string]string{
		"GET": "permitted", "HEAD": "permitted", "DELETE": "permitted", "PUT": "method_not_covered", "PATCH": "method_not_covered", "QUERY": "method_not_covered",
	} {
		h := newHarness(t, guardTools)
		x, _ := h.decide(ask(method, "/mcp", "token", "content-type", "application/json"), viewR1)
		require.Equal(t, code, x.Decision().Reason.String(), method)
	}
	h := newHarness(t, guardTools)
	x, step := h.start(ask("GET", "/mcp", "token", "connection", "upgrade", "upgrade", "websocket"))
	require.Equal(t, decision.KindDeny, step.Kind)
	require.Equal(t, "mcp_unreadable", x.Decision().Reason.String())
}

// TestMessageWithoutToken: nobody's body is kept who shows no token, unless something is open.
func TestMessageWithoutToken(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools)
	_, step := h.start(post(""))
	require.Equal(t, decision.KindCall, step.Kind)
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)

	h = newHarness(t, guardTools, func(c *config.Config) {
		last := &c.Sites[0].Resources[len(c.Sites[0].Resources)-1]
		last.Conditions[1].Public, last.Conditions[1].Scopes = true, nil
	})
	d, _ := h.say(post(""), callOf("search"), "")
	require.Equal(t, "public", d.Reason.String())
	d, _ = h.say(post(""), callOf("delete_x"), "")
	require.Equal(t, "no_token", d.Reason.String())

	// What the condition of the path denies to all says nothing of a message that has its own.
	h = newHarness(t, guardTools, func(c *config.Config) {
		last := &c.Sites[0].Resources[len(c.Sites[0].Resources)-1]
		last.Conditions[0].Deny, last.Conditions[0].Scopes = true, nil
	})
	d, _ = h.say(post(""), callOf("delete_x"), "")
	require.Equal(t, "no_token", d.Reason.String())
}

func TestMessageModes(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools, func(c *config.Config) { c.Sites[0].Mode = config.ModeMonitor })
	for body, code := range map[string]string{callOf("search"): "permitted", callOf("delete_x"): "insufficient_permission", "[]": "mcp_unreadable", callOf("nobody"): "mcp_not_covered"} {
		d, step := h.say(post("token"), body, viewR1)
		require.Equal(t, code, d.Reason.String(), body)
		require.Equal(t, decision.KindAllow, step.Kind, body)
	}
}

// TestMessageReported: the log has what was asked, the metrics what the configuration names.
func TestMessageReported(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools)
	for _, body := range []string{
		callOf("get_a"), callOf("get_b"), callOf("search"), callOf("x1"), callOf("x2"), callOf("delete_x"), "[]",
		`{"jsonrpc":"2.0","method":"notifications/a"}`, `{"jsonrpc":"2.0","method":"notifications/b"}`, `{"jsonrpc":"2.0","method":"x/1"}`,
		`{"jsonrpc":"2.0","method":"logging/setLevel"}`, `{"jsonrpc":"2.0","id":1,"method":"ping"}`, `{"jsonrpc":"2.0","id":1,"result":1}`,
	} {
		h.say(post("token"), body, viewR1)
	}
	counted := map[decision.MessageStats]uint64{}
	h.worker.Drain(func(_ string, s *decision.SiteStats) {
		for k, n := range s.Messages {
			counted[k] += n
		}
	})
	allow, deny := decision.EffectAllow, decision.EffectDeny
	require.Equal(t, map[decision.MessageStats]uint64{
		{Method: "tools/call", Name: "get_*", Effect: allow}: 2, {Method: "tools/call", Name: "search", Effect: allow}: 1,
		{Method: "tools/call", Name: "other", Effect: deny}: 2, {Method: "tools/call", Name: "delete_*", Effect: deny}: 1,
		{Method: "other", Name: "-", Effect: deny}: 2, {Method: "notification", Name: "-", Effect: allow}: 2,
		{Method: "logging/*", Name: "-", Effect: allow}: 1, {Method: "ping", Name: "-", Effect: allow}: 1, {Method: "response", Name: "-", Effect: allow}: 1,
	}, counted)
	d, _ := h.say(post("token"), `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a?key=k"}}`, viewR1)
	require.Subset(t, report(t, d), map[string]any{"mcp_method": "resources/read", "mcp_name": "file:///a"})
}

// TestMessageOnce: a body is judged once, and none of a request that brings no message.
func TestMessageOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools)
	x, _ := h.start(post("token"))
	require.Equal(t, decision.KindDeny, h.worker.Read(x, []byte("[]"), false, h.now).Kind)
	require.Equal(t, decision.Step{}, h.worker.Read(x, []byte(callOf("search")), false, h.now))
	x, _ = h.start(ask("GET", "/albums/1", ""))
	require.Equal(t, decision.Step{}, h.worker.Read(x, []byte(callOf("search")), false, h.now))
}

// TestMessageAnswer: a denial is an answer to the request that it denies, so that a client goes on.
func TestMessageAnswer(t *testing.T) {
	t.Parallel()
	const call = `{"jsonrpc":"2.0",ID"method":"tools/call","params":{"name":"delete_x"}}`
	for id, answered := range map[string]bool{
		`"id":7,`: true, `"id":"a\u0022b",`: true, `"id":-1e2,`: true,
		"": false, `"id":null,`: false, `"id":{"a":1},`: false, `"id":[1],`: false, `"id":true,`: false, `"id":"` + strings.Repeat("x", 64) + `",`: false,
	} {
		h := newHarness(t, guardTools)
		d, step := h.say(post("token"), strings.Replace(call, "ID", id, 1), viewR1)
		require.Equal(t, "insufficient_permission", d.Reason.String(), id)
		require.Equal(t, 401, step.Deny.Status, id)
		if !answered {
			require.Equal(t, "application/problem+json", value(t, step.Deny.Headers, "content-type"), id)
			continue
		}
		require.Equal(t, "application/json", value(t, step.Deny.Headers, "content-type"), id)
		var body struct {
			JSONRPC string          `json:"jsonrpc"`
			ID      json.RawMessage `json:"id"`
			Error   struct {
				Code    int
				Message string
				Data    struct {
					Type, Title, Code, Detail string
					Status                    int
				}
			}
		}
		decodeStrictly(t, step.Deny.Body, &body)
		require.Equal(t, id, `"id":`+string(body.ID)+",")
		require.Equal(t, "2.0", body.JSONRPC)
		require.Equal(t, -32010, body.Error.Code)
		require.Equal(t, "insufficient_permission: "+body.Error.Data.Detail, body.Error.Message)
		require.Equal(t, "insufficient_permission", body.Error.Data.Code)
		require.Equal(t, 401, body.Error.Data.Status)
	}
}

// TestMessageWithheld: what the host does not let be judged is counted at its site.
func TestMessageWithheld(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools)
	x, step := h.start(post("token"))
	require.Equal(t, decision.KindRead, step.Kind)
	h.worker.Withheld(x, decision.WithheldShown)
	h.worker.Withheld(x, decision.WithheldLength)
	h.worker.Withheld(x, decision.WithheldLength)
	h.worker.Abandon(x)
	counted := map[string][decision.Withhelds]uint64{}
	h.worker.Drain(func(site string, s *decision.SiteStats) { counted[site] = s.Withheld })
	require.Equal(t, [decision.Withhelds]uint64{1, 2}, counted["photos"])
	require.Zero(t, counted["-"])
}

func TestMessageConfiguration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		add  config.Condition
		want string
	}{
		{"nothing", config.Condition{MCP: &config.MCP{}}, "at least one of tools"},
		{"twice", config.Condition{MCP: &config.MCP{Tools: []string{"search"}}}, "has it already"},
		{"a pattern twice", config.Condition{MCP: &config.MCP{Tools: []string{"get_*"}}}, "has it already"},
		{"methods", config.Condition{MCP: &config.MCP{Tools: []string{"x"}}, Methods: []string{"POST"}}, "covers no other method"},
		{"a target as method", config.Condition{MCP: &config.MCP{Methods: []string{"tools/call"}}}, "write tools"},
		{"braces", config.Condition{MCP: &config.MCP{Tools: []string{"get_{id}"}}}, "brace"},
		{"two stars", config.Condition{MCP: &config.MCP{Resources: []string{"file:///**"}}}, "**"},
		{"empty", config.Condition{MCP: &config.MCP{Prompts: []string{""}}}, "is empty"},
		{"no URI", config.Condition{MCP: &config.MCP{Resources: []string{"FILE:///a/*"}}}, "canonical"},
		{"a space", config.Condition{MCP: &config.MCP{Tools: []string{"a "}}}, "space"},
	} {
		c := photos()
		guardTools(c)
		tt.add.Paths, tt.add.Scopes = []string{"/mcp"}, []string{"view"}
		last := &c.Sites[0].Resources[len(c.Sites[0].Resources)-1]
		last.Conditions = append(last.Conditions, tt.add)
		_, err := decision.Compile(c)
		require.ErrorContains(t, err, tt.want, tt.name)
	}
}

// TestExplainMessages: who explains without a message gets a denial, never a pass.
func TestExplainMessages(t *testing.T) {
	t.Parallel()
	c := photos()
	guardTools(c)
	policy, err := decision.Compile(c)
	require.NoError(t, err)
	e := decision.Explain(policy, post("token"), &uma.Token{Active: true}, began)
	require.Equal(t, "mcp_unreadable", e.Decision.Reason.String())
	require.Equal(t, decision.KindDeny, e.Step.Kind)
}
