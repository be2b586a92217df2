package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
)

// metrics are what /metrics shows besides Go's own.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.HistogramVec
	// instances counts what filters asked and told of instances.
	instances *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "umagate_as_call_duration_seconds",
			Help: "Calls of the control plane to the authorization server, by operation and the status of the answer (none: no answer).",
		}, []string{"site", "operation", "method", "code"}),
	}
	m.instances = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "umagate_instance_requests_total",
		Help: "What the filters of Envoys asked (lookup, signing_key) and told (register, remove) of instances, by the status of the answer.",
	}, []string{"call", "code"})
	m.registry.MustRegister(m.calls, m.instances, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// observeInstances counts an answer to a filter.
func (m *metrics) observeInstances(call string, status int) {
	m.instances.WithLabelValues(call, strconv.Itoa(status)).Inc()
}

// observe measures the calls of a site.
func (m *metrics) observe(site string, next http.RoundTripper) http.RoundTripper {
	return observed{calls: m.calls.MustCurryWith(prometheus.Labels{"site": site}), next: next}
}

// observed measures calls to an AS, also those without an answer.
type observed struct {
	calls prometheus.ObserverVec
	next  http.RoundTripper
}

// RoundTrip implements [http.RoundTripper].
func (o observed) RoundTrip(req *http.Request) (*http.Response, error) {
	start, code := time.Now(), "none"
	resp, err := o.next.RoundTrip(req)
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	o.calls.WithLabelValues(string(as.OperationOf(req.Context())), req.Method, code).Observe(time.Since(start).Seconds())
	return resp, err
}

// statusCollector turns status into gauges at each scrape.
type statusCollector struct {
	status   func() Status
	refusals func() []xds.Refusals

	ok, condition, leader, published, phase, resources, instances, patExpiry, failing, envoys, current, refusing, refused, away *prometheus.Desc
}

func newStatusCollector(status func() Status, refusals func() []xds.Refusals) *statusCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("umagate_"+name, help, labels, nil)
	}
	return &statusCollector{
		status:    status,
		refusals:  refusals,
		ok:        desc("ok", "1 when umagate status has no condition to tell."),
		condition: desc("condition", "1 for a condition that umagate status tells, 0 for each that it does not.", "condition", "site"),
		leader:    desc("leader", "1 when this replica registers, renews and synchronises."),
		published: desc("published_timestamp_seconds", "When the configuration was last published."),
		phase:     desc("site_phase", "1 for the phase that a site is in.", "site", "phase"),
		resources: desc("site_resources", "Resources of a site: declared, registered, and no longer declared but too many to be deleted unasked.", "site", "state"),
		instances: desc("site_instances", "Instances of a site's resources, by the declared name.", "site", "resource", "state"),
		patExpiry: desc("site_pat_expiry_timestamp_seconds", "When a site's PAT expires.", "site"),
		failing:   desc("site_failed_attempts", "Attempts of a site's current step that failed, 0 when all is well.", "site"),
		envoys:    desc("envoys_connected", "Envoys connected by xDS.", "group"),
		current:   desc("envoys_current", "Connected Envoys that have accepted all that was pushed.", "group"),
		refusing:  desc("envoys_refusing", "Connected Envoys that refused what was last sent.", "group", "type"),
		refused:   desc("envoy_refused_total", "Configurations that an Envoy refused.", "group", "type"),
		away:      desc("envoys_turned_away", "Envoys that no group has and that go on trying."),
	}
}

// Describe implements [prometheus.Collector].
func (c *statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.ok, c.condition, c.leader, c.published, c.phase, c.resources, c.instances, c.patExpiry, c.failing, c.envoys, c.current, c.refusing, c.refused, c.away} {
		ch <- d
	}
}

// collectConditions shows each condition once for each site that has it, and each other
// kind as 0.
func collectConditions(conditions []health.Condition, gauge func(name, site string, v float64)) {
	type one struct{ name, site string }
	seen, kinds := map[one]bool{}, map[string]bool{}
	for _, c := range conditions {
		if key := (one{c.Name, c.Site}); !seen[key] {
			seen[key], kinds[c.Name] = true, true
			gauge(c.Name, c.Site, 1)
		}
	}
	for _, k := range health.Kinds() {
		if !kinds[k.Name] {
			gauge(k.Name, "", 0)
		}
	}
}

// Collect implements [prometheus.Collector].
func (c *statusCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	one := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge(c.ok, one(s.OK))
	collectConditions(s.Conditions, func(name, site string, v float64) { gauge(c.condition, v, name, site) })
	gauge(c.leader, one(s.Leader))
	if !s.PublishedAt.IsZero() {
		gauge(c.published, float64(s.PublishedAt.Unix()))
	}
	for _, site := range s.Sites {
		for _, p := range registration.Phases() {
			gauge(c.phase, one(site.Phase == p), site.Name, string(p))
		}
		gauge(c.resources, float64(site.Resources.Declared), site.Name, "declared")
		gauge(c.resources, float64(site.Resources.Registered), site.Name, "registered")
		gauge(c.resources, float64(site.Resources.Withheld), site.Name, "deletion_withheld")
		for _, t := range site.Resources.Instances {
			gauge(c.instances, float64(t.Registered), site.Name, t.Resource, string(store.InstanceRegistered))
			gauge(c.instances, float64(t.Pending), site.Name, t.Resource, string(store.InstancePending))
			gauge(c.instances, float64(t.Removing), site.Name, t.Resource, string(store.InstanceRemoving))
		}
		if !site.PATExpiresAt.IsZero() {
			gauge(c.patExpiry, float64(site.PATExpiresAt.Unix()), site.Name)
		}
		attempts := 0
		if site.Failure != nil {
			attempts = site.Failure.Attempts
		}
		gauge(c.failing, float64(attempts), site.Name)
	}
	type part struct {
		group string
		kind  xds.Type
	}
	refusing := map[part]int{}
	for _, e := range s.Envoys {
		for kind, state := range e.Types {
			if e.Connected && state.Refused != "" {
				refusing[part{e.Group, kind}]++
			}
		}
	}
	for _, g := range s.Groups {
		gauge(c.envoys, float64(g.Connected), g.Name)
		gauge(c.current, float64(g.Current), g.Name)
		for _, kind := range xds.Types() {
			gauge(c.refusing, float64(refusing[part{g.Name, kind}]), g.Name, string(kind))
		}
	}
	for _, r := range c.refusals() {
		ch <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, float64(r.Count), r.Group, string(r.Type))
	}
	gauge(c.away, float64(len(s.TurnedAway)))
}
