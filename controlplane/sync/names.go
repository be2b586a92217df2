package sync

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/as"
)

// nameIndex finds resources by name during one plan. An AS that can be asked for
// a name is asked; of another, every resource is read, once for all names.
type nameIndex struct {
	as      AS
	attempt func(ctx context.Context, f func(ctx context.Context) error) error
	limit   int

	mu    sync.Mutex
	built bool
	named map[string][]as.Resource
}

// find gives the resources of that name.
func (n *nameIndex) find(ctx context.Context, name string) ([]as.Resource, error) {
	if !n.as.FindsByName() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.built {
			if err := n.build(ctx); err != nil {
				return nil, err
			}
			n.built = true
		}
		return n.named[name], nil
	}
	var found []as.Resource
	err := n.attempt(ctx, func(ctx context.Context) (err error) {
		found, err = n.as.FindByName(ctx, name)
		return err
	})
	return found, err
}

func (n *nameIndex) build(ctx context.Context) error {
	var ids []string
	err := n.attempt(ctx, func(ctx context.Context) (err error) {
		ids, err = n.as.List(ctx)
		return err
	})
	if err != nil {
		return err
	}
	resources := make([]as.Resource, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(n.limit)
	for i, id := range ids {
		group.Go(func() error {
			err := n.attempt(ctx, func(ctx context.Context) (err error) {
				resources[i], err = n.as.Read(ctx, id)
				return err
			})
			if errors.Is(err, as.ErrNotFound) {
				return nil // removed since the list was made
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	n.named = make(map[string][]as.Resource, len(resources))
	for _, r := range resources {
		if r.Name != "" {
			n.named[r.Name] = append(n.named[r.Name], r)
		}
	}
	return nil
}
