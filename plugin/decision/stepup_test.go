package decision_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// stepUp asks for a way and a time of authentication.
func stepUp(c *config.Config) {
	cond := &c.Sites[0].Resources[0].Conditions[0]
	cond.ACR, cond.MaxAuthAgeS = []string{"gold", "silver"}, 300
}

// TestStepUp: a token that does not say how and when its owner was authenticated is
// refused, and no ticket is asked for.
func TestStepUp(t *testing.T) {
	now := began.Unix()
	const challenge = `Bearer realm="photos", error="insufficient_user_authentication", acr_values="gold silver", max_age="300"`
	for _, tt := range []struct {
		name, claims string
		permitted    bool
	}{
		{"as asked for", fmt.Sprintf(`"acr":"silver","auth_time":%d`, now-10), true},
		{"just in time", fmt.Sprintf(`"acr":"gold","auth_time":%d`, now-300), true},
		{"too long ago", fmt.Sprintf(`"acr":"gold","auth_time":%d`, now-301), false},
		{"in another way", fmt.Sprintf(`"acr":"bronze","auth_time":%d`, now), false},
		{"no acr", fmt.Sprintf(`"auth_time":%d`, now), false},
		{"an empty acr", fmt.Sprintf(`"acr":"","auth_time":%d`, now), false},
		{"no time", `"acr":"gold"`, false},
		{"1970", `"acr":"gold","auth_time":0`, false},
		{"nothing", `"x":1`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := viewR1[:len(viewR1)-1] + "," + tt.claims + "}"
			want := "401 insufficient_user_authentication"
			if tt.permitted {
				want = "allow permitted"
			}
			h := newHarness(t, stepUp)
			x, step := h.decide(ask("GET", "/albums/1", "token"), body)
			require.Equal(t, want, outcome(x, step))
			if !tt.permitted {
				require.Equal(t, challenge, value(t, step.Deny.Headers, "www-authenticate"))
			}
			require.Equal(t, want, outcome(h.start(ask("GET", "/albums/1", "token"))), "cached")
			require.Equal(t, 1, h.asked)

			h = newHarness(t, stepUp, evaluating)
			x, step = h.evaluated(ask("GET", "/albums/1", jwt("{"+tt.claims+"}")), 200, granted)
			require.Equal(t, want, outcome(x, step), "evaluated")

			h = newHarness(t, scopesOnly, stepUp)
			x, step = h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"scope":"view",`+tt.claims+`}`)
			require.Equal(t, want, outcome(x, step), "plain scopes")
		})
	}
	h := newHarness(t, stepUp)
	_, step := h.decide(ask("GET", "/albums/1", "token"), fmt.Sprintf(`%s,"acr":"gold","auth_time":%d}`, viewR1[:len(viewR1)-1], now-290))
	require.Equal(t, decision.KindAllow, step.Kind)
	h.after(11 * time.Second)
	require.Equal(t, "401 insufficient_user_authentication", outcome(h.start(ask("GET", "/albums/1", "token"))), "time goes on for what is cached")
	x, step := h.decide(ask("GET", "/albums/1", "other"), `{"active":true}`)
	require.Equal(t, "401 insufficient_permission", outcome(x, step), "what it lacks comes first")
}
