package xds_test

import (
	"fmt"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/xds"
)

// TestWhoLeavesGetsNothing: an Envoy that a push takes out of its group is sent
// nothing of that push.
func TestWhoLeavesGetsNothing(t *testing.T) {
	leaked := 0
	const tries = 20
	for i := range tries {
		r := start(t)
		_, err := r.server.PushGroups(t.Context(), []xds.Group{{Name: "a", Has: byCluster("edge"), Resources: secretOf("before")}})
		require.NoError(t, err)
		e := r.envoy(t)
		e.node = &corev3.Node{Id: fmt.Sprint(i), Cluster: "edge"}
		e.subscribe(resourcev3.SecretType, "", "pat")
		resp := e.receive()
		e.answer(resp, resp.GetVersionInfo(), "", "pat")
		e.subscribe(resourcev3.ClusterType, "")
		e.receive() // so that the acknowledgement was taken
		// This Envoy is of group a no more, whose secret is replaced by the same push.
		_, err = r.server.PushGroups(t.Context(), []xds.Group{{Name: "a", Has: byCluster("other"), Resources: secretOf("after")}})
		require.NoError(t, err)
		for resp := range e.responses {
			if resp.GetTypeUrl() == resourcev3.SecretType && inline(t, resp) == "Bearer of-after" {
				leaked++
			}
		}
	}
	require.Zero(t, leaked, "of %d", tries)
}

// TestForget: who has gone on purpose is forgotten, who is there is not.
func TestForget(t *testing.T) {
	r := start(t)
	r.push(t, "one", "as", "pat")
	e := r.envoy(t)
	e.subscribe(resourcev3.ClusterType, "")
	e.receive()
	known, connected := r.server.Forget(edge)
	require.True(t, known)
	require.True(t, connected)
	require.NoError(t, e.stream.CloseSend())
	require.Eventually(t, func() bool { return !r.server.Envoys()[0].Connected }, within, time.Millisecond)
	known, connected = r.server.Forget(edge)
	require.True(t, known)
	require.False(t, connected)
	require.Empty(t, r.server.Envoys())
	known, _ = r.server.Forget(edge)
	require.False(t, known)
}
