package xds

import (
	"cmp"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	metrics "github.com/envoyproxy/go-control-plane/envoy/service/metrics/v3"
	prom "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/umagate/umagate/controlplane/printable"
	"github.com/umagate/umagate/plugin/decision"
)

// ReportsFor is how long a report of an Envoy says how things stand.
const ReportsFor = 15 * time.Second

const (
	// reportEvery is the least time between two judgements of what an Envoy reports, which
	// it does every 5 s. What it reports in parts comes at once.
	reportEvery = 4 * time.Second
	// staleFor is how long after the last stale token it is still told that they are
	// believed, unless the AS answers.
	staleFor = time.Minute
	// clockTolerance is by how much clocks may differ, and a report be late.
	clockTolerance = 10 * time.Second
	// tolerated is one failed call of so many.
	tolerated = 10
	// maxCounts bounds what is kept of one Envoy. A site has some twenty.
	maxCounts = 10_000
	// maxReport bounds a report in bytes: Envoy sends all that it counts, some 100 bytes a
	// count.
	maxReport = 16 << 20
	// maxSite is the most that a site's name has, in bytes.
	maxSite = 63
)

// The filter's counters of calls, and of tokens that were believed while the AS could not
// be asked, as Envoy names them. What stands between has the labels.
const (
	countsPrefix = "wasmcustom.umagate.site."
	callsSuffix  = ".as_calls_total"
	staleSuffix  = ".result.stale.token_lookups_total"
)

// staleLookups is the operation of a count of stale tokens. No call has it.
const staleLookups = "stale_lookups"

// Calls are those that an Envoy made to the AS of a site and that fail.
type Calls struct {
	Site string `json:"site"`
	// Operation is introspection, permission or evaluation, Outcome how most of those that
	// failed ended.
	Operation string    `json:"operation"`
	Outcome   string    `json:"outcome"`
	Since     time.Time `json:"since"`
	// Failed of All calls did, in the time of the last report.
	Failed uint64 `json:"failed"`
	All    uint64 `json:"all"`
}

// Stale are the requests of a site that an Envoy let go on with what was known of their
// tokens, since it could not ask the AS.
type Stale struct {
	Site string `json:"site"`
	// Since is when that began. Answered is when the AS last said something about a token
	// meanwhile, as it may say it to one worker and not to another; zero for not once.
	Since    time.Time `json:"since"`
	Answered time.Time `json:"answered,omitzero"`
	// Requests is how many there were.
	Requests uint64 `json:"requests"`

	last time.Time // when one was reported last
}

// Clock is how an Envoy's clock differs from this host's. The zero value is one that does
// not.
type Clock struct {
	// AheadMS is by how much it is ahead, in milliseconds; negative if it is behind.
	AheadMS int64     `json:"ahead_ms"`
	Since   time.Time `json:"since"`
}

// countKey is what a counter counts.
type countKey struct{ site, operation, outcome string }

// callsKey is what is judged together.
type callsKey struct{ site, operation string }

// reports are what one Envoy has reported of itself.
type reports struct {
	at     time.Time // the last one
	judged time.Time
	counts map[countKey]uint64
	grown  map[countKey]uint64 // since they were judged
	calls  map[callsKey]Calls  // those that fail
	stale  map[string]Stale    // by site
	clock  Clock
	traps  Traps
	module *Module // nil for one that does not say what it is

	withheld map[countKey]Withheld
}

// take reads the counts of a message.
func (r *reports) take(now time.Time, counts map[countKey]uint64) {
	first := r.at.IsZero()
	r.noteModule(counts, first)
	if first {
		*r = reports{
			module: r.module, judged: now, counts: map[countKey]uint64{}, grown: map[countKey]uint64{}, calls: map[callsKey]Calls{}, stale: map[string]Stale{},
			withheld: map[countKey]Withheld{},
		}
	}
	r.at = now
	for key, n := range counts {
		before, known := r.counts[key]
		if !known && len(r.counts) >= maxCounts {
			continue
		}
		r.counts[key] = n
		// What the first report says may be of last week.
		if !first && n > before {
			r.grown[key] += n - before
		}
	}
	if now.Sub(r.judged) >= reportEvery {
		r.judge(now)
	}
}

