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
	ids   map[string]string
}

// find gives the id of the resource of that name, or "".
func (n *nameIndex) find(ctx context.Context, name string) (string, error) {
	if !n.as.FindsByName() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if !n.built {
			if err := n.build(ctx); err != nil {
				return "", err
			}
			n.built = true
		}
		return n.ids[name], nil
	}
	var found []as.Resource
	err := n.attempt(ctx, func(ctx context.Context) (err error) {
		found, err = n.as.FindByName(ctx, name)
		return err
	})
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
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
	n.ids = make(map[string]string, len(resources))
	for _, r := range resources {
		if r.Name != "" {
			n.ids[r.Name] = r.ID
		}
	}
	return nil
}
