package registration

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrNothingRegistered: the store has nothing of the site.
	ErrNothingRegistered = errors.New("the store has no client and no resource of this site")
	// ErrClientStays: the client cannot be removed by umagate.
	ErrClientStays = errors.New("the client stays at the authorization server, which lets nobody remove it by RFC 7592 or does not take the registration access token: remove it there, and finish with --force")
)

// Removal is what [Operation.Remove] would do.
type Removal struct {
	// ClientID is the client that is removed; empty where there is none, or where it
	// is the file's own.
	ClientID string `json:"client_id,omitempty"`
	// Unmanaged says that the AS gave no way to remove it.
	Unmanaged bool `json:"unmanaged,omitempty"`
	// Resources are the names of those that umagate registered or adopted.
	Resources []string `json:"resources"`
	// Instances counts the instances of resources that are registered.
	Instances int `json:"instances,omitempty"`
	// Resumed says that an earlier removal was cut off.
	Resumed bool `json:"resumed,omitempty"`
}

// PlanRemoval returns what would be removed of the site. Nothing is changed.
func (o *Operation) PlanRemoval(ctx context.Context) (Removal, error) {
	out := Removal{Resources: []string{}}
	if o.keeper.active() {
		return out, ErrKeptAtAS
	}
	stored, err := o.client.stored(ctx)
	if err != nil {
		return out, err
	}
	recorded, err := o.resources.store.Resources(ctx, o.key)
	if err != nil {
		return out, err
	}
	for _, r := range recorded {
		out.Resources = append(out.Resources, r.Name)
	}
	counts, err := o.store.CountInstances(ctx, o.key)
	if err != nil {
		return out, err
	}
	for _, c := range counts {
		out.Instances += c.Count
	}
	if stored.ClientID == "" && len(recorded) == 0 && out.Instances == 0 {
		return out, ErrNothingRegistered
	}
	out.ClientID, out.Resumed = stored.ClientID, stored.State == store.ClientDeregistering
	out.Unmanaged = out.ClientID != "" && !managed(stored)
	return out, nil
}

// Remove removes the site's resources and client at the AS, and then what the store
// has of it. What was done is noted step by step: cut off, the next run goes on.
// With force, what the AS does not let go of is left there, and forgotten here. It
// returns what is left.
func (o *Operation) Remove(ctx context.Context, force bool) (left []string, err error) {
	event := audit.Event{Action: audit.SiteDeregister, Site: o.site.Name, Target: o.key.Issuer, Detail: map[string]string{}}
	if planned, err := o.PlanRemoval(ctx); err == nil {
		event.Detail["resources"], event.Detail["instances"] = strconv.Itoa(len(planned.Resources)), strconv.Itoa(planned.Instances)
	}
	err = o.exclusively(ctx, func() error {
		left, err = o.remove(ctx, force)
		return err
	})
	if len(left) > 0 {
		event.Detail["left"] = audit.Shorten(strings.Join(left, "; "))
	}
	if err != nil {
		event.Outcome, event.Detail["error"] = audit.Failed, audit.Shorten(err.Error())
	}
	o.audit.Record(ctx, event)
	return left, err
}

func (o *Operation) remove(ctx context.Context, force bool) (left []string, err error) {
	stored, err := o.client.deregister(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.pat.restore(ctx, o.client.current); err != nil {
		return nil, err
	}
	gone, err := o.removeResources(ctx)
	if err != nil {
		if !force {
			return nil, fmt.Errorf("remove the resources: %w", err)
		}
		left = append(left, "resources: "+err.Error())
	}
	if stored.ClientID != "" && !gone {
		err := o.client.remove(ctx, o.server, stored)
		switch {
		case err == nil:
			o.record(ctx, audit.ClientRemove, stored.ClientID, nil)
		case !force:
			return left, err
		default:
			left = append(left, "client "+stored.ClientID+": "+err.Error())
		}
	}
	return left, o.store.Forget(ctx, o.key)
}

// removeResources removes what umagate registered. gone reports that the AS does not
// know the client any more, and so neither its resources.
func (o *Operation) removeResources(ctx context.Context) (gone bool, err error) {
	planned, err := o.PlanRemoval(ctx)
	if errors.Is(err, ErrNothingRegistered) || err == nil && len(planned.Resources)+planned.Instances == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if o.client.current == nil {
		return false, errNotRegistered
	}
	protection := o.protection(ctx)
	err = o.removeInstances(ctx, protection)
	if err == nil {
		r := o.reconciler(ctx)
		r.AS = protection
		var plan reconcile.Plan
		if plan, err = r.Plan(ctx, nil); err == nil {
			_, err = r.Apply(ctx, plan)
		}
	}
	if errors.Is(err, as.ErrClientRefused) && o.client.gone(ctx, o.server) {
		return true, nil
	}
	return false, err
}

// removeInstances removes those of resources that have one registration for each.
func (o *Operation) removeInstances(ctx context.Context, protection *as.Protection) error {
	const page = 100
	for {
		some, err := o.store.Instances(ctx, o.key, "", "", page)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, in := range some {
			if in.ID != "" {
				if err := protection.Delete(ctx, in.ID); err != nil {
					return err
				}
				o.record(ctx, audit.ResourceDelete, in.Name, map[string]string{"owner": in.Owner, "resource_id": in.ID})
			}
			if err := o.store.DeleteInstance(ctx, o.key, in.Name, in.State); err != nil {
				return err
			}
		}
	}
}

// deregister begins the removal, or takes up one that was cut off: from here on a
// running control plane leaves the site alone. It returns the client to remove.
func (c *client) deregister(ctx context.Context) (store.Client, error) {
	stored, err := c.stored(ctx)
	if err != nil {
		return stored, err
	}
	if stored.State == store.ClientDeregistering {
		return stored, c.resume(ctx, stored)
	}
	stored.State, stored.UpdatedAt = store.ClientDeregistering, time.Now()
	return stored, c.store.PutClient(ctx, c.key, stored)
}

// gone reports whether the AS answers for the registration as for one it does not
// have, after it refused the client itself.
func (c *client) gone(ctx context.Context, server *as.Server) bool {
	err := c.readRegistration(ctx, server)
	return errors.Is(err, as.ErrRegistrationRefused) || errors.Is(err, as.ErrNotFound)
}

// remove removes the client at the AS.
func (c *client) remove(ctx context.Context, server *as.Server, stored store.Client) error {
	if !managed(stored) {
		return ErrClientStays
	}
	err := server.DeleteRegistration(ctx, registrationOf(stored))
	switch {
	case err == nil, errors.Is(err, as.ErrNotFound):
		return nil
	case errors.Is(err, as.ErrRegistrationRefused):
		// Removed by a run that was cut off, or the token is another by now: the
		// client itself knows.
		if c.current != nil {
			if _, patErr := server.PAT(ctx, c.current.Auth); errors.Is(patErr, as.ErrClientRefused) {
				return nil
			}
		}
		return fmt.Errorf("%w: %w", ErrClientStays, err)
	default:
		return err
	}
}
