package decision_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

func permittedLists(c *config.Config) { c.Sites[0].MCPLists = config.ListsPermitted }

// listOf asks for a list.
func listOf(what string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + what + `/list"}`
}

// toolsNamed is a server's answer.
func toolsNamed(names ...string) string {
	for i, name := range names {
		names[i] = fmt.Sprintf(`{"name":%q}`, name)
	}
	return `{"jsonrpc":"2.0","id":1,"result":{"tools":[` + strings.Join(names, ",") + `]}}`
}

// lists is an answer of an MCP server.
func lists(body string, headers ...string) decision.Response {
	r := answer(200, body)
	if len(headers) == 0 {
		headers = []string{"content-type", "application/json"}
	}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, decision.Header{Name: headers[i], Value: headers[i+1]})
	}
	return r
}

// everyTool are tools of each condition of guardTools, and one that none has.
var everyTool = []string{"search", "get_x", "delete_x", "drop_all", "delete_all", "wipe", "delete_none", "format"}

// shownOf is the names that a client reads.
func shownOf(t *testing.T, step decision.Step, member, key string) []string {
	t.Helper()
	require.Equal(t, decision.KindDeny, step.Kind)
	require.Equal(t, 200, step.Deny.Status)
	require.Equal(t, "no-store", value(t, step.Deny.Headers, "cache-control"))
	var answer struct {
		Result map[string][]map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(step.Deny.Body), &answer), step.Deny.Body)
	names := []string{}
	for _, item := range answer.Result[member] {
		names = append(names, item[key])
	}
	return names
}

// TestLists: a list shows what the conditions permit of each of its items.
func TestLists(t *testing.T) {
	t.Parallel()
	allR1 := strings.Replace(editR1, `"edit"`, `"edit","all"`, 1)
	for _, tt := range []struct {
		name, introspected string
		want               []string
	}{
		{"view", viewR1, []string{"search", "get_x"}},
		{"edit", editR1, []string{"search", "get_x", "delete_x"}},
		{"all", allR1, []string{"search", "get_x", "delete_x", "drop_all"}},
	} {
		h := newHarness(t, guardTools, permittedLists)
		x, _ := h.start(post("token"))
		step := h.reply(h.worker.Read(x, []byte(listOf("tools")), false, h.now), 200, tt.introspected)
		require.Equal(t, decision.KindFetch, step.Kind, tt.name)
		require.Equal(t, decision.PurposeList, step.Call.Purpose)
		require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
		outcomes := h.worker.Reply(step.Call.ID, lists(toolsNamed(append([]string(nil), everyTool...)...)), h.now)
		require.Len(t, outcomes, 1)
		require.Equal(t, tt.want, shownOf(t, outcomes[0].Step, "tools", "name"), tt.name)
		d := x.Decision()
		require.Equal(t, "permitted", d.Reason.String())
		require.Equal(t, decision.EffectAllow, d.Effect)
		for _, name := range everyTool { // and calls are decided in the same way
			d, _ := h.say(post("token"), callOf(name), tt.introspected)
			require.Equal(t, slices.Contains(tt.want, name), d.Reason.Allows(), name)
		}
	}
}

// TestListsOfOthers: resources by their URI, templates by what they cover, prompts by name.
func TestListsOfOthers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		what, member, key string
		items, want       []string
	}{
		{"resources", "resources", "uri", []string{"file:///a", "file:///drafts/a", "file:///x/../drafts/a", "http://a/b"}, []string{"file:///a"}},
		{
			"resources/templates", "resourceTemplates", "uriTemplate",
			[]string{"file:///{name}", "file:///drafts/{name}", "file:///drafts/{name}/{?x}", "http://{name}", "file:///{a}/drafts/{b}"},
			[]string{"file:///{name}", "file:///{a}/drafts/{b}"},
		},
		{"prompts", "prompts", "name", []string{"p"}, []string{}},
	} {
		h := newHarness(t, guardTools, permittedLists)
		x, _ := h.start(post("token"))
		step := h.reply(h.worker.Read(x, []byte(listOf(tt.what)), false, h.now), 200, viewR1)
		items, err := json.Marshal(tt.items)
		require.NoError(t, err)
		text := strings.NewReplacer(`["`, `[{"`+tt.key+`":"`, `","`, `"},{"`+tt.key+`":"`, `"]`, `"}]`).Replace(string(items))
		body := `{"jsonrpc":"2.0","id":1,"result":{"` + tt.member + `":` + text + `}}`
		outcomes := h.worker.Reply(step.Call.ID, lists(body), h.now)
		require.Equal(t, tt.want, shownOf(t, outcomes[0].Step, tt.member, tt.key), tt.what)
	}
}

