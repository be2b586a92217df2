package registration

import (
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// Options is what [NewWorker] needs.
type Options struct {
	Site   *site.Site
	Store  Store
	Logger *slog.Logger
	// Intervals overrides waits; the zero value means the defaults.
	Intervals Intervals
	// Tracer makes spans of what is brought in step; nil for none.
	Tracer trace.Tracer
	// Transport carries the calls to the AS instead of one made from the file.
	Transport http.RoundTripper
	// Observe sees every call to the AS; may be nil.
	Observe func(next http.RoundTripper) http.RoundTripper
	// Changed is called when there is something new to publish; may be nil. It must
	// not call back.
	Changed func()
	// Missing is called with the name of an instance that the AS turns out not to have;
	// may be nil.
	Missing func(name string)
}

func (o Options) account() *account {
	if o.Changed == nil {
		o.Changed = func() {}
	}
	return &account{
		site: o.Site, key: store.Key{Site: o.Site.Name, Issuer: o.Site.AuthorizationServer.Issuer}, locks: o.Store,
		audit: store.Recorder{Store: o.Store, Logger: o.Logger}, logger: o.Logger, intervals: o.Intervals.WithDefaults(), tracer: o.Tracer,
		board:      &board{changed: o.Changed, now: Snapshot{Phase: Discovering, PhaseSince: time.Now()}},
		conditions: health.NewBoard(o.Site.Name, o.Logger, Remedy), missing: o.Missing,
	}
}

// Intervals says how often things are done. Zero fields mean the default.
type Intervals struct {
	// Retry is the first wait after a failure (1 s), RetryMax the longest (1 min).
	Retry, RetryMax time.Duration
	// Sync is how often resources are compared with the AS, in place of what the
	// site's sync.interval says.
	Sync time.Duration
	// Probe is how often the PAT is tried at the AS (15 s).
	Probe time.Duration
	// Health is how often the AS is asked what Envoys ask it (7 s); a third of it while
	// something is the matter.
	Health time.Duration
	// Discover is how often the metadata is read anew (1 h).
	Discover time.Duration
	// Forgotten is how long after a registration the AS may refuse the client
	// without it being registered anew (1 min). It grows fourfold with each
	// registration of a day.
	Forgotten time.Duration
	// Unusable is the wait after a registration that was answered with something else
	// (1 min). It grows fourfold each time: the AS may have a client of each.
	Unusable time.Duration
}

// WithDefaults fills in what is zero.
func (i Intervals) WithDefaults() Intervals {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&i.Retry, time.Second)
	set(&i.RetryMax, time.Minute)
	set(&i.Probe, 15*time.Second)
	set(&i.Health, 7*time.Second)
	set(&i.Discover, time.Hour)
	set(&i.Forgotten, time.Minute)
	set(&i.Unusable, time.Minute)
	return i
}

func (i Intervals) retry() reconcile.Retry {
	return reconcile.Retry{Attempts: 3, Base: i.Retry, Max: i.RetryMax}
}

// earliest is the first of the times that are not zero; zero when all are.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}
