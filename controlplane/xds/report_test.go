package xds

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	prom "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/umagate/umagate/plugin/decision"
)

func counter(name string, value float64) *prom.MetricFamily {
	return &prom.MetricFamily{Name: new(name), Type: prom.MetricType_COUNTER.Enum(), Metric: []*prom.Metric{{Counter: &prom.Counter{Value: new(value)}}}}
}

func TestCallCounts(t *testing.T) {
	t.Parallel()
	message, err := proto.Marshal(&metrics.StreamMetricsMessage{
		Identifier: &metrics.StreamMetricsMessage_Identifier{},
		EnvoyMetrics: []*prom.MetricFamily{
			counter("cluster.umagate.site.photos.upstream_rq_total", 7),
			counter("wasmcustom.umagate.site.pho-to_s.operation.introspection.outcome.ok.as_calls_total", 3),
			counter("wasmcustom.umagate.site.photos.operation.permission.outcome.unreachable.as_calls_total", 4),
			counter("wasmcustom.umagate.site.photos.result.allow.reason.permitted.decisions_total", 5),
			counter("wasmcustom.umagate.site.photos.as_calls_total", 6),
			counter("wasm.umagate.vm_reload_backoff", 8),
			counter("wasm.umagate.vm_reload_"+"\x1b[2J", 8),
			counter("wasm.another.vm_reload_failure", 9),
			counter("wasmcustom.umagate.module.0123456789ab.level.07.module_starts_total", 2),
			counter("wasmcustom.umagate.module.0123456789a.level.07.module_starts_total", 2),
			counter("wasmcustom.umagate.module.0123456789ag.level.07.module_starts_total", 2),
			counter("wasmcustom.umagate.module.0123456789ab.level.700.module_starts_total", 2),
			counter("wasmcustom.umagate.module.0123456789ab.module_starts_total", 2),
		},
	})
	require.NoError(t, err)
	counts, err := callCounts(message)
	require.NoError(t, err)
	require.Equal(t, map[countKey]uint64{{"pho-to_s", "introspection", "ok"}: 3, {"photos", "permission", "unreachable"}: 4, {"", reloads, reloadBackoff}: 8, {"0123456789ab", starts, "07"}: 2}, counts)
	for n := range message {
		_, _ = callCounts(message[:n]) // no panic
	}
}

// TestReportsOfWhatIsKnown: an Envoy chooses no word that somebody is shown.
func TestReportsOfWhatIsKnown(t *testing.T) {
	t.Parallel()
	const steers = "\x1b]0;owned\x07\x1b[2J\n"
	families := []*prom.MetricFamily{
		counter("wasmcustom.umagate.site.photos.operation."+steers+".outcome.error.as_calls_total", 9),
		counter("wasmcustom.umagate.site.photos.operation.permission.outcome."+steers+".as_calls_total", 9),
		counter("wasmcustom.umagate.site.pho"+steers+"tos.operation.permission.outcome.error.as_calls_total", 9),
		counter("wasmcustom.umagate.site."+strings.Repeat("a", 64)+".operation.permission.outcome.error.as_calls_total", 9),
		counter("wasmcustom.umagate.site.photos.operation.instance_lookup.outcome.error.as_calls_total", 9),
		counter("wasmcustom.umagate.site.photos.operation..outcome..as_calls_total", 9),
	}
	known := map[countKey]uint64{}
	for p := range decision.Purposes {
		for o := range decision.CallOutcomes {
			if p.ToAS() {
				families = append(families, counter("wasmcustom.umagate.site.photos.operation."+p.String()+".outcome."+o.String()+".as_calls_total", 1))
				known[countKey{"photos", p.String(), o.String()}] = 1
			}
		}
	}
	require.Len(t, known, 3*7)
	message, err := proto.Marshal(&metrics.StreamMetricsMessage{EnvoyMetrics: families})
	require.NoError(t, err)
	counts, err := callCounts(message)
	require.NoError(t, err)
	require.Equal(t, known, counts)
}

