package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

const (
	// maxRemembered bounds what is known of registrations that others made.
	maxRemembered = 10_000
	// maxSearches bounds the searches at the AS that are under way.
	maxSearches = 32
)

// finder finds resources at the AS by name, and remembers what it found.
type finder struct {
	searches chan struct{} // room for each search

	// listing is held while all resources are read; listedAt and all are what was read.
	listing  sync.Mutex
	listedAt time.Time
	all      map[string][]as.Resource

	mu    sync.Mutex
	known map[string]remembered
}

type remembered struct {
	id    string // empty: there is none
	until time.Time
}

func newFinder() finder {
	return finder{searches: make(chan struct{}, maxSearches), known: map[string]remembered{}}
}

func (f *finder) forget(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.known, name)
}

// removed forgets a name of which the AS has none any more.
func (f *finder) removed(name string) {
	f.listing.Lock()
	delete(f.all, name)
	f.listing.Unlock()
	f.forget(name)
}

func (f *finder) recall(name string, now time.Time) (remembered, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.known[name]
	return r, ok && now.Before(r.until)
}

func (f *finder) remember(name, id string, until, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= maxRemembered {
		for other, r := range f.known { // those that are of no use any more, or else any
			if now.After(r.until) {
				delete(f.known, other)
			}
		}
		for other := range f.known {
			if len(f.known) < maxRemembered {
				break
			}
			delete(f.known, other)
		}
	}
	f.known[name] = remembered{id, until}
}

// named returns the resources of a name. Where the AS cannot be asked for one, all
// are read, unless that was done no longer than age ago.
func (f *finder) named(ctx context.Context, server AS, name string, age time.Duration, now func() time.Time) ([]as.Resource, error) {
	if server.FindsByName() {
		return server.FindByName(ctx, name)
	}
	f.listing.Lock()
	defer f.listing.Unlock()
	if f.all == nil || now().Sub(f.listedAt) >= age {
		began := now()
		listed, err := server.ListAll(ctx)
		if err != nil {
			return nil, err
		}
		f.all = make(map[string][]as.Resource, len(listed.Resources))
		for _, r := range listed.Resources {
			if !listed.Described { // only their ids are known
				if r, err = server.Read(ctx, r.ID); errors.Is(err, as.ErrNotFound) {
					continue
				} else if err != nil {
					f.all = nil
					return nil, err
				}
			}
			f.all[r.Name] = append(f.all[r.Name], r)
		}
		f.listedAt = began
	}
	return f.all[name], nil
}

// Lookup returns the resource_id of an instance: what umagate registered, or what the
// AS has by its name. ErrUnknown: neither. ErrAmbiguous: the AS has several.
func (m *Manager) Lookup(ctx context.Context, r Request) (id string, err error) {
	_, _, name, err := m.identify(r)
	if err != nil {
		return "", err
	}
	in, err := m.options.Store.Instance(ctx, m.options.Key, name)
	switch {
	case err == nil && in.State == store.InstanceRegistered:
		return in.ID, nil
	case err == nil:
		return "", fmt.Errorf("%s is %s: %w", name, in.State, ErrUnknown)
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	if known, ok := m.finder.recall(name, m.options.Now()); ok {
		return known.result(name)
	}
	found := m.calls.DoChan(name, func() (any, error) { return m.search(context.WithoutCancel(ctx), name) })
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case result := <-found:
		if result.Err != nil {
			return "", result.Err
		}
		known, _ := result.Val.(remembered)
		return known.result(name)
	}
}

func (r remembered) result(name string) (string, error) {
	if r.id == "" {
		return "", fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	return r.id, nil
}

// search asks the AS for a name that umagate has not registered.
func (m *Manager) search(ctx context.Context, name string) (remembered, error) {
	select {
	case m.finder.searches <- struct{}{}:
		defer func() { <-m.finder.searches }()
	default:
		return remembered{}, ErrBusy
	}
	server, err := m.options.AS()
	if err != nil {
		return remembered{}, err
	}
	found, err := m.finder.named(ctx, server, name, m.options.Intervals.List, m.options.Now)
	if err != nil {
		return remembered{}, err
	}
	now := m.options.Now()
	known := remembered{until: now.Add(m.options.Intervals.Missing)}
	switch {
	case len(found) == 1:
		known = remembered{found[0].ID, now.Add(m.options.Intervals.Found)}
	case len(found) > 1:
		m.options.Logger.Warn("several resources at the authorization server have the name of one instance; it is denied", slog.String("resource", name))
		return remembered{}, fmt.Errorf("%s: %w", name, ErrAmbiguous)
	}
	m.finder.remember(name, known.id, known.until, now)
	return known, nil
}
