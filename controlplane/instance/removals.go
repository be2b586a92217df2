package instance

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/store"
)

// tellEvery bounds how often registrations that end are published: who deletes a
// thousand albums must not have every Envoy read its configuration a thousand times.
const tellEvery = 200 * time.Millisecond

// RemovalsOptions is what [NewRemovals] needs.
type RemovalsOptions struct {
	// Store is a [store.SQL].
	Store interface {
		Removals(ctx context.Context) (list []store.Removal, earlier int64, err error)
	}
	// Changes returns a number that grows when another replica writes.
	Changes func(ctx context.Context) (int64, error)
	// Forget is told of each registration that has ended, on whichever replica.
	Forget func(site, name string)
	// Changed is called when there is something new to publish.
	Changed func()
	Logger  *slog.Logger
	// Every is how often the store is looked at (1 s).
	Every time.Duration
}

// Removals are the registrations of instances that have ended, which workers of
// Envoys may still remember. It is safe for concurrent use.
type Removals struct {
	options RemovalsOptions

	mu         sync.Mutex
	read       int64
	list       []store.Removal
	generation int64
	untold     bool      // something is new
	told       time.Time // when something new was published
}

// NewRemovals does no I/O.
func NewRemovals(o RemovalsOptions) *Removals {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	return &Removals{options: o, read: -1}
}

// Load reads the store, if anything was written since.
func (r *Removals) Load(ctx context.Context) error {
	number, err := r.options.Changes(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	known := r.read == number
	r.mu.Unlock()
	if known {
		r.tell()
		return nil
	}
	list, generation, err := r.options.Store.Removals(ctx)
	if err != nil {
		return err
	}
	for _, removal := range r.take(list, generation, number) {
		r.options.Forget(removal.Site, removal.Name)
	}
	r.tell()
	return nil
}

// take makes list what is told, and returns what is new in it.
func (r *Removals) take(list []store.Removal, generation, number int64) (fresh []store.Removal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number < r.read {
		return nil // what was read later has been taken already
	}
	r.read = number
	if generation == r.generation && slices.Equal(list, r.list) {
		return nil
	}
	before := make(map[store.Removal]bool, len(r.list))
	for _, one := range r.list {
		before[one] = true
	}
	fresh = slices.DeleteFunc(slices.Clone(list), func(one store.Removal) bool { return before[one] })
	r.list, r.generation, r.untold = list, generation, true
	return fresh
}

// tell has what is new published, unless that was done a moment ago.
func (r *Removals) tell() {
	r.mu.Lock()
	now := time.Now()
	due := r.untold && now.Sub(r.told) >= tellEvery
	if due {
		r.untold, r.told = false, now
	}
	r.mu.Unlock()
	if due {
		r.options.Changed()
	}
}

// Compiled is what the filters of Envoys are told, by site.
func (r *Removals) Compiled(sites []string) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation == 0 && len(r.list) == 0 {
		return nil
	}
	texts := make(map[string]*strings.Builder, len(sites))
	for _, site := range sites {
		texts[site] = &strings.Builder{}
		texts[site].WriteString(strconv.FormatInt(r.generation, 10) + "\n")
	}
	for _, one := range r.list {
		if text := texts[one.Site]; text != nil {
			text.WriteString(one.ID + "\n")
		}
	}
	out := make(map[string]string, len(sites))
	for site, text := range texts {
		out[site] = text.String()
	}
	return out
}

// Run takes over what other replicas wrote, until ctx ends.
func (r *Removals) Run(ctx context.Context) {
	ticker := time.NewTicker(r.options.Every)
	defer ticker.Stop()
	troubled := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := r.Load(ctx)
		if err != nil && !troubled && ctx.Err() == nil {
			r.options.Logger.Warn("registrations of instances that end are not told to Envoys; it is tried again", slog.Any("error", err))
		}
		troubled = err != nil
	}
}