// TestReportsOfWhoHasLeft: a connection whose Envoy has left says nothing of the one that
// takes its node.id.
func TestReportsOfWhoHasLeft(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	s, err := New(slog.New(slog.DiscardHandler), func() time.Time { return now })
	require.NoError(t, err)
	_, err = s.Push(t.Context(), Resources{Filter: &corev3.TypedExtensionConfig{Name: "one"}})
	require.NoError(t, err)
	f := s.fleet
	join := func(id int64, address string, c *connection) streamKey {
		key := streamKey{id: id}
		f.open(context.WithValue(t.Context(), closerKey{}, &closer{address: address, connection: c, close: func(error) {}}), key)
		_, _, err := f.request(key, &corev3.Node{Id: "edge-1"}, answer{typeURL: typeURLs[ECDS]})
		require.NoError(t, err)
		return key
	}
	failing := func(c *connection) []Calls {
		f.report(c, map[countKey]uint64{}, time.Time{})
		now = now.Add(5 * time.Second)
		f.report(c, map[countKey]uint64{{"photos", "introspection", "unreachable"}: 9}, time.Time{})
		return s.Envoys()[0].Failing
	}
	left, there := &connection{}, &connection{}
	first := join(1, "10.0.0.66:1", left)
	require.NotEmpty(t, failing(left))
	f.closed(first) // it ends its stream, and keeps its connection
	join(2, "10.0.0.1:1", there)
	require.Len(t, s.Envoys(), 1)
	require.Empty(t, failing(left), "of who has left")
	require.NotEmpty(t, failing(there))
	// It comes back as one more of that node.
	join(3, "10.0.0.66:1", left)
	failing(left)
	require.Len(t, s.Envoys(), 2)
	require.NotEmpty(t, s.Envoys()[1].Failing)
}

func FuzzCallCounts(f *testing.F) {
	message, err := proto.Marshal(&metrics.StreamMetricsMessage{EnvoyMetrics: []*prom.MetricFamily{counter("wasmcustom.umagate.site.a.operation.b.outcome.c.as_calls_total", 1)}})
	require.NoError(f, err)
	f.Add(message)
	f.Fuzz(func(t *testing.T, message []byte) {
		counts, err := callCounts(message)
		require.True(t, err == nil || counts == nil)
		_ = sentAt(message) // no panic
	})
}

func TestReports(t *testing.T) {
	t.Parallel()
	var r reports
	now := time.Unix(1_700_000_000, 0)
	ok, bad, refused := countKey{"photos", "introspection", "ok"}, countKey{"photos", "introspection", "unreachable"}, countKey{"photos", "introspection", "unauthorized"}
	report := func(counts map[countKey]uint64) []Calls {
		now = now.Add(5 * time.Second)
		r.take(now, counts)
		return r.failing(now)
	}
	require.Empty(t, report(map[countKey]uint64{ok: 100, bad: 50}), "what was before the first report is of no day that is known")
	require.Empty(t, report(map[countKey]uint64{ok: 200, bad: 51}), "one in a hundred")
	told := report(map[countKey]uint64{ok: 200, bad: 61, refused: 2})
	require.Equal(t, []Calls{{Site: "photos", Operation: "introspection", Outcome: "unreachable", Since: now, Failed: 12, All: 12}}, told)
	since := now
	told = report(map[countKey]uint64{ok: 202, bad: 61, refused: 5})
	require.Equal(t, []Calls{{Site: "photos", Operation: "introspection", Outcome: "unauthorized", Since: since, Failed: 3, All: 5}}, told)
	require.Empty(t, report(map[countKey]uint64{ok: 202, bad: 61, refused: 5}), "nobody calls any more")
	require.NotEmpty(t, report(map[countKey]uint64{ok: 202, bad: 70, refused: 5}))
	require.Empty(t, r.failing(now.Add(ReportsFor+time.Second)), "it has not been heard of since")
	// A report in parts is judged as one.
	r.take(now.Add(5*time.Second), map[countKey]uint64{bad: 80})
	r.take(now.Add(5*time.Second+time.Millisecond), map[countKey]uint64{ok: 999})
	require.NotEmpty(t, r.failing(now.Add(6*time.Second)))
	// What is kept of one Envoy is bounded.
	many := map[countKey]uint64{}
	for i := range 2 * maxCounts {
		many[countKey{fmt.Sprint(i), "introspection", "ok"}] = 1
	}
	report(many)
	require.Len(t, r.counts, maxCounts)
}