// TestListAnswers: what a server answers goes on without its list, or not at all.
func TestListAnswers(t *testing.T) {
	t.Parallel()
	all := toolsNamed("search", "delete_x")
	const failure = `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no such cursor"}}`
	for _, tt := range []struct {
		name   string
		answer decision.Response
		status int
		body   string // a part of it; "" for none at all
		reason string
	}{
		{"a list", lists(all), 200, `"search"`, "permitted"},
		{"by events", lists("data: "+all+"\n\n", "content-type", "text/event-stream"), 200, `"search"`, "permitted"},
		{"an error", lists(failure), 200, "no such cursor", "permitted"},
		{"an error with a status", decision.Response{Status: 400, Headers: lists("").Headers, Body: []byte(failure)}, 400, "no such cursor", "permitted"},
		{"a list with a status", decision.Response{Status: 404, Headers: lists("").Headers, Body: []byte(all)}, 404, "", "permitted"},
		{"a page with a status", decision.Response{Status: 503, Body: []byte("upstream connect error")}, 503, "", "permitted"},
		{"accepted", decision.Response{Status: 202}, 202, "", "permitted"},
		{"no answer", decision.Response{}, 503, "-32010", "mcp_server_unreachable"},
		{"too long", decision.Response{Status: 200, TooLarge: true}, 502, "-32010", "mcp_list_unreadable"},
		{"compressed", lists(all, "content-type", "application/json", "content-encoding", "gzip"), 502, "-32010", "mcp_list_unreadable"},
		{"identity", lists(all, "content-type", "application/json", "content-encoding", "identity"), 200, `"search"`, "permitted"},
		{"two types", lists(all, "content-type", "application/json", "content-type", "text/event-stream"), 502, "-32010", "mcp_list_unreadable"},
		{"no type", decision.Response{Status: 200, Body: []byte(all)}, 502, "-32010", "mcp_list_unreadable"},
		{"a batch", lists("[" + all + "]"), 502, "-32010", "mcp_list_unreadable"},
		{"a part", decision.Response{Status: 206, Headers: lists("").Headers, Body: []byte(all)}, 206, "", "permitted"},
	} {
		h := newHarness(t, guardTools, permittedLists)
		h.decide(ask("GET", "/albums/1", "token"), viewR1)
		x, _ := h.start(post("token"))
		step := h.worker.Read(x, []byte(listOf("tools")), false, h.now)
		require.Equal(t, decision.KindFetch, step.Kind, tt.name)
		outcomes := h.worker.Reply(step.Call.ID, tt.answer, h.now)
		require.Len(t, outcomes, 1, tt.name)
		d := outcomes[0].Step.Deny
		require.Equal(t, tt.status, d.Status, tt.name)
		require.NotContains(t, d.Body, "delete_x", tt.name)
		if tt.body == "" {
			require.Empty(t, d.Body, tt.name)
			require.Empty(t, value(t, d.Headers, "content-type"), tt.name)
		}
		require.Contains(t, d.Body, tt.body, tt.name)
		require.Equal(t, tt.reason, x.Decision().Reason.String(), tt.name)
	}
}

