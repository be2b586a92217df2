package server

import (
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
)

// Options is what [Run] needs.
type Options struct {
	// Path is umagate.yaml; Load reads it ([site.Load] when nil).
	Path string
	Load func(path string) (*site.File, error)
	// Logger gets everything that is told; never a secret.
	Logger *slog.Logger
	// Transport carries the calls to every AS instead of one made from the file.
	Transport http.RoundTripper
	// Reload asks for the file to be read anew, whatever the signal; may be nil.
	Reload <-chan os.Signal
	// Name tells this replica from others, for status; the host's name and the
	// process's number when empty.
	Name string
	// Version is the release, for status.
	Version string
	// Started is called once, with the addresses that are listened on; may be nil.
	Started func(api, xds string)
	// StartedOXD is called before it, with the addresses of the oxd API, empty where
	// it is not served; may be nil.
	StartedOXD func(http, socket string)
	// Pace overrides waits; the zero value means the defaults.
	Pace Pace
}

// Pace says how often things are done. Zero fields mean the default.
type Pace struct {
	// Retry is the first wait after a failure (1 s), RetryMax the longest (1 min).
	Retry, RetryMax time.Duration
	// Sync is how often resources are compared with the AS, in place of what the
	// site's sync.interval says.
	Sync time.Duration
	// Probe is how often the PAT is tried at the AS (15 s).
	Probe time.Duration
	// Discover is how often the metadata is read anew (1 h).
	Discover time.Duration
	// Watch is how often umagate.yaml is looked at for a change (2 s).
	Watch time.Duration
	// Follow is how often a replica that does not lead reads the store anew and asks
	// to lead (1 s).
	Follow time.Duration
	// Acknowledge is how long an application that protects something is kept waiting
	// for Envoys that have not acknowledged it (5 s).
	Acknowledge time.Duration
	// Forgotten is how long after a registration the AS may refuse the client
	// without it being registered anew (1 min). It grows fourfold with each
	// registration of a day.
	Forgotten time.Duration
	// Doubt is the wait after a registration whose answer is not one (1 min). It
	// grows fourfold each time: the AS may have a client of each.
	Doubt time.Duration
}

func (p Pace) withDefaults() Pace {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&p.Retry, time.Second)
	set(&p.RetryMax, time.Minute)
	set(&p.Probe, 15*time.Second)
	set(&p.Discover, time.Hour)
	set(&p.Watch, 2*time.Second)
	set(&p.Follow, time.Second)
	set(&p.Acknowledge, 5*time.Second)
	set(&p.Forgotten, time.Minute)
	set(&p.Doubt, time.Minute)
	return p
}

func (p Pace) retry() reconcile.Retry {
	return reconcile.Retry{Attempts: 3, Base: p.Retry, Max: p.RetryMax}
}