// TestReportsOfStaleTokens: that tokens are believed is told from the first report of it
// until the AS answers again.
func TestReportsOfStaleTokens(t *testing.T) {
	t.Parallel()
	key, known := keyOf("wasmcustom.umagate.site.pho-to_s.result.stale.token_lookups_total")
	require.True(t, known)
	require.Equal(t, countKey{site: "pho-to_s", operation: staleLookups}, key)
	for _, name := range []string{
		"wasmcustom.umagate.site.photos.result.hit.token_lookups_total", "wasmcustom.umagate.site.photos.result.stale.instance_lookups_total",
		"umagate.site.photos.result.stale.token_lookups_total", "wasmcustom.umagate.site.pho\x1b[2Jtos.result.stale.token_lookups_total",
	} {
		_, known = keyOf(name)
		require.False(t, known, name)
	}

	var r reports
	now := time.Unix(1_700_000_000, 0)
	stale, ok, ticket := countKey{site: "photos", operation: staleLookups}, countKey{"photos", "introspection", "ok"}, countKey{"photos", "permission", "ok"}
	report := func(counts map[countKey]uint64) []Stale {
		now = now.Add(5 * time.Second)
		r.take(now, counts)
		return r.stales(now)
	}
	require.Empty(t, report(map[countKey]uint64{stale: 7}), "of last week")
	first := report(map[countKey]uint64{stale: 10})
	require.Equal(t, []Stale{{Site: "photos", Since: now, Requests: 3, last: now}}, first)
	require.Empty(t, r.failing(now), "it is no call")
	since := now
	require.Equal(t, since, report(map[countKey]uint64{ticket: 5})[0].Since, "nobody has asked, and the AS said nothing of a token")
	told := report(map[countKey]uint64{stale: 12, ok: 1})
	require.Equal(t, []Stale{{Site: "photos", Since: since, Answered: now, Requests: 5, last: now}}, told, "it answers one worker of two")
	require.Empty(t, report(map[countKey]uint64{ok: 2}), "it answers")
	require.Len(t, report(map[countKey]uint64{stale: 13}), 1)
	require.Empty(t, r.stales(now.Add(ReportsFor+time.Second)), "it has not been heard of since")
	for range int(staleFor / (5 * time.Second)) {
		require.Len(t, report(nil), 1)
	}
	require.Empty(t, report(nil))
}

// TestClockOfAnEnvoy: a clock that differs is told once two reports say so.
func TestClockOfAnEnvoy(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	family := counter("cluster.x.y", 1)
	family.Metric[0].TimestampMs = new(now.UnixMilli())
	message, err := proto.Marshal(&metrics.StreamMetricsMessage{Identifier: &metrics.StreamMetricsMessage_Identifier{}, EnvoyMetrics: []*prom.MetricFamily{family, counter("a.b", 1)}})
	require.NoError(t, err)
	require.True(t, now.Equal(sentAt(message)))
	without, err := proto.Marshal(&metrics.StreamMetricsMessage{EnvoyMetrics: []*prom.MetricFamily{counter("a.b", 1)}})
	require.NoError(t, err)
	for n := range message {
		_ = sentAt(message[:n]) // no panic
	}
	require.True(t, sentAt(without).IsZero())

	var r reports
	report := func(ahead time.Duration) *Clock {
		now = now.Add(5 * time.Second)
		r.take(now, nil)
		r.compare(now, now.Add(ahead))
		return r.differs(now)
	}
	require.Nil(t, report(-8*time.Second), "it was on its way")
	require.Nil(t, report(time.Hour), "once")
	since := now
	require.Equal(t, &Clock{AheadMS: 3_600_000, Since: since}, report(time.Hour))
	require.Equal(t, &Clock{AheadMS: -60_000, Since: since}, report(-time.Minute))
	require.Nil(t, r.differs(now.Add(ReportsFor+time.Second)))
	require.Nil(t, report(0))
	r.take(now, nil)
	r.compare(now, time.Time{})
	require.Nil(t, r.differs(now), "it does not say")
}