// judge finds the calls that fail, of those that were reported since the last time.
func (r *reports) judge(now time.Time) {
	r.judgeStale(now)
	r.judgeTraps(now)
	r.judgeWithheld(now)
	failing, most := map[callsKey]Calls{}, map[callsKey]uint64{}
	for key, n := range r.grown {
		switch key.operation {
		case staleLookups, reloads, starts, withheldMessages:
			continue
		}
		at := callsKey{key.site, key.operation}
		c := failing[at]
		if c.All += n; key.outcome != "ok" {
			c.Failed += n
			if n > most[at] {
				most[at], c.Outcome = n, key.outcome
			}
		}
		failing[at] = c
	}
	for at, c := range failing {
		if c.Failed == 0 || c.Failed*tolerated < c.All {
			delete(failing, at)
			continue
		}
		c.Site, c.Operation, c.Since = at.site, at.operation, now
		if before, ok := r.calls[at]; ok {
			c.Since = before.Since
		}
		failing[at] = c
	}
	r.judged, r.calls = now, failing
	clear(r.grown)
}

// judgeStale finds the sites whose stale tokens are believed. Where few ask, some time
// without one is no end; that the AS answers is.
func (r *reports) judgeStale(now time.Time) {
	answered := map[string]bool{}
	for key, n := range r.grown {
		switch {
		case n == 0:
		case key.operation == staleLookups:
			s, ok := r.stale[key.site]
			if !ok {
				s = Stale{Site: key.site, Since: now}
			}
			s.Requests, s.last = s.Requests+n, now
			r.stale[key.site] = s
		case key.outcome == decision.CallOK.String() && (key.operation == decision.PurposeIntrospect.String() || key.operation == decision.PurposeEvaluate.String()):
			answered[key.site] = true
		}
	}
	for site, s := range r.stale {
		switch {
		case s.last.Equal(now) && answered[site]:
			s.Answered = now
			r.stale[site] = s
		case answered[site], now.Sub(s.last) > staleFor:
			delete(r.stale, site)
		}
	}
}

// stales lists the sites whose stale tokens are believed, as far as the last report is not
// too old to say.
func (r *reports) stales(now time.Time) []Stale {
	if now.Sub(r.at) > ReportsFor {
		return nil
	}
	return slices.SortedFunc(maps.Values(r.stale), func(a, b Stale) int { return cmp.Compare(a.Site, b.Site) })
}

// compare notes when an Envoy says that it sent what is here now. A report that has waited
// on its way looks like a clock that is behind, but not by as much.
func (r *reports) compare(now, sent time.Time) {
	ahead := sent.Sub(now)
	if sent.IsZero() || ahead.Abs() <= clockTolerance {
		r.clock = Clock{}
		return
	}
	r.clock.AheadMS = ahead.Milliseconds()
	if r.clock.Since.IsZero() {
		r.clock.Since = now
	}
}

// differs returns how the clock differs, once two reports have said so.
func (r *reports) differs(now time.Time) *Clock {
	if r.clock.Since.IsZero() || r.at.Sub(r.clock.Since) < reportEvery || now.Sub(r.at) > ReportsFor {
		return nil
	}
	return new(r.clock)
}

// failing lists the calls that fail, as far as the last report is not too old to say.
func (r *reports) failing(now time.Time) []Calls {
	if now.Sub(r.at) > ReportsFor {
		return nil
	}
	out := make([]Calls, 0, len(r.calls))
	for _, c := range r.calls {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Calls) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Operation, b.Operation))
	})
	return out
}

// receiver takes what Envoys count (envoy.service.metrics.v3). A stream is of the Envoy
// whose connection it is on: what a message says of its node does not count.
type receiver struct {
	metrics.UnimplementedMetricsServiceServer

	fleet *fleet
}

// StreamMetrics implements [metrics.MetricsServiceServer].
func (r receiver) StreamMetrics(stream metrics.MetricsService_StreamMetricsServer) error {
	connection := closerOf(stream.Context()).connection
	for {
		// Of all that Envoy counts, a few counters are ours: the rest is not even decoded.
		var raw emptypb.Empty
		if err := stream.RecvMsg(&raw); errors.Is(err, io.EOF) {
			return stream.SendAndClose(&metrics.StreamMetricsResponse{})
		} else if err != nil {
			return err
		}
		message := raw.ProtoReflect().GetUnknown()
		counts, err := callCounts(message)
		if err != nil {
			return err
		}
		r.fleet.report(connection, counts, sentAt(message))
	}
}

