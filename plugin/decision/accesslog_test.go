package decision_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/umagate/umagate/plugin/decision"
)

// report reads what the filter leaves for the access log, as Envoy does.
func report(t *testing.T, d decision.Decision) map[string]any {
	t.Helper()
	var message structpb.Struct
	require.NoError(t, proto.Unmarshal(d.AppendStruct(nil), &message))
	return message.AsMap()
}

// TestReport: the access log's object says what was decided, and why.
func TestReport(t *testing.T) {
	h := newHarness(t)
	x, _ := h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"sub":"b","client_id":"app","permissions":[{"resource_id":"r1","resource_scopes":["view","edit"]}]}`)
	require.Equal(t, map[string]any{
		"decision": "allow", "reason": "permitted", "site": "photos", "resource": "albums", "condition": "/albums/{id}",
		"subject": "b", "client_id": "app", "scopes": "view edit", "cache": "miss",
	}, report(t, x.Decision()))
	// What the AS answered, where it is the cause.
	x, step := h.start(ask("GET", "/albums/1", "another"))
	h.worker.Reply(step.Call.ID, answer(401, `{"error":"invalid_client"}`), h.now)
	require.Equal(t, map[string]any{
		"decision": "deny", "reason": "as_refused", "site": "photos", "resource": "albums", "condition": "/albums/{id}", "cache": "miss", "status": 503.0,
		"as_outcome": "unauthorized", "as_status": 401.0,
	}, report(t, x.Decision()))
	x, step = h.start(ask("GET", "/albums/1", ""))
	h.worker.Reply(step.Call.ID, decision.Response{}, h.now)
	require.Equal(t, map[string]any{
		"decision": "deny", "reason": "no_ticket", "site": "photos", "resource": "albums", "condition": "/albums/{id}", "status": 403.0,
		"as_outcome": "unreachable", "as_status": 0.0,
	}, report(t, x.Decision()))
	x, _ = h.decide(ask("GET", "/a/../b", ""), "")
	require.Equal(t, map[string]any{
		"decision": "deny", "reason": "ambiguous_path", "site": "photos", "problem": "dot_segment", "status": 400.0,
	}, report(t, x.Decision()))
}

// TestReportOfHostileValues: a text is a text, whatever is in it, and has an end.
func TestReportOfHostileValues(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"quotes", `b","decision":"allow\`, `b","decision":"allow\`},
		{"control bytes", "a\r\n\x00\x1b[31m\x7f", "a\r\n\x00\x1b[31m\x7f"},
		{"a field", "\x0a\x12\x0a\x08decision\x12\x06\x1a\x04deny", "\x0a\x12\x0a\x08decision\x12\x06\x1a\x04deny"},
		{"no UTF-8", "a\xffb\xc3\xa9\xed\xa0\x80", "a?b?????"},
		{"the longest", strings.Repeat("a", 256), strings.Repeat("a", 256)},
		{"too long", strings.Repeat("a", 257), strings.Repeat("a", 253) + "…"},
		{"cut in a character", strings.Repeat("é", 200), strings.Repeat("é", 126) + "…"},
		{"cut, and no UTF-8", strings.Repeat("\xff", 300), strings.Repeat("?", 253) + "…"},
		{"cut, and nothing but the middle of characters", strings.Repeat("\x80", 300), "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, map[string]any{"decision": "deny", "reason": "internal_error", "subject": tt.want},
				report(t, decision.Decision{Subject: tt.value}))
		})
	}
}

func FuzzReport(f *testing.F) {
	f.Add("photos", "a\xff", 403)
	f.Add(strings.Repeat("é", 63), strings.Repeat("a", 130), -1)
	f.Fuzz(func(t *testing.T, site, subject string, status int) {
		status %= 1 << 53
		got := report(t, decision.Decision{Site: site, Subject: subject, Status: status})
		for name, value := range map[string]string{"site": site, "subject": subject} {
			text, ok := got[name].(string)
			require.Equal(t, value != "", ok)
			require.LessOrEqual(t, len(text), 256)
			if utf8.ValidString(value) && len(value) <= 256 {
				require.Equal(t, value, text)
			}
		}
		require.Equal(t, status != 0, got["status"] != nil)
	})
}
