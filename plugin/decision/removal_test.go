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

// removed tells of registrations of the site photos that have ended.
func removed(lines ...string) func(*config.Config) {
	return func(c *config.Config) {
		c.Removals = map[string]string{"photos": strings.Join(append(lines, ""), "\n"), "films": "0\nid-8\n"}
	}
}

// knows asks for a box, and tells whether the worker knew it.
func (h *harness) knows(t *testing.T, box string) bool {
	t.Helper()
	_, step := h.start(ask("GET", "/boxes/"+box, "bobs"))
	if step.Kind != decision.KindCall || step.Call.Purpose != decision.PurposeLookup {
		return true
	}
	h.reply(step, 200, `{"resource_id":"id-`+box+`"}`)
	return false
}

// TestRemovalsAreForgotten: what is registered no more is asked for again at once.
func TestRemovalsAreForgotten(t *testing.T) {
	tests := []struct {
		name          string
		before, after []string
		forgotten     bool
	}{
		{"this one", nil, []string{"0", "id-7"}, true},
		{"this one among others", []string{"0", "id-1"}, []string{"0", "id-1", "id-7", "id-2"}, true},
		{"another one", nil, []string{"0", "id-9"}, false},
		{"it was told before", []string{"0", "id-7"}, []string{"0", "id-7"}, false},
		{"another one, after it", []string{"0", "id-7"}, []string{"0", "id-7", "id-9"}, false},
		{"more than are told", []string{"0", "id-1"}, []string{"500"}, true},
		{"fewer than there were", []string{"0", "id-1"}, []string{"0"}, true},
		{"very many", nil, []string{"0", strings.Repeat("x\n", 4<<10)}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned())
			if tt.before != nil {
				h.configure(owned(), removed(tt.before...))
			}
			require.False(t, h.knows(t, "7"))
			require.False(t, h.knows(t, "8"))
			require.True(t, h.knows(t, "7"))
			h.configure(owned(), removed(tt.after...))
			require.Equal(t, !tt.forgotten, h.knows(t, "7"))
			h.configure(owned(), removed(tt.after...))
			require.True(t, h.knows(t, "7"), "once")
		})
	}
}

// TestRemovalWhileLookedUp: an answer of before is not remembered.
func TestRemovalWhileLookedUp(t *testing.T) {
	h := newHarness(t, owned())
	_, step := h.start(ask("GET", "/boxes/7", "bobs"))
	h.configure(owned(), removed("0", "id-7"))
	h.reply(step, 200, `{"resource_id":"id-7"}`)
	require.False(t, h.knows(t, "7"))
}

// TestMadeAnewBySomebodyElse: who might see the box of before does not see the one
// of now, on a worker that heard nothing of either but the removal.
func TestMadeAnewBySomebodyElse(t *testing.T) {
	h := newHarness(t, owned())
	_, step := h.start(ask("GET", "/boxes/7", "bobs"))
	step = h.reply(step, 200, `{"resource_id":"id-7"}`)
	require.Equal(t, decision.KindAllow, h.reply(step, 200, bobViews).Kind)
	h.configure(owned(), removed("0", "id-7"))
	h.after(10 * time.Millisecond)
	x, step := h.start(ask("GET", "/boxes/7", "bobs"))
	require.Equal(t, "call instance_lookup", outcome(x, step))
	step = h.reply(step, 200, `{"resource_id":"id-70"}`)
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose, "bob has no permission for it")
	require.Equal(t, "401 insufficient_permission", outcome(x, h.reply(step, 201, `{"ticket":"t"}`)), fmt.Sprint(x.Decision()))
}
