package server_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/demo/devas"
)

// otherTime has answers say that it is another time.
type otherTime struct{ ahead atomic.Int64 }

// RoundTrip implements [http.RoundTripper].
func (o *otherTime) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		resp.Header.Set("Date", time.Now().Add(time.Duration(o.ahead.Load())).UTC().Format(http.TimeFormat))
	}
	return resp, err
}

// TestRevocationsByTheASClock: of the host's clock and the AS's, that one counts by which
// a revocation reaches further. Status says by how much they differ.
func TestRevocationsByTheASClock(t *testing.T) {
	t.Parallel()
	as := servertest.StartAS(t, devas.Options{})
	p := newPlane(t)
	clock := &otherTime{}
	p.Options.Transport = clock
	p.Options.Intervals.Site.Health = 50 * time.Millisecond
	p.Write(p.config(as.Issuer(), "albums"))
	p.Start()
	p.Until("all is well", allWell)
	for _, ahead := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		clock.ahead.Store(int64(ahead))
		told := "behind this host's"
		if ahead > 0 {
			told = "ahead of this host's"
		}
		p.Until("it is told", func(s server.Status) bool { return strings.Contains(said(s, health.ClockSkew), told) })
		asked := time.Now()
		code, made := p.post(http.MethodPost, "/v1/revocations", `{"subject":"`+told+`","site":"photos"}`)
		require.Equal(t, http.StatusCreated, code)
		reach := asked.Add(max(0, ahead) - time.Minute)
		require.True(t, made.IssuedBefore.After(reach), "%s", made.IssuedBefore)
		require.True(t, made.ExpiresAt.After(reach.Add(24*time.Hour)), "%s", made.ExpiresAt)
	}
}