// TestListHeaders: what tells of the answer as it was does not go on, and what the answer is
// asked for is one that can be read.
func TestListHeaders(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools, permittedLists, siteOf(func(s *config.Site) { s.CORS = &config.CORS{AllowOrigins: []string{"https://app.example"}} }))
	h.decide(ask("GET", "/albums/1", "token"), viewR1)
	r := post("token")
	r.Headers = append(r.Headers, decision.Header{Name: "origin", Value: "https://app.example"})
	x, _ := h.start(r)
	step := h.worker.Read(x, []byte(listOf("tools")), false, h.now)
	sent := step.Call.FetchHeaders([]decision.Header{{":path", "/mcp"}, {"accept-encoding", "gzip"}, {"content-length", "9"}, {"range", "bytes=1-"}, {"mcp-session-id", "s"}, {"x-envoy-max-retries", "9"}})
	require.Equal(t, []decision.Header{{":path", "/mcp"}, {"mcp-session-id", "s"}}, sent)
	outcomes := h.worker.Reply(step.Call.ID, lists(toolsNamed("search"), ":status", "200", "content-type", "application/json", "etag", `"x"`, "content-length", "999",
		"cache-control", "public, max-age=60", "mcp-session-id", "s", "content-digest", "sha-256=:x:"), h.now)
	require.Equal(t, []decision.Header{
		{"cache-control", "no-store"},
		{"content-type", "application/json"},
		{"mcp-session-id", "s"},
		{"vary", "origin"},
		{"access-control-allow-origin", "https://app.example"},
		{"access-control-expose-headers", "www-authenticate, retry-after, warning"},
	}, outcomes[0].Step.Deny.Headers)
}

// TestListsAsTheyAre: where the site does not say so, or nothing is enforced, a list passes.
func TestListsAsTheyAre(t *testing.T) {
	t.Parallel()
	monitor := siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor })
	for name, change := range map[string][]func(*config.Config){
		"all": {guardTools}, "monitored": {guardTools, permittedLists, monitor}, "off": {guardTools, permittedLists, siteOf(func(s *config.Site) { s.Mode = config.ModeOff })},
	} {
		h := newHarness(t, change...)
		_, step := h.say(post("token"), listOf("tools"), viewR1)
		require.Equal(t, decision.KindAllow, step.Kind, name)
	}
}

// TestListInMonitor: what is enforced is hidden also where the list itself is only watched,
// and a token that is no good shows nothing.
func TestListInMonitor(t *testing.T) {
	t.Parallel()
	watched := func(c *config.Config) {
		for i := range c.Sites[0].Resources {
			for j := range c.Sites[0].Resources[i].Conditions {
				if cond := &c.Sites[0].Resources[i].Conditions[j]; cond.MCP != nil && len(cond.MCP.Methods) > 0 {
					cond.Mode = config.ModeMonitor
				}
			}
		}
	}
	for introspected, want := range map[string][]string{
		viewR1:  {"search", "get_x"}, // of a condition that is watched, too
		unknown: {"search", "get_x"},
		editR1:  {"search", "get_x", "delete_x"},
	} {
		h := newHarness(t, guardTools, permittedLists, watched)
		_, step := h.say(post("token"), listOf("tools"), introspected)
		require.Equal(t, decision.KindFetch, step.Kind)
		outcomes := h.worker.Reply(step.Call.ID, lists(toolsNamed(append([]string(nil), everyTool...)...)), h.now)
		require.Equal(t, want, shownOf(t, outcomes[0].Step, "tools", "name"))
	}
	h := newHarness(t, guardTools, permittedLists, watched, revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	_, step := h.say(post("token"), listOf("tools"), editR1)
	outcomes := h.worker.Reply(step.Call.ID, lists(toolsNamed(append([]string(nil), everyTool...)...)), h.now)
	require.Equal(t, []string{"search", "get_x"}, shownOf(t, outcomes[0].Step, "tools", "name"))
}

// TestNoReplay: a stream is not resumed, as the server would send what was taken out.
func TestNoReplay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change []func(*config.Config)
		want   []string
	}{
		{"permitted", []func(*config.Config){guardTools, permittedLists}, []string{"last-event-id", "last_event_id"}},
		{"all", []func(*config.Config){guardTools}, nil},
	} {
		h := newHarness(t, tt.change...)
		h.decide(ask("GET", "/albums/1", "token"), viewR1)
		_, step := h.start(ask("GET", "/mcp", "token", "last-event-id", "7", "last_event_id", "7"))
		require.Equal(t, decision.KindAllow, step.Kind, tt.name)
		require.Equal(t, tt.want, step.Allow.Remove, tt.name)
	}
}