// report records what the Envoy of a connection counts. One that has not said who it is,
// or that has left, is not heard: its node.id may be another's by now.
func (f *fleet) report(c *connection, counts map[countKey]uint64, sent time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c != nil && c.member != nil && c.member.connection == c {
		now := f.registry.now()
		c.member.reports.take(now, counts)
		c.member.reports.compare(now, sent)
	}
}

// The fields of a message that are read.
const (
	fieldMetrics protowire.Number = 2 // of StreamMetricsMessage
	fieldName    protowire.Number = 1 // of MetricFamily
)

// callCounts reads the filter's counters of calls, of stale tokens and of messages that were
// withheld, what the filter's module says of itself, and Envoy's counters of the filter's VMs,
// from a StreamMetricsMessage.
func callCounts(message []byte) (map[countKey]uint64, error) {
	out := map[countKey]uint64{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		if number != fieldMetrics || kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return nil, protowire.ParseError(n)
			}
			message = message[n:]
			continue
		}
		family, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return nil, protowire.ParseError(n)
		}
		message = message[n:]
		key, ok := keyOf(nameOf(family))
		if !ok {
			continue
		}
		var decoded prom.MetricFamily
		if err := proto.Unmarshal(family, &decoded); err != nil {
			return nil, err
		}
		for _, m := range decoded.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				out[key] += uint64(v)
			}
		}
	}
	return out, nil
}

// sentAt reads when Envoy counted what is in a StreamMetricsMessage, by its own clock;
// zero where it does not say so.
func sentAt(message []byte) time.Time {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			break
		}
		message = message[n:]
		size := protowire.ConsumeFieldValue(number, kind, message)
		if size < 0 {
			break
		}
		if number == fieldMetrics && kind == protowire.BytesType {
			var first prom.MetricFamily
			family, _ := protowire.ConsumeBytes(message)
			if proto.Unmarshal(family, &first) != nil || len(first.GetMetric()) == 0 || first.GetMetric()[0].GetTimestampMs() == 0 {
				break
			}
			return time.UnixMilli(first.GetMetric()[0].GetTimestampMs())
		}
		message = message[size:]
	}
	return time.Time{}
}

// nameOf returns the name of a MetricFamily, which Envoy writes first.
func nameOf(family []byte) string {
	number, kind, n := protowire.ConsumeTag(family)
	if n < 0 || number != fieldName || kind != protowire.BytesType {
		return ""
	}
	name, m := protowire.ConsumeBytes(family[n:])
	if m < 0 {
		return ""
	}
	return string(name)
}

// keyOf takes the name of a counter apart. One that the filter does not have is
// none: what is shown of an Envoy's reports are the filter's words and a site's name.
func keyOf(name string) (key countKey, ok bool) {
	if key, ok := reloadOf(name); ok {
		return key, true
	}
	if key, ok := startOf(name); ok {
		return key, true
	}
	if key, ok := withheldOf(name); ok {
		return key, true
	}
	rest, begins := strings.CutPrefix(name, countsPrefix)
	if site, ends := strings.CutSuffix(rest, staleSuffix); begins && ends {
		return countKey{site: site, operation: staleLookups}, site == printable.Line(site, maxSite)
	}
	rest, ends := strings.CutSuffix(rest, callsSuffix)
	site, rest, ok1 := strings.Cut(rest, ".operation.")
	operation, outcome, ok2 := strings.Cut(rest, ".outcome.")
	ok = begins && ends && ok1 && ok2 && isOperation(operation) && isOutcome(outcome)
	return countKey{site, operation, outcome}, ok && site == printable.Line(site, maxSite)
}

func isOperation(s string) bool {
	for p := range decision.Purposes {
		if p.ToAS() && p.String() == s {
			return true
		}
	}
	return false
}

func isOutcome(s string) bool {
	for o := range decision.CallOutcomes {
		if o.String() == s {
			return true
		}
	}
	return false
}
