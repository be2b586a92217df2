package reconcile

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// listAbove is how many single questions are asked before the whole list is
// read instead.
const listAbove = 64

// view is what one plan sees of the AS: each resource by itself while there are
// few, and the list once there are many, so that 10,000 resources are not 10,000
// questions every time.
type view struct {
	as      AS
	empty   bool // the AS has nothing, and is not asked
	attempt func(ctx context.Context, f func(ctx context.Context) error) error
	limit   int

	// listed is what the list had, by id; nil when it was not read. described says
	// that it had the descriptions. Both are read and replaced under list.
	list      sync.RWMutex
	listed    map[string]as.Resource
	described bool

	mu    sync.Mutex
	built bool
	named map[string][]as.Resource
}

// prepare reads the list if what is to be found out is more than that.
func (v *view) prepare(ctx context.Context, desired []Desired, known map[string]store.Resource) error {
	questions := 0
	for _, d := range desired {
		if known[d.Name].State == store.ResourceRegistered || v.as.FindsByName() {
			questions++
		}
	}
	if v.empty || questions <= listAbove {
		return nil
	}
	return v.listAll(ctx)
}

// listAll reads the list of what the AS has.
func (v *view) listAll(ctx context.Context) error {
	var found as.Listing
	err := v.attempt(ctx, func(ctx context.Context) (err error) {
		found, err = v.as.ListAll(ctx)
		return err
	})
	if err != nil {
		return err
	}
	listed := make(map[string]as.Resource, len(found.Resources))
	for _, r := range found.Resources {
		listed[r.ID] = r
	}
	v.list.Lock()
	defer v.list.Unlock()
	v.listed, v.described = listed, found.Described
	return nil
}

// known is what the list had, which does not change any more, and whether it had the
// descriptions.
func (v *view) known() (listed map[string]as.Resource, described bool) {
	v.list.RLock()
	defer v.list.RUnlock()
	return v.listed, v.described
}

// inspect gives a registration as it is at the AS. looked is false for one that
// is listed and was not to be read this time. ErrNotFound is the AS's word on
// that id, never the list's silence: a list may be short of one.
func (v *view) inspect(ctx context.Context, id string, due bool) (have as.Resource, looked bool, err error) {
	if v.empty {
		return as.Resource{}, false, as.ErrNotFound
	}
	listed, described := v.known()
	if r, ok := listed[id]; ok && (described || !due) {
		return r, described, nil
	}
	err = v.attempt(ctx, func(ctx context.Context) (err error) {
		have, err = v.as.Read(ctx, id)
		return err
	})
	have.ID = id
	return have, true, err
}

// find gives the resources of that name. An AS that can be asked for a name is
// asked, unless the list told; of another, every resource is read, once for all
// names.
func (v *view) find(ctx context.Context, name string) ([]as.Resource, error) {
	if v.empty {
		return nil, nil
	}
	if _, described := v.known(); v.as.FindsByName() && !described {
		var found []as.Resource
		err := v.attempt(ctx, func(ctx context.Context) (err error) {
			found, err = v.as.FindByName(ctx, name)
			return err
		})
		return found, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.built {
		if err := v.index(ctx); err != nil {
			return nil, err
		}
		v.built = true
	}
	return v.named[name], nil
}

// index is called with v locked.
func (v *view) index(ctx context.Context) error {
	listed, described := v.known()
	if listed == nil {
		if err := v.listAll(ctx); err != nil {
			return err
		}
		listed, described = v.known()
	}
	resources := make([]as.Resource, 0, len(listed))
	for _, r := range listed {
		resources = append(resources, r)
	}
	if !described {
		if err := v.readEach(ctx, resources); err != nil {
			return err
		}
	}
	v.named = make(map[string][]as.Resource, len(resources))
	for _, r := range resources {
		if r.Name != "" {
			v.named[r.Name] = append(v.named[r.Name], r)
		}
	}
	return nil
}

// readEach completes resources of which only the id is known.
func (v *view) readEach(ctx context.Context, resources []as.Resource) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(v.limit)
	for i := range resources {
		group.Go(func() error {
			var have as.Resource
			err := v.attempt(ctx, func(ctx context.Context) (err error) {
				have, err = v.as.Read(ctx, resources[i].ID)
				return err
			})
			if errors.Is(err, as.ErrNotFound) {
				return nil // removed since the list was made
			}
			have.ID = resources[i].ID
			resources[i] = have
			return err
		})
	}
	return group.Wait()
}
