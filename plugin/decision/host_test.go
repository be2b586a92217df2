package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestHostIsForwardedAsJudged: whatever lets a request pass, the API gets the
// spelling of the host that the site was found by.
func TestHostIsForwardedAsJudged(t *testing.T) {
	off := siteOf(func(s *config.Site) { s.Mode = config.ModeOff })
	monitor := siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor })
	unknown := func(c *config.Config) { c.UnknownHosts = config.VerdictAllow }
	tests := []struct {
		name, authority, path string
		change                func(*config.Config)
		outcome, want         string
	}{
		{name: "as it came", authority: "photos.example.com:8080", path: "/healthz", outcome: "allow public"},
		{name: "letters", authority: "PHOTOS.example.com", path: "/healthz", outcome: "allow public", want: "photos.example.com"},
		{name: "port", authority: "photos.example.com:080", path: "/healthz", outcome: "allow public", want: "photos.example.com:80"},
		{name: "permitted", authority: "Photos.Example.Com:80", path: "/albums/1", outcome: "allow permitted", want: "photos.example.com:80"},
		{name: "condition that is off", authority: "Photos.example.com", path: "/loose/1", outcome: "allow off", want: "photos.example.com"},
		{name: "site that is off", authority: "Photos.example.com", path: "/x", change: off, outcome: "allow off", want: "photos.example.com"},
		{name: "site that watches", authority: "Photos.example.com", path: "/x", change: monitor, outcome: "monitor unmatched_path", want: "photos.example.com"},
		{name: "unknown host", authority: "Other.example.com:01", path: "/x", change: unknown, outcome: "allow unknown_host_allowed", want: "other.example.com:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var change []func(*config.Config)
			if tt.change != nil {
				change = append(change, tt.change)
			}
			h := newHarness(t, change...)
			for range 2 { // the second is for the host of the one before
				x, step := h.decide(with(ask("GET", tt.path, "token"), ":authority", tt.authority), viewR1)
				require.Equal(t, tt.outcome, outcome(x, step))
				require.Equal(t, tt.want, step.Allow.Authority)
			}
			// Another spelling, between them, is told apart.
			_, step := h.decide(with(ask("GET", "/healthz", ""), ":authority", "photos.example.com"), "")
			require.Equal(t, decision.KindAllow, step.Kind)
			require.Empty(t, step.Allow.Authority)
		})
	}
}
