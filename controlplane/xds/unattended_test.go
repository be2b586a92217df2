package xds

import (
	"log/slog"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"github.com/stretchr/testify/require"
)

// TestUnattended: where no Envoy of the group is here, an agent gets what was given once
// nobody has come for a while: its Envoy may be at another replica.
func TestUnattended(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	s, err := New(slog.New(slog.DiscardHandler), func() time.Time { return now })
	require.NoError(t, err)
	push := func(name string) {
		_, err := s.Push(t.Context(), Resources{Filter: &corev3.TypedExtensionConfig{Name: name}})
		require.NoError(t, err)
	}
	push("one")
	f := s.fleet
	key := f.openAgent(t.Context())
	_, _, err = f.request(key, &corev3.Node{Id: "a"}, answer{typeURL: lastGoodURL})
	require.NoError(t, err)
	agent := f.streams[key]
	require.Nil(t, f.goodFor(agent))
	now = now.Add(unattended)
	one := f.goodFor(agent)
	require.Same(t, f.given[Default], one)
	// The same again begins no new wait, another does: what was good before stays until then.
	push("one")
	require.Same(t, f.given[Default], f.goodFor(agent))
	one = f.given[Default]
	push("two")
	require.Same(t, one, f.goodFor(agent))
	now = now.Add(unattended)
	two := f.goodFor(agent)
	require.Same(t, f.given[Default], two)

	// An Envoy of the group is waited for.
	push("three")
	now = now.Add(unattended)
	envoy := streamKey{id: 1}
	f.open(t.Context(), envoy)
	_, _, err = f.request(envoy, &corev3.Node{Id: "a"}, answer{typeURL: typeURLs[ECDS]})
	require.NoError(t, err)
	require.Same(t, two, f.goodFor(agent))
}
