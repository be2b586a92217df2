package decision_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

const bobViews = `{"active":true,"sub":"bob","client_id":"app","permissions":[{"resource_id":"id-7","resource_scopes":["view"]}]}`

// owned adds a resource with instances, and a collection in which they are made.
func owned(change ...func(*config.Site)) func(*config.Config) {
	return siteOf(func(s *config.Site) {
		s.Instances = &config.Instances{Endpoint: config.Endpoint{Cluster: "control", Scheme: "http", Authority: "umagate", Path: "/v1/instances"}}
		s.Resources = append(
			s.Resources,
			config.Resource{Name: "box-{id}", Instances: true, RegisterOnCreate: true, RemoveOnDelete: true, Conditions: []config.Condition{
				{Paths: []string{"/boxes/{id}", "/boxes/{id}/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}},
				{Paths: []string{"/boxes/{id}", "/boxes/{id}/**"}, Methods: []string{"DELETE"}, Scopes: []string{"view"}},
				{Paths: []string{"/boxes/{id}/share"}, Scopes: []string{"share"}, Ticket: []config.Permission{
					{ResourceScopes: []string{"view", "share"}}, {ResourceID: "r1", ResourceScopes: []string{"view"}},
				}},
			}},
			config.Resource{Name: "boxes", ID: "c1", Conditions: []config.Condition{{Paths: []string{"/boxes"}, Methods: []string{"POST"}, Scopes: []string{"create"}}}},
			config.Resource{Name: "tag-{b}/{a}", Instances: true, Conditions: []config.Condition{
				{Paths: []string{"/users/{a}/tags/{b}"}, Scopes: []string{"view"}},
			}},
		)
		for _, f := range change {
			f(s)
		}
	})
}

// looked says what a lookup asked for.
func looked(t *testing.T, step decision.Step) string {
	t.Helper()
	require.Equal(t, decision.KindCall, step.Kind)
	require.Equal(t, decision.PurposeLookup, step.Call.Purpose)
	require.Equal(t, "control", step.Call.Cluster)
	require.Equal(t, "/v1/instances/lookup", value(t, step.Call.Headers, ":path"))
	require.False(t, step.Call.Shared)
	return string(step.Call.Body)
}

func TestInstanceIsLookedUp(t *testing.T) {
	h := newHarness(t, owned())
	_, step := h.start(ask("GET", "/boxes/7", ""))
	require.JSONEq(t, `{"site":"photos","resource":"box-{id}","values":["7"]}`, looked(t, step))
	step = h.reply(step, 200, `{"resource_id":"id-7"}`)
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
	require.JSONEq(t, `[{"resource_id":"id-7","resource_scopes":["view"]}]`, string(step.Call.Body), "the ticket is for the instance")
	require.Equal(t, 401, h.reply(step, 201, `{"ticket":"t"}`).Deny.Status)

	x, step := h.decide(ask("GET", "/boxes/7/photos/1", "bobs"), bobViews)
	require.Equal(t, "allow permitted", outcome(x, step), "known by now, whatever path of it")
	require.Equal(t, "id-7", value(t, step.Allow.Set, "x-uma-resource-id"))
	require.Equal(t, "box-{id}", x.Decision().Resource)

	// Another one is another registration: bob's permission is of no use there.
	_, step = h.start(ask("GET", "/boxes/8", "bobs"))
	require.JSONEq(t, `{"site":"photos","resource":"box-{id}","values":["8"]}`, looked(t, step))
	step = h.reply(step, 200, `{"resource_id":"id-8"}`)
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
	require.JSONEq(t, `[{"resource_id":"id-8","resource_scopes":["view"]}]`, string(step.Call.Body))

	// Its own permission comes first in a ticket for several.
	_, step = h.start(ask("POST", "/boxes/7/share", ""))
	require.JSONEq(t, `[{"resource_id":"id-7","resource_scopes":["view","share"]},{"resource_id":"r1","resource_scopes":["view"]}]`, string(step.Call.Body))
}

// TestInstanceSpellings: two spellings of a path never have two registrations.
func TestInstanceSpellings(t *testing.T) {
	insensitive := func(s *config.Site) { s.Case = config.CaseInsensitive }
	normalize := func(s *config.Site) { s.AmbiguousPaths = config.PathsNormalize }
	tests := []struct {
		name, path string
		change     func(*config.Site)
		values     string // "" when it is refused
		code       string
	}{
		{name: "plain", path: "/boxes/Ab-1._~", values: `["Ab-1._~"]`},
		{name: "slash at the end", path: "/boxes/7/", values: `["7"]`},
		{name: "query", path: "/boxes/7?x=/boxes/8", values: `["7"]`},
		{name: "encoded letter", path: "/boxes/%61", code: "ambiguous_path"},
		{name: "encoded letter, normalised", path: "/boxes/%61", change: normalize, values: `["a"]`},
		{name: "dots, normalised", path: "/boxes/8/../7", change: normalize, values: `["7"]`},
		{name: "encoded slash, normalised, is two segments", path: "/boxes/7%2F8", change: normalize, values: `["7"]`},
		{name: "hex digits of either case", path: "/boxes/caf%c3%a9", values: `["café"]`},
		{name: "hex digits of the other case", path: "/boxes/caf%C3%A9", values: `["café"]`},
		{name: "letters count", path: "/boxes/ABC", values: `["ABC"]`},
		{name: "letters do not count", path: "/BOXES/ABC", change: insensitive, values: `["abc"]`},
		{name: "several, in the order of the name", path: "/users/alice/tags/red", values: `["red","alice"]`},
		{name: "long", path: "/boxes/" + strings.Repeat("a", 128), values: `["` + strings.Repeat("a", 128) + `"]`},
		{name: "too long", path: "/boxes/" + strings.Repeat("a", 129), code: "resource_unknown"},
		{name: "looks like another name", path: "/boxes/7%25-{id}", values: `["7%-{id}"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(func(s *config.Site) {
				if tt.change != nil {
					tt.change(s)
				}
			}))
			x, step := h.start(ask("GET", tt.path, ""))
			if tt.values == "" {
				require.Equal(t, tt.code, x.Decision().Reason.String())
				require.Equal(t, decision.KindDeny, step.Kind)
				return
			}
			require.Contains(t, looked(t, step), `"values":`+tt.values)
		})
	}
}

func TestInstanceAnswers(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		want       string
	}{
		{"found", `{"resource_id":"id-7"}`, 200, "call permission"},
		{"not found", `{"code":"x"}`, 404, "403 resource_unknown"},
		{"limited", ``, 429, "429 too_many_lookups"},
		{"no answer", ``, 0, "503 control_plane_unreachable"},
		{"a gateway's", ``, 503, "503 control_plane_unreachable"},
		{"credential refused", ``, 401, "503 lookup_failed"},
		{"error", ``, 500, "503 lookup_failed"},
		{"no id", `{}`, 200, "503 lookup_failed"},
		{"empty id", `{"resource_id":""}`, 200, "503 lookup_failed"},
		{"id of another type", `{"resource_id":7}`, 200, "503 lookup_failed"},
		{"id twice", `{"resource_id":"a","resource_id":"b"}`, 200, "call permission"},
		{"id too long", `{"resource_id":"` + strings.Repeat("a", 513) + `"}`, 200, "503 lookup_failed"},
		{"HTML", `<html>`, 200, "503 lookup_failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned())
			x, step := h.start(ask("GET", "/boxes/7", ""))
			step = h.reply(step, tt.status, tt.body)
			require.Equal(t, tt.want, outcome(x, step))
			require.NotEqual(t, decision.KindAllow, step.Kind)
		})
	}
}

func TestInstanceIsRemembered(t *testing.T) {
	find := func(h *harness, path string) string {
		x, step := h.start(ask("GET", path, ""))
		if step.Kind == decision.KindCall && step.Call.Purpose == decision.PurposeTicket {
			return "known"
		}
		return outcome(x, step)
	}
	answer := func(h *harness, path string, status int, body string) {
		_, step := h.start(ask("GET", path, ""))
		looked(h.t, step)
		h.reply(step, status, body)
	}
	t.Run("found, for a minute", func(t *testing.T) {
		h := newHarness(t, owned())
		answer(h, "/boxes/7", 200, `{"resource_id":"id-7"}`)
		h.after(59 * time.Second)
		require.Equal(t, "known", find(h, "/boxes/7"))
		h.after(time.Second)
		require.Equal(t, "call instance_lookup", find(h, "/boxes/7"))
	})
	t.Run("not found, for two seconds", func(t *testing.T) {
		h := newHarness(t, owned())
		answer(h, "/boxes/7", 404, "")
		h.after(1900 * time.Millisecond)
		require.Equal(t, "403 resource_unknown", find(h, "/boxes/7"))
		h.after(100 * time.Millisecond)
		require.Equal(t, "call instance_lookup", find(h, "/boxes/7"))
	})
	t.Run("over a push", func(t *testing.T) {
		h := newHarness(t, owned())
		answer(h, "/boxes/7", 200, `{"resource_id":"id-7"}`)
		h.configure(owned())
		require.Equal(t, "known", find(h, "/boxes/7"))
		h.configure(owned(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/other" }))
		require.Equal(t, "call instance_lookup", find(h, "/boxes/7"), "at another AS it has another id")
	})
	t.Run("bounded, the absent apart", func(t *testing.T) {
		h := newHarness(t, owned(func(s *config.Site) { s.Instances.Entries, s.Instances.NegativeEntries = 2, 2 }))
		answer(h, "/boxes/7", 200, `{"resource_id":"id-7"}`)
		for i := range 20 {
			answer(h, fmt.Sprintf("/boxes/no-%d", i), 404, "")
		}
		require.Equal(t, "known", find(h, "/boxes/7"), "a flood of unknown ones pushes no known one out")
		require.Equal(t, "403 resource_unknown", find(h, "/boxes/no-19"))
		require.Equal(t, "call instance_lookup", find(h, "/boxes/no-17"))
		answer(h, "/boxes/8", 200, `{"resource_id":"id-8"}`)
		require.Equal(t, "known", find(h, "/boxes/7"))
		answer(h, "/boxes/9", 200, `{"resource_id":"id-9"}`)
		require.Equal(t, "call instance_lookup", find(h, "/boxes/8"), "the one not used longest goes")
		require.Equal(t, "known", find(h, "/boxes/7"))
	})
	t.Run("by who asks at the same time", func(t *testing.T) {
		h := newHarness(t, owned())
		_, first := h.start(ask("GET", "/boxes/7", ""))
		_, second := h.start(ask("GET", "/boxes/7/photos", "bobs"))
		require.True(t, second.Call.Shared)
		require.Equal(t, first.Call.ID, second.Call.ID)
		outcomes := h.worker.Reply(first.Call.ID, decision.Response{Status: 200, Body: []byte(`{"resource_id":"id-7"}`)}, h.now)
		require.Len(t, outcomes, 2)
		require.Equal(t, decision.PurposeTicket, outcomes[0].Step.Call.Purpose)
		require.Equal(t, decision.PurposeIntrospect, outcomes[1].Step.Call.Purpose)
	})
	t.Run("control plane down: what was found goes on, what was not is denied", func(t *testing.T) {
		h := newHarness(t, owned())
		answer(h, "/boxes/7", 200, `{"resource_id":"id-7"}`)
		answer(h, "/boxes/8", 404, "")
		h.after(time.Hour)
		_, step := h.start(ask("GET", "/boxes/7", ""))
		looked(t, step)
		step = h.reply(step, 0, "")
		require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
		require.Equal(t, "known", find(h, "/boxes/7"), "not asked again for some seconds")
		x, step := h.start(ask("GET", "/boxes/8", ""))
		require.Equal(t, "503 control_plane_unreachable", outcome(x, h.reply(step, 0, "")))
		h.after(24 * time.Hour)
		x, step = h.start(ask("GET", "/boxes/7", ""))
		require.Equal(t, "503 control_plane_unreachable", outcome(x, h.reply(step, 0, "")), "not for ever")
	})
	t.Run("what is gone is not used", func(t *testing.T) {
		h := newHarness(t, owned())
		answer(h, "/boxes/7", 200, `{"resource_id":"id-7"}`)
		h.after(time.Minute)
		answer(h, "/boxes/7", 404, "")
		h.after(time.Minute)
		x, step := h.start(ask("GET", "/boxes/7", ""))
		require.Equal(t, "503 control_plane_unreachable", outcome(x, h.reply(step, 0, "")))
	})
}

func TestInstanceLookupsAreLimited(t *testing.T) {
	h := newHarness(t, owned(func(s *config.Site) {
		s.Instances.LookupsInFlight, s.Instances.LookupsPerSecond, s.Instances.LookupBurst = 2, 3, 3
	}))
	lookup := func(path string) (*decision.Exchange, decision.Step) { return h.start(ask("GET", path, "")) }
	_, first := lookup("/boxes/1")
	_, second := lookup("/boxes/2")
	x, step := lookup("/boxes/3")
	require.Equal(t, "429 too_many_lookups", outcome(x, step), "two in flight")
	require.Equal(t, "1", value(t, step.Deny.Headers, "retry-after"))
	h.reply(first, 200, `{"resource_id":"id-1"}`)
	h.reply(second, 404, "")
	_, third := lookup("/boxes/3")
	h.reply(third, 404, "")
	x, step = lookup("/boxes/4")
	require.Equal(t, "429 too_many_lookups", outcome(x, step), "three in a second")
	_, step = lookup("/boxes/1")
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose, "who is known is not held up")
	h.after(time.Second)
	_, step = lookup("/boxes/4")
	looked(t, step)
}

func TestInstanceInOtherModes(t *testing.T) {
	monitor := owned(func(s *config.Site) { s.Mode = config.ModeMonitor })
	h := newHarness(t, monitor)
	x, step := h.start(ask("GET", "/boxes/7", ""))
	require.Equal(t, "monitor no_token", outcome(x, step), "nothing is asked for")
	x, step = h.start(ask("GET", "/boxes/7", "bobs"))
	require.Equal(t, "monitor control_plane_unreachable", outcome(x, h.reply(step, 0, "")))

	h = newHarness(t, owned(func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }))
	x, step = h.start(ask("GET", "/boxes/7", "bobs"))
	require.Equal(t, "503 as_unreachable", outcome(x, step))
	x, step = h.start(ask("GET", "/boxes/7", ""))
	require.Equal(t, "403 no_ticket", outcome(x, step))
}

func TestInstanceFaults(t *testing.T) {
	tests := []struct {
		name   string
		change func(*config.Site, *config.Resource)
		path   string
	}{
		{"no variable", func(_ *config.Site, r *config.Resource) { r.Name = "box" }, "resources[0].name"},
		{"variables run together", func(_ *config.Site, r *config.Resource) { r.Name = "box-{id}-{n}" }, "resources[0].name"},
		{"a path without it", func(_ *config.Site, r *config.Resource) { r.Conditions[0].Paths = []string{"/boxes/*"} }, "resources[0].conditions[0].paths[0]"},
		{"nowhere to ask", func(s *config.Site, _ *config.Resource) { s.Instances = nil }, "resources[0].instances"},
		{"nothing to ask with", func(s *config.Site, _ *config.Resource) { s.Instances.Cluster = "" }, "instances.cluster"},
		{"an id", func(_ *config.Site, r *config.Resource) { r.ID = "x" }, "resources[0].id"},
		{"OAuth scopes", func(s *config.Site, _ *config.Resource) { s.Require = config.RequireOAuthScopes }, "resources[0].instances"},
		{"an id in the ticket", func(_ *config.Site, r *config.Resource) {
			r.Conditions[0].Ticket = []config.Permission{{ResourceID: "x", ResourceScopes: []string{"view"}}}
		}, "resources[0].conditions[0].ticket[0].resource_id"},
		{"no instances to follow", func(_ *config.Site, r *config.Resource) { r.Instances, r.Name = false, "box" }, "resources[0]"},
		{"a time below nothing", func(s *config.Site, _ *config.Resource) { s.Instances.TTLMS = -2 }, "instances.ttl_ms"},
		{"a limit below nothing", func(s *config.Site, _ *config.Resource) { s.Instances.LookupsPerSecond = -1 }, "instances.lookups_per_second"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := photos()
			owned(func(s *config.Site) {
				for i := range s.Resources {
					if s.Resources[i].Name == "box-{id}" {
						s.Resources = s.Resources[i : i+1]
						break
					}
				}
				tt.change(s, &s.Resources[0])
			})(c)
			_, err := decision.Compile(c)
			var faults config.Faults
			require.ErrorAs(t, err, &faults)
			require.Equal(t, "sites[0]."+tt.path, faults[0].Path, "%v", err)
		})
	}
}
