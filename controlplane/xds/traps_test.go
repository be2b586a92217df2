package xds

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTraps(t *testing.T) {
	t.Parallel()
	var r reports
	now := time.Unix(1_700_000_000, 0)
	report := func(success, failure, backoff uint64) *Traps {
		now = now.Add(5 * time.Second)
		r.take(now, map[countKey]uint64{
			{operation: reloads, outcome: reloadSuccess}: success, {operation: reloads, outcome: reloadFailure}: failure, {operation: reloads, outcome: reloadBackoff}: backoff,
		})
		return r.trapped(now)
	}
	require.Nil(t, report(7, 0, 3), "what was before the first report is of no day that is known")
	require.Nil(t, report(7, 0, 3))
	told := report(7, 0, 7)
	require.Equal(t, &Traps{Since: now, Last: now, Refused: 4}, told, "and no VM yet")
	since := now
	told = report(8, 2, 7)
	require.Equal(t, &Traps{Since: since, Last: now, Restarted: 1, Failed: 2, Refused: 4, Serves: true}, told)
	last := now
	require.Equal(t, last, report(8, 2, 7).Last)
	now = now.Add(5 * time.Second)
	r.take(now, map[countKey]uint64{})
	require.Equal(t, last, r.trapped(now).Last, "a report without them says nothing")
	require.NotNil(t, r.trapped(last.Add(TrapsFor)))
	require.Nil(t, r.trapped(last.Add(TrapsFor+time.Second)))
	now = last.Add(TrapsFor)
	told = report(9, 2, 7)
	require.Equal(t, &Traps{Since: now, Last: now, Restarted: 1, Serves: true}, told, "another begins anew")
}
