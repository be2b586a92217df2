package decision_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

const alicesRights = `{"active":true,"sub":"alice","client_id":"app","permissions":[
	{"resource_id":"c1","resource_scopes":["create"]},{"resource_id":"id-7","resource_scopes":["view"]}]}`

// passed drives a request of alice's until it is allowed.
func (h *harness) passed(method, path string) *decision.Exchange {
	h.t.Helper()
	x, step := h.start(ask(method, path, "alices"))
	for step.Kind == decision.KindCall {
		if step.Call.Purpose == decision.PurposeLookup {
			step = h.reply(step, 200, `{"resource_id":"id-7"}`)
		} else {
			step = h.reply(step, 200, alicesRights)
		}
	}
	require.Equal(h.t, decision.KindAllow, step.Kind, "%s", step.Deny.Body)
	return x
}

// ended reports how a request ended, and returns the one call that comes of it.
func (h *harness) ended(x *decision.Exchange, status int, location string) *decision.Call {
	h.t.Helper()
	require.True(h.t, x.Watched())
	calls := h.worker.Ended(x, status, location, h.now)
	require.LessOrEqual(h.t, len(calls), 1)
	if len(calls) == 0 {
		return nil
	}
	return calls[0]
}

func (h *harness) stats() decision.SiteStats {
	var all decision.SiteStats
	h.worker.Drain(func(site string, s *decision.SiteStats) {
		if site == "photos" {
			all = *s
		}
	})
	return all
}

// findBox tells what becomes of a request without a token for box 7.
func (h *harness) findBox() string {
	x, step := h.start(ask("GET", "/boxes/7", ""))
	return outcome(x, step)
}

func TestCreatedInstanceIsReported(t *testing.T) {
	tests := []struct {
		name, location string
		status         int
		values         string // "" when nothing is reported
	}{
		{"path", "/boxes/7", 201, `["7"]`},
		{"slash at the end", "/boxes/7/", 201, `["7"]`},
		{"URL", "https://photos.example.com/boxes/7", 201, `["7"]`},
		{"URL with the scheme's port and other letters", "HTTP://Photos.Example.com:80/boxes/caf%C3%A9", 201, `["café"]`},
		{"another port", "https://photos.example.com:8443/boxes/7", 201, ""},
		{"the port of another scheme", "http://photos.example.com:443/boxes/7", 201, ""},
		{"another scheme", "ftp://photos.example.com/boxes/7", 201, ""},
		{"userinfo", "https://me@photos.example.com/boxes/7", 201, ""},
		{"query", "/boxes/7?x=1", 201, ""},
		{"the rest in a query", "/boxes/8?/boxes/9", 201, ""},
		{"the rest in a query of a URL", "https://photos.example.com/boxes/8?/boxes/9", 201, ""},
		{"fragment", "/boxes/7#y", 201, ""},
		{"the rest in a fragment", "/boxes/8#/boxes/9", 201, ""},
		{"a host with a query", "https://photos.example.com?/boxes/7", 201, ""},
		{"another host of the site", "https://other.photos.example.com/boxes/7", 201, ""},
		{"a URL in a path", "/https://photos.example.com/boxes/7", 201, ""},
		{"matrix parameter", "/boxes/8;/boxes/9", 201, ""},
		{"another status", "/boxes/7", 200, ""},
		{"redirection", "/boxes/7", 303, ""},
		{"no Location", "", 201, ""},
		{"below it", "/boxes/7/photos", 201, ""},
		{"elsewhere", "/things/7", 201, ""},
		{"its collection", "/boxes", 201, ""},
		{"another host", "https://other.example.com/boxes/7", 201, ""},
		{"another host without a scheme", "//other.example.com/boxes/7", 201, ""},
		{"relative", "7", 201, ""},
		{"ambiguous", "/boxes/%37", 201, ""},
		{"no path", "https://photos.example.com", 201, ""},
		{"of a resource that does not ask for it", "/users/alice/tags/red", 201, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(func(s *config.Site) {
				s.Hosts, s.AmbiguousPaths = append(s.Hosts, "other.photos.example.com"), config.PathsNormalize
			}))
			x := h.passed("POST", "/boxes")
			call := h.ended(x, tt.status, tt.location)
			if tt.values == "" {
				require.Nil(t, call)
				want := uint64(0)
				if tt.status == 201 {
					want = 1
				}
				require.Equal(t, want, h.stats().NoInstance)
				return
			}
			require.Equal(t, decision.PurposeRegister, call.Purpose)
			require.Equal(t, "/v1/instances/register", value(t, call.Headers, ":path"))
			require.JSONEq(t, `{"site":"photos","resource":"box-{id}","values":`+tt.values+`,"owner":"alice"}`, string(call.Body))
		})
	}
}

