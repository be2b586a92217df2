package xds

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWithheldMessages: they are told for a while, as the next one may come later.
func TestWithheldMessages(t *testing.T) {
	t.Parallel()
	key, known := keyOf("wasmcustom.umagate.site.pho-to_s.reason.not_shown.mcp_messages_withheld_total")
	require.True(t, known)
	require.Equal(t, countKey{site: "pho-to_s", operation: withheldMessages, outcome: "not_shown"}, key)
	for _, name := range []string{
		"wasmcustom.umagate.site.photos.reason.other.mcp_messages_withheld_total", "wasmcustom.umagate.site.photos.reason.too_long.streams_ended_total",
		"umagate.site.photos.reason.too_long.mcp_messages_withheld_total", "wasmcustom.umagate.site.pho\x1b[2Jtos.reason.too_long.mcp_messages_withheld_total",
	} {
		_, known = keyOf(name)
		require.False(t, known, name)
	}
	var r reports
	now := time.Unix(1_700_000_000, 0)
	report := func(long, hidden uint64) []Withheld {
		now = now.Add(5 * time.Second)
		r.take(now, map[countKey]uint64{
			{site: "photos", operation: withheldMessages, outcome: "too_long"}: long, {site: "photos", operation: withheldMessages, outcome: "not_shown"}: hidden,
		})
		return r.withholds(now)
	}
	require.Empty(t, report(7, 0), "of last week")
	since := now.Add(5 * time.Second)
	require.Equal(t, []Withheld{{Site: "photos", Reason: "too_long", Since: since, Last: since, Messages: 2}}, report(9, 0))
	require.Empty(t, r.failing(now), "it is no call")
	require.Equal(t, []Withheld{
		{Site: "photos", Reason: "not_shown", Since: now.Add(5 * time.Second), Last: now.Add(5 * time.Second), Messages: 1},
		{Site: "photos", Reason: "too_long", Since: since, Last: now.Add(5 * time.Second), Messages: 3},
	}, report(10, 1))
	last := now
	require.Len(t, r.withholds(last.Add(WithheldFor)), 2)
	require.Empty(t, r.withholds(last.Add(WithheldFor+time.Second)))
	now = last.Add(WithheldFor)
	require.Equal(t, uint64(1), report(11, 1)[0].Messages, "another begins anew")
}