// TestListHangsUp: who has gone gets nothing, and holds nothing.
func TestListHangsUp(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools, permittedLists)
	h.decide(ask("GET", "/albums/1", "token"), viewR1)
	x, _ := h.start(post("token"))
	step := h.worker.Read(x, []byte(listOf("tools")), false, h.now)
	waiting, _ := h.worker.Waiting()
	require.Equal(t, 1, waiting)
	h.worker.Abandon(x)
	require.Empty(t, h.worker.Reply(step.Call.ID, lists(toolsNamed("search")), h.now))
	waiting, bytes := h.worker.Waiting()
	require.Zero(t, waiting)
	require.Zero(t, bytes)
}

// surveyed begins a request for the tools at an AS that evaluates tokens, and returns its next
// step once the AS has said that the token may view.
func (h *harness) surveyed() (*decision.Exchange, decision.Step) {
	h.t.Helper()
	x, _ := h.start(post("token"))
	step := h.worker.Read(x, []byte(listOf("tools")), false, h.now)
	if step.Kind == decision.KindCall && !strings.Contains(string(step.Call.Body), "edit") {
		step = h.reply(step, 200, granted)
	}
	return x, step
}

// TestListsEvaluated: the AS is asked once for all that a list could show, and no owner is.
func TestListsEvaluated(t *testing.T) {
	t.Parallel()
	asks := siteOf(func(s *config.Site) { s.AuthorizationServer.Evaluation.AskOwner = true })
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   []string
	}{
		{"all of it", 200, `[{"rsid":"r1","scopes":["edit","all"]}]`, []string{"search", "get_x", "delete_x", "drop_all"}},
		{"a part", 200, `[{"rsid":"r1","scopes":["edit"]}]`, []string{"search", "get_x", "delete_x"}},
		{"nothing", 403, notAuthorized, []string{"search", "get_x"}},
		{"what was not asked for", 200, `[{"rsid":"r2","scopes":["edit"]}]`, []string{"search", "get_x"}},
		{"a resource that it does not know", 400, noResource, []string{"search", "get_x"}},
	} {
		h := newHarness(t, guardTools, permittedLists, evaluating, asks)
		_, step := h.surveyed()
		require.Equal(t, decision.KindCall, step.Kind, tt.name)
		form, err := url.ParseQuery(string(step.Call.Body))
		require.NoError(t, err)
		require.Equal(t, []string{"r1#edit,all"}, form["permission"], tt.name)
		step = h.reply(step, tt.status, tt.body)
		if step.Kind == decision.KindCall { // what is known has gone with the resource
			step = h.reply(step, 200, granted)
		}
		require.Equal(t, decision.KindFetch, step.Kind, tt.name)
		outcomes := h.worker.Reply(step.Call.ID, lists(toolsNamed(append([]string(nil), everyTool...)...)), h.now)
		require.Equal(t, tt.want, shownOf(t, outcomes[0].Step, "tools", "name"), tt.name)

		h.after(time.Second / 2) // not again, so soon
		_, step = h.surveyed()
		require.Equal(t, decision.KindFetch, step.Kind, tt.name)
		outcomes = h.worker.Reply(step.Call.ID, lists(toolsNamed(append([]string(nil), everyTool...)...)), h.now)
		require.Equal(t, tt.want, shownOf(t, outcomes[0].Step, "tools", "name"), tt.name)
	}
}

// TestListsForgotten: the AS is asked again where what it has granted is not known any more,
// however young the answer is.
func TestListsForgotten(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools, permittedLists, evaluating, siteOf(func(s *config.Site) { s.Token.MaxTTLMS, s.Token.NegativeTTLMS = 1000, 10_000 }))
	for range 3 {
		_, step := h.surveyed()
		require.Equal(t, decision.KindCall, step.Kind)
		step = h.reply(step, 200, `[{"rsid":"r1","scopes":["edit"]}]`)
		require.Equal(t, decision.KindFetch, step.Kind)
		h.after(time.Second)
	}
}

// TestListsUnanswered: without the AS there is no list that could be taken for the whole.
func TestListsUnanswered(t *testing.T) {
	t.Parallel()
	h := newHarness(t, guardTools, permittedLists, evaluating)
	x, step := h.surveyed()
	step = h.reply(step, 0, "")
	require.Equal(t, 503, step.Deny.Status)
	require.Equal(t, "as_unreachable", x.Decision().Reason.String())
}