// TestAuthorityOfLocation compares the Location's authority with what was asked.
func TestAuthorityOfLocation(t *testing.T) {
	tests := []struct {
		name, asked, location string
		same                  bool
	}{
		{"port", "photos.example.com:8443", "https://photos.example.com:8443", true},
		{"no port", "photos.example.com:8443", "https://photos.example.com", false},
		{"the scheme's port was asked", "PHOTOS.example.com:443", "https://photos.example.com", true},
		{"another scheme's port was asked", "photos.example.com:443", "http://photos.example.com", false},
		{"every host", "[::1]:8080", "http://[::1]:8080", true},
		{"another address", "[::1]:8080", "http://[::2]:8080", false},
		{"userinfo", "photos.example.com", "http://photos.example.com:80@other.example.com", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(func(s *config.Site) { s.Hosts = []string{"*"} }))
			x, step := h.start(with(ask("POST", "/boxes", "alices"), ":authority", tt.asked))
			step = h.reply(step, 200, alicesRights)
			require.Equal(t, "allow permitted", outcome(x, step))
			call := h.ended(x, 201, tt.location+"/boxes/7")
			require.Equal(t, tt.same, call != nil)
		})
	}
}

func TestWhoIsWatched(t *testing.T) {
	h := newHarness(t, owned())
	for _, method := range []string{"GET", "HEAD"} {
		require.False(t, h.passed(method, "/boxes/7").Watched())
	}
	x, _ := h.start(ask("POST", "/boxes", ""))
	require.False(t, x.Watched(), "denied")
	x, step := h.start(ask("POST", "/nowhere", ""))
	require.Equal(t, "403 unmatched_path", outcome(x, step))
	require.False(t, x.Watched())
	h.configure()
	x, step = h.decide(ask("DELETE", "/albums/1", "editor"), editR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	require.False(t, x.Watched(), "no resource has instances")
}

// TestCreatedWithoutOwner: what passed without a token has no owner to register for.
func TestCreatedWithoutOwner(t *testing.T) {
	h := newHarness(t, owned(func(s *config.Site) {
		s.Resources = append(s.Resources, config.Resource{Name: "inbox", Conditions: []config.Condition{{Paths: []string{"/inbox"}, Public: true}}})
	}))
	x, _ := h.start(ask("POST", "/inbox", ""))
	require.Nil(t, h.ended(x, 201, "/boxes/7"))
	require.Equal(t, uint64(1), h.stats().NoOwner)
	h.configure(owned(func(s *config.Site) { s.Mode = config.ModeMonitor }))
	x, step := h.start(ask("POST", "/boxes", ""))
	require.Equal(t, "monitor no_token", outcome(x, step))
	require.Nil(t, h.ended(x, 201, "/boxes/7"))
}

// TestCreatedInstanceIsUsableAtOnce: whoever asks for it before the control plane
// has answered waits for that answer.
func TestCreatedInstanceIsUsableAtOnce(t *testing.T) {
	tests := []struct {
		name, body string
		status     int
		want       string
		then       string
	}{
		{"registered", `{"resource_id":"id-7"}`, 201, "call permission", "call permission"},
		{"registered before", `{"resource_id":"id-7"}`, 200, "call permission", "call permission"},
		{"not yet", `{}`, 202, "403 resource_not_registered", "call instance_lookup"},
		{"another owner's", `{}`, 409, "403 resource_not_registered", "call instance_lookup"},
		{"no answer", ``, 0, "503 control_plane_unreachable", "call instance_lookup"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned())
			_, step := h.start(ask("GET", "/boxes/7", ""))
			h.reply(step, 404, "")
			require.Equal(t, "403 resource_unknown", h.findBox())
			call := h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
			x, step := h.start(ask("GET", "/boxes/7", ""))
			require.True(t, step.Call.Shared)
			require.Equal(t, call.ID, step.Call.ID)
			outcomes := h.worker.Reply(call.ID, decision.Response{Status: tt.status, Body: []byte(tt.body)}, h.now)
			require.Len(t, outcomes, 1)
			require.Equal(t, tt.want, outcome(x, outcomes[0].Step))
			require.Equal(t, tt.then, h.findBox())
		})
	}
}

