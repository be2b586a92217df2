package decision_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// TestTimesWithoutEnd: a token whose exp is no time is believed for max_ttl.
func TestTimesWithoutEnd(t *testing.T) {
	for _, exp := range []string{"-1", "9223372036854775807", strconv.FormatInt(began.Add(time.Hour).UnixMilli(), 10)} {
		t.Run(exp, func(t *testing.T) {
			h := newHarness(t, func(c *config.Config) { c.Sites[0].Token.MaxTTLMS = 10_000 })
			answer := `{"active":true,"exp":` + exp + `,"permissions":[{"resource_id":"r1","resource_scopes":["view"],"exp":` + exp + `}]}`
			x, step := h.decide(ask("GET", "/albums/1", "token"), answer)
			require.Equal(t, "allow permitted", outcome(x, step))
			h.after(10*time.Second - time.Millisecond)
			x, step = h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "allow permitted", outcome(x, step))
			h.after(time.Millisecond)
			x, step = h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "call introspection", outcome(x, step))
		})
	}
	h := newHarness(t)
	past := strconv.FormatInt(began.Add(-time.Hour).UnixMilli(), 10)
	x, step := h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"exp":`+past+`,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
	require.Equal(t, "401 expired_token", outcome(x, step))
}

// TestBadPermission: one permission that cannot be read takes nothing from the
// others, and gives nothing.
func TestBadPermission(t *testing.T) {
	h := newHarness(t)
	const answer = `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]},{"resource_id":"r1","resource_scopes":["edit"],"exp":"never"}]}`
	x, step := h.decide(ask("GET", "/albums/1", "token"), answer)
	require.Equal(t, "allow permitted", outcome(x, step))
	x, step = h.decide(ask("PUT", "/albums/1", "token"), answer)
	require.Equal(t, "401 insufficient_permission", outcome(x, step))
}
