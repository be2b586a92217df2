package xds_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/xds"
)

// awaiting is a call of Await that is under way.
type awaiting struct {
	t      *testing.T
	got    chan xds.Awaited
	cancel context.CancelFunc
}

// watched tells when somebody waits for its end.
type watched struct {
	context.Context

	once    sync.Once
	waiting chan struct{}
}

func (w *watched) Done() <-chan struct{} {
	w.once.Do(func() { close(w.waiting) })
	return w.Context.Done()
}

// await returns when the call has ended, or waits for Envoys.
func (r *rig) await(t *testing.T) *awaiting {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	a := &awaiting{t: t, got: make(chan xds.Awaited, 1), cancel: cancel}
	w := &watched{Context: ctx, waiting: make(chan struct{})}
	ended := make(chan struct{})
	go func() {
		a.got <- r.server.Await(w)
		close(ended)
	}()
	select {
	case <-w.waiting:
	case <-ended:
	}
	return a
}

func (a *awaiting) ends(want xds.Awaited) {
	a.t.Helper()
	select {
	case got := <-a.got:
		require.Equal(a.t, want, got)
	case <-a.t.Context().Done():
		require.FailNow(a.t, "it waits on")
	}
}

// waits gives up, and says who had not answered until then.
func (a *awaiting) waits(silent ...string) {
	a.t.Helper()
	a.cancel()
	require.Equal(a.t, silent, (<-a.got).Silent)
}

// has makes an Envoy that has acknowledged what there is.
func (r *rig) has(t *testing.T, node string) *envoy {
	t.Helper()
	e := r.envoy(t)
	e.node = &corev3.Node{Id: node, Cluster: node}
	e.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	resp := e.receive()
	e.acknowledge(r, resp)
	return e
}

func (e *envoy) acknowledge(r *rig, resp *discovery.DiscoveryResponse) {
	e.t.Helper()
	e.answer(resp, resp.GetVersionInfo(), "", filterName)
	r.state(e.t, e.node.GetId(), xds.ECDS, func(s xds.State) bool { return s.Acknowledged == resp.GetVersionInfo() })
}

// TestAwait: it ends when every Envoy has answered for what was pushed, or for
// something later, and with nobody else.
func TestAwait(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.await(t).ends(xds.Awaited{})
	r.push(t, "1", "as", "x")
	r.await(t).ends(xds.Awaited{})
	a := r.has(t, "a")
	b := r.has(t, "b")
	// One that asks for other things has no filter: nothing passes there.
	other := r.envoy(t)
	other.node = &corev3.Node{Id: "other"}
	other.subscribe(resourcev3.ClusterType, "")
	other.receive()
	r.await(t).ends(xds.Awaited{Acknowledged: 2})
	// Nor at one that starts.
	starts := r.envoy(t)
	starts.node = &corev3.Node{Id: "starts"}
	starts.subscribe(resourcev3.ExtensionConfigType, "", filterName)
	starts.receive()
	r.await(t).ends(xds.Awaited{Acknowledged: 2})

	r.push(t, "2", "as", "x")
	w := r.await(t)
	a.acknowledge(r, a.receive())
	r.await(t).waits("b")
	b.acknowledge(r, b.receive())
	w.ends(xds.Awaited{Acknowledged: 2})

	// The same again is in force already; secrets are not waited for.
	r.push(t, "2", "as", "y")
	r.await(t).ends(xds.Awaited{Acknowledged: 2})

	// A later one is as good.
	r.push(t, "3", "as", "y")
	w = r.await(t)
	ra, rb := a.receive(), b.receive()
	r.push(t, "4", "as", "y")
	a.acknowledge(r, ra)
	a.acknowledge(r, a.receive())
	b.answer(rb, rb.GetVersionInfo(), "", filterName)
	rb = b.receive()
	w.ends(xds.Awaited{Acknowledged: 2})
	r.await(t).waits("b")
	b.acknowledge(r, rb)

	// A refusal is an answer.
	r.push(t, "5", "as", "y")
	w = r.await(t)
	a.acknowledge(r, a.receive())
	rb = b.receive()
	b.answer(rb, "", "does not fit", filterName)
	w.ends(xds.Awaited{Acknowledged: 1, Refused: []string{"b"}})
	// It is no answer to the next one.
	r.push(t, "6", "as", "y")
	w = r.await(t)
	a.acknowledge(r, a.receive())
	r.await(t).waits("b")
	b.acknowledge(r, b.receive())
	w.ends(xds.Awaited{Acknowledged: 2})

	// What was before has come back, and what came between may be in force.
	r.push(t, "7", "as", "y")
	rb = b.receive()
	a.acknowledge(r, a.receive())
	r.push(t, "6", "as", "y")
	a.acknowledge(r, a.receive())
	r.await(t).waits("b")
	b.answer(rb, rb.GetVersionInfo(), "", filterName)
	b.acknowledge(r, b.receive())
	r.await(t).ends(xds.Awaited{Acknowledged: 2})

	// Who leaves is not waited for.
	r.push(t, "8", "as", "y")
	w = r.await(t)
	a.acknowledge(r, a.receive())
	require.NoError(t, b.stream.CloseSend())
	w.ends(xds.Awaited{Acknowledged: 1})
}

// TestAwaitIncremental: an Envoy that does not say what it has may have anything.
func TestAwaitIncremental(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "1", "as", "x")
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(r.conn).DeltaAggregatedResources(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(&discovery.DeltaDiscoveryRequest{Node: &corev3.Node{Id: "delta"}, TypeUrl: resourcev3.ExtensionConfigType, ResourceNamesSubscribe: []string{filterName}}))
	resp, err := stream.Recv()
	require.NoError(t, err)
	w := r.await(t)
	r.await(t).waits("delta")
	require.NoError(t, stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: resourcev3.ExtensionConfigType, ResponseNonce: resp.GetNonce()}))
	w.ends(xds.Awaited{Acknowledged: 1})
}

// TestAwaitManyPushes: what is remembered of a group is bounded.
func TestAwaitManyPushes(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.push(t, "first", "as", "x")
	a := r.has(t, "a")
	r.push(t, "second", "as", "x")
	resp := a.receive()
	for i := range 1000 {
		r.push(t, fmt.Sprint("push ", i), "as", "x")
	}
	w := r.await(t)
	a.acknowledge(r, resp)
	r.await(t).waits("a")
	a.acknowledge(r, a.receive())
	w.ends(xds.Awaited{Acknowledged: 1})
}

// TestAwaitGroups: each group has its own version.
func TestAwaitGroups(t *testing.T) {
	t.Parallel()
	r := start(t)
	give := func(a, b string) {
		_, err := r.server.PushGroups(t.Context(), []xds.Group{
			{Name: "a", Has: byCluster("a"), Resources: filterOf(t, a)}, {Name: "b", Has: byCluster("b"), Resources: filterOf(t, b)},
		})
		require.NoError(t, err)
	}
	give("1", "1")
	a := r.has(t, "a")
	r.has(t, "b")
	give("2", "1")
	w := r.await(t)
	r.await(t).waits("a")
	a.acknowledge(r, a.receive())
	w.ends(xds.Awaited{Acknowledged: 2})
}

func filterOf(t *testing.T, text string) xds.Resources {
	t.Helper()
	return xds.Resources{Filter: typed(t, text)}
}
