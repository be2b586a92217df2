package instance_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/umagate/umagate/controlplane/as"
)

// authority is an AS that a test breaks.
type authority struct {
	mu        sync.Mutex
	resources map[string]as.Resource
	next      int
	byName    bool
	owners    bool  // it tells them
	fail      error // of every call
	good      int   // how many creations there may be before all fails, if there is one
	failed    int
	lose      bool // creations have no answer
	creates   int
	listings  int
	finds     int
}

func (a *authority) do(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fail != nil {
		a.failed++
		return a.fail
	}
	return f()
}

func (a *authority) Create(_ context.Context, r as.Resource) (as.Resource, error) {
	err := a.do(func() error {
		a.creates++
		if a.good--; a.good == 0 {
			a.fail = unavailable
		}
		a.next++
		r.ID = fmt.Sprintf("id-%d", a.next)
		kept := r
		if !a.owners {
			kept.Owner = ""
		}
		a.resources[r.ID] = kept
		if a.lose {
			return unavailable
		}
		return nil
	})
	return r, err
}

func (a *authority) Read(_ context.Context, id string) (r as.Resource, err error) {
	err = a.do(func() error {
		var ok bool
		if r, ok = a.resources[id]; !ok {
			return &as.Error{Status: 404, Kind: as.ErrNotFound}
		}
		return nil
	})
	return r, err
}

func (a *authority) Update(_ context.Context, r as.Resource) error {
	return a.do(func() error {
		r.Owner, r.OwnerName = a.resources[r.ID].Owner, a.resources[r.ID].OwnerName
		a.resources[r.ID] = r
		return nil
	})
}

func (a *authority) Delete(_ context.Context, id string) error {
	return a.do(func() error { delete(a.resources, id); return nil })
}

func (a *authority) FindByName(_ context.Context, name string) (found []as.Resource, err error) {
	err = a.do(func() error {
		a.finds++
		for _, r := range a.resources {
			if r.Name == name {
				found = append(found, r)
			}
		}
		return nil
	})
	return found, err
}

func (a *authority) FindsByName() bool { return a.byName }

func (a *authority) ListAll(context.Context) (out as.Listing, err error) {
	err = a.do(func() error {
		a.listings++
		out.Described = true
		for _, r := range a.resources {
			out.Resources = append(out.Resources, r)
		}
		return nil
	})
	return out, err
}

// set changes the AS behind everybody's back.
func (a *authority) set(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f()
}

var unavailable = &as.Error{Status: 503, Kind: as.ErrUnavailable}
