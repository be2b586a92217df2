package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestStatusIsOfOneMoment: what has changed is not called published before it is.
// Nothing publishes here.
func TestStatusIsOfOneMoment(t *testing.T) {
	t.Parallel()
	p := &publisher{changes: newChanges()}
	published, _ := settled(p.state, func() int { return 0 })
	require.False(t, published.behind)
	p.changes.add()
	published, _ = settled(p.state, func() int { return 0 })
	require.True(t, published.behind)
}

// TestStatusLooksAgain: a change between looking at the publication and at a site
// is not missed.
func TestStatusLooksAgain(t *testing.T) {
	t.Parallel()
	var state publication
	looks := 0
	published, seen := settled(func() publication { return state }, func() int {
		if looks++; looks == 1 {
			state.changes++ // and it is published
		}
		return looks
	})
	require.Equal(t, 2, seen)
	require.False(t, published.behind)

	published, _ = settled(func() publication { return state }, func() int { state.changes++; return 0 })
	require.True(t, published.behind, "it changes all the time")
}
