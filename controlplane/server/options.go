package server

import (
	"cmp"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/umagate/umagate/controlplane/registration"
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
	// Version is the release, for status. Module is the build of the filter's module that
	// came with it; empty for none.
	Version, Module string
	// Started is called once, with the addresses that are listened on; may be nil.
	Started func(api, xds string)
	// Sources bring sites beside the file's.
	Sources []OpenSource
	// Intervals overrides waits; the zero value means the defaults.
	Intervals Intervals
}

// Intervals says how often things are done. Zero fields mean the default.
type Intervals struct {
	// Site is for each site at its authorization server.
	Site registration.Intervals
	// Watch is how often umagate.yaml is looked at for a change (2 s).
	Watch time.Duration
	// Standby is how often a replica that does not lead reads the store anew and asks
	// to lead (1 s).
	Standby time.Duration
	// Acknowledge is how long an application that protects something is kept waiting
	// for Envoys that have not acknowledged it (5 s).
	Acknowledge time.Duration
	// Store is how often the store is tried (3 s).
	Store time.Duration
	// Missed is how long an Envoy may be there before its agent is missed (1 min):
	// machines start one after the other.
	Missed time.Duration
}

func (o Options) withDefaults() Options {
	o.Intervals = o.Intervals.withDefaults()
	if o.Load == nil {
		o.Load = site.Load
	}
	if o.Name == "" {
		o.Name = replicaName()
	}
	return o
}

func (i Intervals) withDefaults() Intervals {
	i.Site = i.Site.WithDefaults()
	i.Watch, i.Standby, i.Acknowledge = cmp.Or(i.Watch, 2*time.Second), cmp.Or(i.Standby, time.Second), cmp.Or(i.Acknowledge, 5*time.Second)
	i.Store, i.Missed = cmp.Or(i.Store, checkStoreEvery), cmp.Or(i.Missed, missedAfter)
	return i
}
