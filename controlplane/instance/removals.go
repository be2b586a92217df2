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
	store   *store.Follower[removals]

	mu     sync.Mutex
	told   removals
	fresh  []store.Removal // not forgotten yet
	untold bool            // something is new
	toldAt time.Time       // when something new was published
}

// removals is what Envoys are told: the last registrations that have ended. generation
// is how many there were before.
type removals struct {
	list       []store.Removal
	generation int64
}

// NewRemovals does no I/O.
func NewRemovals(o RemovalsOptions) *Removals {
	if o.Every <= 0 {
		o.Every = time.Second
	}
	r := &Removals{options: o}
	r.store = store.Follow(o.Changes, func(ctx context.Context) (next removals, err error) {
		next.list, next.generation, err = o.Store.Removals(ctx)
		return next, err
	}, r.take)
	return r
}

// Load reads the store, if anything was written since.
func (r *Removals) Load(ctx context.Context) error {
	if err := r.store.Refresh(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	fresh := r.fresh
	r.fresh = nil
	r.mu.Unlock()
	for _, one := range fresh {
		r.options.Forget(one.Site, one.Name)
	}
	r.tell()
	return nil
}

// take makes next what is told.
func (r *Removals) take(next removals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next.generation == r.told.generation && slices.Equal(next.list, r.told.list) {
		return
	}
	before := make(map[store.Removal]bool, len(r.told.list))
	for _, one := range r.told.list {
		before[one] = true
	}
	for _, one := range next.list {
		if !before[one] {
			r.fresh = append(r.fresh, one)
		}
	}
	r.told, r.untold = next, true
}

// tell has what is new published, unless that was done a moment ago.
func (r *Removals) tell() {
	r.mu.Lock()
	now := time.Now()
	due := r.untold && now.Sub(r.toldAt) >= tellEvery
	if due {
		r.untold, r.toldAt = false, now
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
	if r.told.generation == 0 && len(r.told.list) == 0 {
		return nil
	}
	texts := make(map[string]*strings.Builder, len(sites))
	for _, site := range sites {
		texts[site] = &strings.Builder{}
		texts[site].WriteString(strconv.FormatInt(r.told.generation, 10) + "\n")
	}
	for _, one := range r.told.list {
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
	store.Poll(ctx, r.options.Every, r.Load, func(err error) {
		r.options.Logger.Warn("registrations of instances that end are not told to Envoys; it is tried again", slog.Any("error", err))
	})
}
