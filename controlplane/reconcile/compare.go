package reconcile

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// compare gives the change that a declared resource needs, or nil. due says
// whether one that is listed and looks unchanged is to be read.
func (r *Reconciler) compare(ctx context.Context, d Desired, record store.Resource, look *view, due bool) (*Change, error) {
	lost := ""
	if record.State == store.ResourceRegistered {
		was := before(record)
		if !due {
			spec, err := d.spec()
			if err != nil {
				return nil, err
			}
			due = !bytes.Equal(spec, record.Spec)
		}
		have, looked, err := look.inspect(ctx, record.ID, due)
		switch {
		case err == nil && !looked:
			return nil, nil //nolint:nilnil // nothing to change
		case err == nil:
			return r.differs(d, have, was), nil
		case !errors.Is(err, as.ErrNotFound):
			return nil, err
		}
		lost = record.ID
	}
	found, owner, err := r.find(ctx, d.Name, look)
	if err != nil {
		return nil, err
	}
	switch {
	case len(found) > 1:
		return &Change{Kind: Conflict, Name: d.Name, Err: fmt.Errorf("%d of them: %w", len(found), ErrAmbiguous), desired: d}, nil
	case len(found) == 0 && owner != "":
		return &Change{Kind: Conflict, Name: d.Name, Err: fmt.Errorf("site %s: %w", owner, ErrOtherSite), desired: d}, nil
	case len(found) == 1 && (d.Adopt || began(record, found[0].ID)):
		c := &Change{Kind: Adopt, Name: d.Name, ID: found[0].ID, desired: d}
		if fields := r.differs(d, found[0], nil); fields != nil {
			c.Fields, c.Warnings = fields.Fields, fields.Warnings
		}
		return c, nil
	case len(found) == 1:
		return &Change{Kind: Conflict, Name: d.Name, ID: found[0].ID, Err: ErrConflict, desired: d}, nil
	case lost != "":
		return &Change{
			Kind: Recreate, Name: d.Name, ID: lost, Fields: r.fields(d), desired: d,
			Warnings: []string{fmt.Sprintf("the AS has no resource %q any more, and with it went the policies on it: write them anew for the new id", lost)},
		}, nil
	default:
		return &Change{Kind: Create, Name: d.Name, Fields: r.fields(d), desired: d, announced: record.State == store.ResourcePending}, nil
	}
}

// began reports whether an earlier run may have made the resource of that id, or has
// begun to adopt it.
func began(record store.Resource, id string) bool {
	return record.State == store.ResourcePending && (record.ID == "" || record.ID == id)
}

// find gives the resources of a name that no other site has: sites may share a client,
// and so what it finds. owner is a site that has another one of that name.
func (r *Reconciler) find(ctx context.Context, name string, look *view) (free []as.Resource, owner string, err error) {
	found, err := look.find(ctx, name)
	if err != nil {
		return nil, "", err
	}
	for _, resource := range found {
		site, err := r.owner(ctx, resource.ID)
		switch {
		case err != nil:
			return nil, "", err
		case site != "":
			owner = site
		default:
			free = append(free, resource)
		}
	}
	return free, owner, nil
}

// obsolete gives the change that removes a record that nobody declares any more. What
// another site has stays at the AS.
func (r *Reconciler) obsolete(ctx context.Context, record store.Resource, look *view) (*Change, error) {
	c := &Change{Kind: Delete, Name: record.Name, ID: record.ID}
	owner := ""
	var err error
	if record.ID == "" {
		var found []as.Resource
		if found, owner, err = r.find(ctx, record.Name, look); err != nil {
			return nil, err
		}
		if len(found) > 1 {
			return &Change{Kind: Conflict, Name: record.Name, Err: fmt.Errorf("%d of them, one of which umagate may have created: %w", len(found), ErrAmbiguous)}, nil
		}
		if len(found) == 1 {
			c.ID, owner = found[0].ID, ""
		}
	} else if owner, err = r.owner(ctx, record.ID); err != nil {
		return nil, err
	}
	if owner != "" {
		c.ID, c.Warnings = "", []string{fmt.Sprintf("%q stays at the AS: site %s has registered it, too", record.Name, owner)}
	}
	return c, nil
}
