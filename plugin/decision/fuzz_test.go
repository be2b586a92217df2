package decision_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// FuzzScreening sends any header a client can send, and looks for one of ours
// that gets through, or for a guarded path that opens.
func FuzzScreening(f *testing.F) {
	for _, seed := range [][4]string{
		{"photos.example.com", "GET", "/albums/1", "x_uma_subject"},
		{"PHOTOS.example.com:1", "HEAD", "/open/../albums/1", "X.Uma-Subject"},
		{"photos.example.com", "OPTIONS", "*", "expect"},
		{"photos.example.com", "get", "/healthz", "authorization"},
		{"other", "CONNECT", "", "x-original-url"},
		{"photos.example.com", "GET", "/watched/..;/albums/1", ""},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], "Bearer token")
		f.Add(seed[0], seed[1], seed[2], seed[3], "")
	}
	c := photos()
	c.Sites[0].AmbiguousPaths = config.PathsNormalize
	policy, err := decision.Compile(c)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, authority, method, path, name, credential string) {
		r := &decision.Request{Headers: []decision.Header{
			{Name: ":method", Value: method}, {Name: ":path", Value: path}, {Name: name, Value: credential}, {Name: ":authority", Value: authority},
		}}
		worker := decision.NewWorker()
		evaluator := worker.Evaluator(policy)
		x, step := evaluator.Start(r, began)
		for step.Kind == decision.KindCall {
			body := unknown
			if step.Call.Purpose == decision.PurposeTicket {
				body = `{"ticket":"t"}`
			}
			outcomes := worker.Reply(step.Call.ID, answer(200, body), began)
			require.Len(t, outcomes, 1)
			step = outcomes[0].Step
		}
		d := x.Decision()
		if step.Kind == decision.KindDeny {
			require.GreaterOrEqual(t, step.Deny.Status, 400)
			require.False(t, d.Reason.Allows())
			return
		}
		require.NotEqual(t, decision.ReasonPermitted, d.Reason, "no token is active")
		// What is forwarded is open by itself.
		forwarded := step.Allow.Path
		if forwarded == "" {
			forwarded = path
		}
		raw, _, _ := strings.Cut(forwarded, "?")
		require.True(t, slices.ContainsFunc([]string{"/healthz", "/open", "/watched", "/loose"}, func(open string) bool {
			return raw == open || strings.HasPrefix(raw, open+"/")
		}), "%q was let through", forwarded)
		if strings.HasPrefix(naivelyFolded(name), "x-uma-") {
			require.Contains(t, step.Allow.Remove, name)
		}
	})
}

// naivelyFolded is a header name as CGI makes it, back in lower case.
func naivelyFolded(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
}

// FuzzAnswers gives any answer to any introspection, and allows only what a
// reading by the standard library allows.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		viewR1, editR1, unknown, `{"active":true,"permissions":[{"rsid":"r1","scopes":["view"],"exp":1}]}`, `{"active":true,"exp":0,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`,
		`{"active":true,"authorization":{"permissions":[{"rsid":"r1","scopes":["all"]}]}}`, `{"active":"true"}`, "[[[[", `{"active":true,"cnf":{}}`, `{"active":true,"permissions":[{}]}`,
	} {
		f.Add([]byte(seed))
	}
	policy, err := decision.Compile(photos())
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body []byte) {
		worker := decision.NewWorker()
		x, step := worker.Evaluator(policy).Start(ask("GET", "/albums/1", "token"), began)
		outcomes := worker.Reply(step.Call.ID, decision.Response{Status: 200, Body: body}, began)
		require.Len(t, outcomes, 1)
		if outcomes[0].Step.Kind == decision.KindAllow {
			require.Equal(t, decision.ReasonPermitted, x.Decision().Reason)
			require.True(t, naivelyPermitted(body), "%s", body)
			for _, h := range outcomes[0].Step.Allow.Set {
				for i := range len(h.Value) {
					require.True(t, h.Value[i] >= ' ' && h.Value[i] <= '~', "%q", h)
				}
				require.Equal(t, strings.TrimSpace(h.Value), h.Value)
			}
		}
	})
}

// FuzzEvaluations gives any answer to any evaluation, and allows only what a reading by
// the standard library allows.
func FuzzEvaluations(f *testing.F) {
	for _, seed := range []string{
		granted, "[]", notAuthorized, submitted, badToken, noResource, `[{"rsid":"r1"}]`, `[{"rsid":"r1","scopes":["edit"]}]`, `[{"resource_id":"r1","resource_scopes":["all"]}]`,
		`[{"rsid":"r1","scopes":["view"],"exp":1}]`, `{"permissions":[{"rsid":"r1","scopes":["view"]}]}`, "[[[[", `[{"rsid":"r2","scopes":["view"]},{"rsid":"r1","scopes":"all"}]`,
	} {
		f.Add(200, []byte(seed))
		f.Add(403, []byte(seed))
	}
	c := photos()
	evaluating(c)
	policy, err := decision.Compile(c)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		worker := decision.NewWorker()
		evaluator := worker.Evaluator(policy)
		x, step := evaluator.Start(ask("GET", "/albums/1", "token"), began)
		require.Equal(t, decision.PurposeEvaluate, step.Call.Purpose)
		outcomes := worker.Reply(step.Call.ID, decision.Response{Status: status, Body: body}, began)
		require.Len(t, outcomes, 1)
		if outcomes[0].Step.Kind == decision.KindAllow {
			require.Equal(t, decision.ReasonPermitted, x.Decision().Reason)
			require.Equal(t, 200, status)
			require.True(t, naivelyPermitted([]byte(`{"active":true,"permissions":`+string(body)+`}`)), "%s", body)
		}
		_, other := evaluator.Start(ask("PUT", "/albums/1", "token"), began)
		require.NotEqual(t, decision.KindAllow, other.Kind, "nobody has asked for edit")
	})
}

// naivelyPermitted reports whether some permission for r1 names view or all. One that
// cannot be read is left out.
func naivelyPermitted(body []byte) bool {
	var read struct {
		Active        any               `json:"active"`
		Permissions   []json.RawMessage `json:"permissions"`
		Permission    []json.RawMessage `json:"permission"` // WSO2's
		Authorization struct {
			Permissions []json.RawMessage `json:"permissions"`
		} `json:"authorization"`
	}
	if json.Unmarshal(body, &read) != nil {
		return false
	}
	if active, isBool := read.Active.(bool); !isBool || !active {
		return false
	}
	for _, raw := range slices.Concat(read.Permissions, read.Permission, read.Authorization.Permissions) {
		var p struct {
			ResourceID     string `json:"resource_id"`
			ResourceScopes any    `json:"resource_scopes"`
			RSID           string `json:"rsid"`
			Scopes         any    `json:"scopes"`
		}
		if json.Unmarshal(raw, &p) != nil {
			continue
		}
		for _, scopes := range []any{p.ResourceScopes, p.Scopes} {
			list, isList := scopes.([]any)
			if !isList {
				list = []any{scopes}
			}
			if (p.ResourceID == "r1" || p.RSID == "r1") && (slices.Contains(list, any("view")) || slices.Contains(list, any("all"))) {
				return true
			}
		}
	}
	return false
}
