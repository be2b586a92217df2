package realenvoy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A call that several streams wait for survives the hang-up of the stream that
// asked for it, provided that it was made under the plugin's own context: the SDK
// drops the answer to a call made under the context of a stream that is gone.
func TestSharedCallSurvivesHangUp(t *testing.T) {
	arrived, release := make(chan string, 9), make(chan struct{})
	as := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		<-release
	}))
	t.Cleanup(as.Close)
	process, base := setup{Clusters: cluster("as", as.Listener.Addr().String())}.start(t)

	ctx, hangUp := context.WithCancel(t.Context())
	leader := make(chan error, 1)
	go func() {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, base, http.NoBody)
		if err != nil {
			leader <- err
			return
		}
		request.Header.Set("x-probe", "tick as /introspect")
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
		leader <- err
	}()
	require.Equal(t, "/introspect", <-arrived)
	follower := make(chan string, 1)
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base, http.NoBody)
		if err != nil {
			follower <- err.Error()
			return
		}
		request.Header.Set("x-probe", "wait")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			follower <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			follower <- err.Error()
			return
		}
		follower <- string(body)
	}()
	require.Eventually(t, func() bool {
		stats, err := process.Stats(t.Context(), "http.main.downstream_rq_active")
		return err == nil && stats["http.main.downstream_rq_active"] == 2
	}, patience, 10*time.Millisecond)
	hangUp()
	require.ErrorIs(t, <-leader, context.Canceled)
	require.Eventually(t, func() bool {
		stats, err := process.Stats(t.Context(), "http.main.downstream_rq_active")
		return err == nil && stats["http.main.downstream_rq_active"] == 1
	}, patience, 10*time.Millisecond)
	close(release)
	select {
	case body := <-follower:
		require.Equal(t, "shared", body)
	case <-time.After(patience):
		t.Fatal("the follower got no answer")
	}
}
