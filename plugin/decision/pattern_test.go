package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// TestPatternDecides: a segment with literal text around a variable guards what a
// public one beside it would open, and what two of them leave open is refused.
func TestPatternDecides(t *testing.T) {
	guarded := func(paths ...string) config.Condition {
		return config.Condition{Paths: paths, Scopes: []string{"view"}}
	}
	change := siteOf(func(s *config.Site) {
		s.Resources = []config.Resource{
			{Name: "open", Conditions: []config.Condition{{Paths: []string{"/d/{id}", "/d/{id}.html", "/e/{x}.html"}, Public: true}}},
			{Name: "guarded", ID: "r1", Conditions: []config.Condition{
				guarded("/d/{id}:export", "/d/({id})", "/d/{a}...{b}", "/d/{id}.json", "/d/secret-{id}"),
				guarded("/e/{x}.txt", "/e/a-{x}", "/e/a-{x}.pdf"),
			}},
		}
	})
	tests := []struct{ name, path, want string }{
		{"whole segment", "/d/1", "allow public"},
		{"after a name", "/d/1:export", "401 no_token"},
		{"after a name, encoded", "/d/1%3Aexport", "401 no_token"},
		{"around a name", "/d/(1)", "401 no_token"},
		{"between names", "/d/a...b", "401 no_token"},
		{"extension", "/d/1.json", "401 no_token"},
		{"extension, slash at the end", "/d/1.json/", "401 no_token"},
		{"public extension", "/d/1.html", "allow public"},
		{"either", "/d/secret-1.html", "400 ambiguous_path"},
		{"either, of one condition", "/d/secret-1.json", "401 no_token"},
		{"either of two that agree", "/e/a-1.txt", "401 no_token"},
		{"what is more specific decides", "/e/a-1.pdf", "401 no_token"},
		{"but not here", "/e/a-1.html", "400 ambiguous_path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, change)
			x, step := h.decide(ask("GET", tt.path, ""), "")
			require.Equal(t, tt.want, outcome(x, step))
			if tt.want == "400 ambiguous_path" {
				require.EqualValues(t, "two_templates", x.Decision().Problem)
			}
		})
	}
}

// formats has templates with text around the variable of an instance.
func formats(s *config.Site) {
	c := &s.Resources[len(s.Resources)-3].Conditions[1] // DELETE of boxes
	c.Paths = append(c.Paths, "/boxes/{id}.json", "/boxes/{id}:share")
	g := &s.Resources[len(s.Resources)-3].Conditions[0]
	g.Paths = append(g.Paths, "/boxes/{id}.json", "/boxes/v{id}.zip")
}

func TestInstanceOfPattern(t *testing.T) {
	insensitive := func(s *config.Site) { s.Case = config.CaseInsensitive }
	tests := []struct {
		name, path string
		change     func(*config.Site)
		values     string
	}{
		{name: "whole segment", path: "/boxes/7", values: `["7"]`},
		{name: "extension", path: "/boxes/7.json", values: `["7"]`},
		{name: "extension twice", path: "/boxes/7.json.json", values: `["7.json"]`},
		{name: "text before it", path: "/boxes/v1-7.zip", values: `["1-7"]`},
		{name: "letters do not count", path: "/boxes/ABC.JSON", change: insensitive, values: `["abc"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(formats, func(s *config.Site) {
				if tt.change != nil {
					tt.change(s)
				}
			}))
			_, step := h.start(ask("GET", tt.path, ""))
			require.Contains(t, looked(t, step), `"values":`+tt.values)
		})
	}
	h := newHarness(t, owned(formats))
	_, first := h.start(ask("GET", "/boxes/7", ""))
	looked(t, first)
	_, step := h.start(ask("GET", "/boxes/7.json", ""))
	require.True(t, step.Call.Shared, "one instance, whichever the path")
}

// TestWhatAPatternSaysOfAnInstance: a path that goes on after the variable, if only
// by some text, is not the instance's own; after a DELETE, an extension is no matter.
func TestWhatAPatternSaysOfAnInstance(t *testing.T) {
	for _, tt := range []struct{ name, method, path, location, values string }{
		{"created", "POST", "/boxes", "/boxes/8", `["8"]`},
		{"created with an extension", "POST", "/boxes", "/boxes/8.json", ""},
		{"created with a verb", "POST", "/boxes", "/boxes/8:share", ""},
		{"removed", "DELETE", "/boxes/7", "", `["7"]`},
		{"removed with an extension", "DELETE", "/boxes/7.json", "", `["7"]`},
		{"something else of it removed", "DELETE", "/boxes/7:share", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned(formats))
			status := 201
			if tt.method == "DELETE" {
				status = 204
			}
			call := h.ended(h.passed(tt.method, tt.path), status, tt.location)
			if tt.values == "" {
				require.Nil(t, call)
				return
			}
			require.Contains(t, string(call.Body), `"values":`+tt.values)
		})
	}
}
