package xds_test

import (
	"context"
	"errors"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/xds"
)

// watching is an agent that is connected.
type watching struct {
	t    *testing.T
	got  chan xds.Kept
	says chan error
	end  chan error
}

func (r *rig) watch(t *testing.T, node string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{t: t, got: make(chan xds.Kept), says: make(chan error), end: make(chan error, 1)}
	go func() {
		w.end <- xds.Watch(ctx, r.conn, &corev3.Node{Id: node, Cluster: node}, func(k xds.Kept) error {
			w.got <- k
			return <-w.says
		})
	}()
	t.Cleanup(cancel)
	return w
}

// receive takes the next message, and answers it.
func (w *watching) receive(answer error) xds.Kept {
	w.t.Helper()
	select {
	case k := <-w.got:
		w.says <- answer
		return k
	case err := <-w.end:
		require.FailNow(w.t, "it has ended", "%v", err)
		return xds.Kept{}
	}
}

// TestLastGood: an agent is given what an Envoy of its group has in force, whole, and is
// no Envoy.
func TestLastGood(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "1", "as", "secret-1")
	e := r.envoy(t)
	e.node = &corev3.Node{Id: "a", Cluster: "a"}
	e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	first := e.receive()

	// Nothing is good before the Envoy has accepted it.
	w := r.watch(t, "a")
	none := w.receive(nil)
	require.Equal(t, xds.Kept{Group: xds.Default}, none)
	e.acknowledge(r, first)
	one := w.receive(nil)
	require.NotEmpty(t, one.Version)
	resources, err := xds.Unpack(one.Resources)
	require.NoError(t, err)
	require.Equal(t, filterName, resources.Filter.GetName())
	require.Len(t, resources.Clusters, 1)
	require.Len(t, resources.Secrets, 1)
	require.Equal(t, "Bearer secret-1", resources.Secrets[0].GetGenericSecret().GetSecret().GetInlineString())

	// It is no Envoy: it is told of apart, and not waited for.
	require.Len(t, r.server.Envoys(), 1)
	require.Eventually(t, func() bool {
		agents := r.server.Agents()
		return len(agents) == 1 && agents[0].NodeID == "a" && agents[0].Types[xds.LastGood].Acknowledged == one.Version
	}, time.Minute, time.Millisecond)
	r.await(t).ends(xds.Awaited{Acknowledged: 1})

	// What the Envoy refuses is not good; what it accepts then is. That it cannot be kept
	// is told, without a secret.
	r.push(t, "2", "as", "secret-1")
	refused := e.receive()
	e.answer(refused, first.GetVersionInfo(), "no", filterName)
	r.state(t, "a", xds.ECDS, func(s xds.State) bool { return s.Refused != "" })
	r.push(t, "3", "as", "secret-1")
	e.acknowledge(r, e.receive())
	three := w.receive(errors.New("no room for secret-1"))
	resources, err = xds.Unpack(three.Resources)
	require.NoError(t, err)
	require.Equal(t, typed(t, "3").String(), resources.Filter.String())
	require.Eventually(t, func() bool {
		state := r.server.Agents()[0].Types[xds.LastGood]
		return state.Refused == three.Version && state.ErrorMessage == "no room for [redacted]" && state.Acknowledged == one.Version
	}, time.Minute, time.Millisecond, "%v", r.server.Agents())
}
