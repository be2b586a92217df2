package xds

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestModuleThatStartedLast: an Envoy counts on for the module that it had before.
func TestModuleThatStartedLast(t *testing.T) {
	t.Parallel()
	one, two := countKey{"0123456789ab", starts, "01"}, countKey{"ba9876543210", starts, "02"}
	type counts = map[countKey]uint64
	for _, tt := range []struct {
		name    string
		reports []counts
		want    *Module
	}{
		{name: "none", reports: []counts{{}, {}}},
		{name: "one", reports: []counts{{one: 2}}, want: &Module{"0123456789ab", 1}},
		{name: "one, later", reports: []counts{{}, {one: 2}, {one: 2}}, want: &Module{"0123456789ab", 1}},
		{name: "another comes", reports: []counts{{one: 2}, {one: 2, two: 2}, {one: 2, two: 2}}, want: &Module{"ba9876543210", 2}},
		{name: "the one before comes back", reports: []counts{{one: 2}, {one: 2, two: 2}, {one: 4, two: 2}}, want: &Module{"0123456789ab", 1}},
		{name: "two before the first report", reports: []counts{{one: 2, two: 4}}, want: &Module{}},
		{name: "and one of them then", reports: []counts{{one: 2, two: 4}, {one: 2, two: 6}}, want: &Module{"ba9876543210", 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var r reports
			now := time.Unix(1_700_000_000, 0)
			for _, c := range tt.reports {
				r.take(now, c)
				now = now.Add(5 * time.Second)
			}
			require.Equal(t, tt.want, r.module)
			require.Empty(t, r.failing(now), "no call failed")
		})
	}
}
