package revoke

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Refresh does what Run does each time.
func Refresh(t *testing.T, l *List) {
	t.Helper()
	require.NoError(t, l.refresh(t.Context()))
}

// TestClocksAreCompared: as they are, and not by the reading that Go keeps beside each
// time, by which no clock is ever put ahead.
func TestClocksAreCompared(t *testing.T) {
	t.Parallel()
	c := newClock(time.Now, nil)
	for _, at := range []time.Time{c.now(), c.steady(), c.atEarliest(Site{}), c.atLatest(Site{})} {
		require.NotContains(t, at.String(), "m=")
	}
}
