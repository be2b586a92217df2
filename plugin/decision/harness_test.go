package decision_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// began is when every test begins: a whole second.
var began = time.Unix(1_800_000_000, 0)

const (
	viewR1  = `{"active":true,"sub":"bob","client_id":"app","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`
	editR1  = `{"active":true,"sub":"bob","client_id":"app","permissions":[{"resource_id":"r1","resource_scopes":["view","edit"]}]}`
	unknown = `{"active":false}`
)

// photos is a configuration with a condition of every kind.
func photos() *config.Config {
	return &config.Config{
		Version: config.Version,
		Sites: []config.Site{{
			Name:  "photos",
			Hosts: []string{"photos.example.com"},
			AuthorizationServer: config.AuthorizationServer{
				URI:           "https://as.example.com",
				Introspection: config.Introspection{Endpoint: config.Endpoint{Cluster: "introspect", Authority: "as.example.com", Path: "/introspect"}},
				Permission:    &config.Endpoint{Cluster: "protect", Authority: "as.example.com", Path: "/permission"},
			},
			Resources: []config.Resource{
				{Name: "albums", ID: "r1", Conditions: []config.Condition{
					{Paths: []string{"/albums/{id}", "/albums/{id}/**"}, Methods: []string{"GET"}, Scopes: []string{"view", "all"}},
					{Paths: []string{"/albums/{id}"}, Methods: []string{"PUT", "DELETE"}, ScopeExpression: &config.ScopeExpression{
						Rule: json.RawMessage(`{"and":[{"var":0},{"var":1}]}`), Data: []string{"view", "edit"},
					}},
				}},
				{Name: "reports", ID: "r2", Conditions: []config.Condition{
					{Paths: []string{"/reports/**"}, Scopes: []string{"read"}, Ticket: []config.Permission{
						{ResourceID: "r2", ResourceScopes: []string{"read"}}, {ResourceID: "r1", ResourceScopes: []string{"view", "all"}},
					}},
				}},
				{Name: "guests", ID: "r3", Conditions: []config.Condition{
					{Paths: []string{"/guests"}, ScopeExpression: &config.ScopeExpression{Rule: json.RawMessage(`{"!":{"var":0}}`), Data: []string{"member"}}},
				}},
				{Name: "drafts", Conditions: []config.Condition{{Paths: []string{"/drafts"}, Scopes: []string{"view"}}}},
				{Name: "health", Conditions: []config.Condition{{Paths: []string{"/healthz", "/open/**"}, Public: true}}},
				{Name: "watched", ID: "r5", Conditions: []config.Condition{{Paths: []string{"/watched/**"}, Scopes: []string{"view"}, Mode: config.ModeMonitor}}},
				{Name: "loose", ID: "r6", Conditions: []config.Condition{{Paths: []string{"/loose/**"}, Scopes: []string{"view"}, Mode: config.ModeOff}}},
			},
		}},
	}
}

// harness drives the core as a host does.
type harness struct {
	t         *testing.T
	worker    *decision.Worker
	evaluator *decision.Evaluator
	now       time.Time
	asked     int // calls that were to be sent
}

func newHarness(t *testing.T, change ...func(*config.Config)) *harness {
	t.Helper()
	h := &harness{t: t, worker: decision.NewWorker(), now: began}
	h.configure(change...)
	return h
}

// configure is a push of another configuration.
func (h *harness) configure(change ...func(*config.Config)) {
	h.t.Helper()
	c := photos()
	for _, f := range change {
		f(c)
	}
	policy, err := decision.Compile(c)
	require.NoError(h.t, err)
	h.evaluator = h.worker.Evaluator(policy)
}

func (h *harness) after(d time.Duration) { h.now = h.now.Add(d) }

// start begins a request and leaves it where it is.
func (h *harness) start(r *decision.Request) (*decision.Exchange, decision.Step) {
	x, step := h.evaluator.Start(r, h.now)
	if step.Kind == decision.KindCall && !step.Call.Shared {
		h.asked++
	}
	return x, step
}

// reply answers a call and returns the one step that follows.
func (h *harness) reply(step decision.Step, status int, body string) decision.Step {
	h.t.Helper()
	outcomes := h.worker.Reply(step.Call.ID, decision.Response{Status: status, Body: []byte(body)}, h.now)
	require.Len(h.t, outcomes, 1)
	if next := outcomes[0].Step; next.Kind == decision.KindCall && !next.Call.Shared {
		h.asked++
	}
	return outcomes[0].Step
}

// decide drives a request to its end: introspection is answered with answer, a
// permission request with the ticket "t1".
func (h *harness) decide(r *decision.Request, answer string) (*decision.Exchange, decision.Step) {
	h.t.Helper()
	x, step := h.start(r)
	for range 3 {
		if step.Kind != decision.KindCall {
			return x, step
		}
		if step.Call.Purpose == decision.PurposeIntrospect {
			step = h.reply(step, 200, answer)
		} else {
			step = h.reply(step, 201, `{"ticket":"t1"}`)
		}
	}
	require.Fail(h.t, "the exchange does not end")
	return x, step
}

// ask makes a request of the site photos; extra are further headers.
func ask(method, path, token string, extra ...string) *decision.Request {
	r := &decision.Request{Headers: []decision.Header{
		{Name: ":authority", Value: "photos.example.com"}, {Name: ":path", Value: path}, {Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
	}}
	if token != "" {
		r.Headers = append(r.Headers, decision.Header{Name: "authorization", Value: "Bearer " + token})
	}
	for i := 0; i < len(extra); i += 2 {
		r.Headers = append(r.Headers, decision.Header{Name: extra[i], Value: extra[i+1]})
	}
	return r
}

// value returns a header's value, "" when it is not there, and fails when it is
// there twice.
func value(t *testing.T, headers []decision.Header, name string) string {
	t.Helper()
	found, n := "", 0
	for _, h := range headers {
		if h.Name == name {
			found = h.Value
			n++
		}
	}
	require.LessOrEqual(t, n, 1, name)
	return found
}

// outcome says in one line what became of a request.
func outcome(x *decision.Exchange, step decision.Step) string {
	d := x.Decision()
	switch step.Kind {
	case decision.KindAllow:
		return strings.TrimSpace(d.Effect.String() + " " + d.Reason.String() + " " + step.Allow.Path)
	case decision.KindDeny:
		return fmt.Sprintf("%d %s", step.Deny.Status, d.Reason)
	case decision.KindCall, decision.KindFetch:
		return "call " + step.Call.Purpose.String()
	case decision.KindRead:
		return "read"
	}
	return "?"
}

func siteOf(change func(*config.Site)) func(*config.Config) {
	return func(c *config.Config) { change(&c.Sites[0]) }
}