func TestRemovedInstanceIsReported(t *testing.T) {
	tests := []struct {
		name, path string
		status     int
		reported   bool
	}{
		{"gone", "/boxes/7", 204, true},
		{"gone, with words", "/boxes/7", 200, true},
		{"slash at the end", "/boxes/7/", 204, true},
		{"to be done later", "/boxes/7", 202, false},
		{"several outcomes", "/boxes/7", 207, false},
		{"not there", "/boxes/7", 404, false},
		{"failed", "/boxes/7", 500, false},
		{"something below it", "/boxes/7/photos", 204, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned())
			call := h.ended(h.passed("DELETE", tt.path), tt.status, "")
			if !tt.reported {
				require.Nil(t, call)
				require.Equal(t, "call permission", h.findBox())
				return
			}
			require.Equal(t, decision.PurposeRemove, call.Purpose)
			require.JSONEq(t, `{"site":"photos","resource":"box-{id}","values":["7"]}`, string(call.Body))
			require.Equal(t, "403 resource_unknown", h.findBox(), "at once")
			require.Empty(t, h.worker.Reply(call.ID, decision.Response{Status: 204}, h.now))
			require.Equal(t, "403 resource_unknown", h.findBox())
			h.after(2 * time.Second)
			require.Equal(t, "call instance_lookup", h.findBox())
		})
	}
}

// TestReportsAreSentAgain until they are heard, in the order of the events.
func TestReportsAreSentAgain(t *testing.T) {
	h := newHarness(t, owned())
	lost := 0
	h.worker.OnLost = func(_ string, _ decision.Purpose, instance string) {
		lost++
		require.Equal(t, "box-{id}/7", instance)
	}
	fail := func(c *decision.Call) { h.worker.Reply(c.ID, decision.Response{}, h.now) }
	created := h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
	fail(created)
	require.Empty(t, h.worker.Due(h.now), "not at once")
	h.after(time.Second)
	again := h.worker.Due(h.now)
	require.Len(t, again, 1)
	require.Equal(t, created.Body, again[0].Body)
	require.Empty(t, h.worker.Due(h.now), "once")
	fail(again[0])
	h.after(time.Second)
	require.Empty(t, h.worker.Due(h.now), "the waits grow")

	// Removed before the control plane has heard of it: only that is told.
	h.after(time.Hour)
	x := h.passed("DELETE", "/boxes/7")
	removed := h.ended(x, 204, "")
	require.Equal(t, decision.PurposeRemove, removed.Purpose)
	require.Empty(t, h.worker.Due(h.now.Add(time.Hour)), "nothing else about it is to be told")
	// Created again while that is under way: told after it.
	require.Nil(t, h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7"))
	require.Empty(t, h.worker.Due(h.now))
	fail(removed)
	h.after(time.Second)
	next := h.worker.Due(h.now)
	require.Len(t, next, 1, "the removal is told first")
	require.Equal(t, decision.PurposeRemove, next[0].Purpose)
	h.worker.Reply(next[0].ID, decision.Response{Status: 202}, h.now)
	next = h.worker.Due(h.now)
	require.Len(t, next, 1)
	require.Equal(t, decision.PurposeRegister, next[0].Purpose)
	h.worker.Reply(next[0].ID, decision.Response{Status: 201, Body: []byte(`{"resource_id":"id-7"}`)}, h.now)
	require.Zero(t, lost)
	h.after(time.Hour)
	require.Empty(t, h.worker.Due(h.now))

	// There is an end to it.
	call := h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
	for range 200 {
		fail(call)
		h.after(time.Minute)
		due := h.worker.Due(h.now)
		if len(due) == 0 {
			break
		}
		call = due[0]
	}
	require.Equal(t, 1, lost)
	require.Equal(t, uint64(1), h.stats().ReportsLost)

	// One that is refused for good is not sent again.
	call = h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
	h.worker.Reply(call.ID, decision.Response{Status: 409}, h.now)
	require.Equal(t, 2, lost)
	h.after(time.Hour)
	require.Empty(t, h.worker.Due(h.now))
}

// TestRefusedReport: the host cannot send it.
func TestRefusedReport(t *testing.T) {
	h := newHarness(t, owned())
	call := h.ended(h.passed("POST", "/boxes"), 201, "/boxes/7")
	require.Empty(t, h.worker.Refused(call.ID, h.now))
	h.after(time.Second)
	require.Len(t, h.worker.Due(h.now), 1)
}
