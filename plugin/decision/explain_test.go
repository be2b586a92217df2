package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/decision"
	"github.com/umagate/umagate/plugin/uma"
)

func TestExplain(t *testing.T) {
	viewer := &uma.Token{Active: true, Subject: "bob", Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}}}
	tests := []struct {
		name    string
		request *decision.Request
		token   *uma.Token
		want    string
		labels  []string
		ticket  string
	}{
		{"permitted", ask("GET", "/albums/1", "t"), viewer, "allow permitted", []string{"site", "path", "condition", "scopes", "decision"}, ""},
		{
			"lacks a scope", ask("PUT", "/albums/1", "t"), viewer, "401 insufficient_permission",
			[]string{"site", "path", "condition", "scopes", "ticket", "decision"},
			`[{"resource_id":"r1","resource_scopes":["view","edit"]}]`,
		},
		{
			"no token", ask("GET", "/albums/1", ""), nil, "401 no_token",
			[]string{"site", "path", "condition", "token", "ticket", "decision"},
			`[{"resource_id":"r1","resource_scopes":["view","all"]}]`,
		},
		{
			"nothing known of the token", ask("GET", "/albums/1", "t"), nil, "401 inactive_token",
			[]string{"site", "path", "condition", "token", "ticket", "decision"},
			`[{"resource_id":"r1","resource_scopes":["view","all"]}]`,
		},
		{"public", ask("GET", "/healthz", ""), nil, "allow public", []string{"site", "path", "condition", "decision"}, ""},
		{"unmatched", ask("GET", "/x", ""), nil, "403 unmatched_path", []string{"site", "path", "decision"}, ""},
		{"ambiguous", ask("GET", "/x/../y", ""), nil, "400 ambiguous_path", []string{"site", "path", "decision"}, ""},
		{"method", ask("POST", "/albums/1", ""), nil, "403 method_not_covered", []string{"site", "path", "method", "decision"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			policy, err := decision.Compile(photos())
			require.NoError(t, err)
			e := decision.Explain(policy, tt.request, tt.token, began)
			var labels []string
			for _, l := range e.Lines {
				labels = append(labels, l.Label)
				require.NotEmpty(t, l.Text)
			}
			require.Equal(t, tt.labels, labels)
			if tt.ticket == "" {
				require.Empty(t, e.TicketRequest)
			} else {
				require.JSONEq(t, tt.ticket, string(e.TicketRequest))
			}

			// The filter decides the same.
			h := newHarness(t)
			answer := unknown
			if tt.token != nil {
				answer = viewR1
			}
			x, step := h.decide(tt.request, answer)
			require.Equal(t, tt.want, outcome(x, step))
			require.Equal(t, x.Decision().Reason, e.Decision.Reason)
			require.Equal(t, step.Kind, e.Step.Kind)
			require.Equal(t, step.Deny.Status, e.Step.Deny.Status)
		})
	}
}
