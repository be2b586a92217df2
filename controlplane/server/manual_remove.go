package server

import (
	"context"
	"errors"
	"fmt"
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

// Removal is what [Manual.Remove] would do.
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

// PlanRemoval tells what would be removed of the site. Nothing is changed.
func (m *Manual) PlanRemoval(ctx context.Context) (Removal, error) {
	w := m.worker
	out := Removal{Resources: []string{}}
	stored, err := w.store.Client(ctx, w.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return out, err
	}
	recorded, err := w.store.Resources(ctx, w.key)
	if err != nil {
		return out, err
	}
	for _, r := range recorded {
		out.Resources = append(out.Resources, r.Name)
	}
	if instances, ok := w.store.(store.Instances); ok {
		counts, err := instances.CountInstances(ctx, w.key)
		if err != nil {
			return out, err
		}
		for _, c := range counts {
			out.Instances += c.Count
		}
	}
	if stored.ClientID == "" && len(recorded) == 0 && out.Instances == 0 {
		return out, ErrNothingRegistered
	}
	out.ClientID, out.Resumed = stored.ClientID, stored.State == store.ClientDeregistering
	out.Unmanaged = out.ClientID != "" && (stored.URI == "" || stored.AccessToken.IsZero())
	return out, nil
}

// Remove removes the site's resources and client at the AS, and then what the store
// has of it. What was done is noted step by step: cut off, the next run goes on.
// With force, what the AS does not let go of is left there, and forgotten here. It
// gives what is left.
func (m *Manual) Remove(ctx context.Context, force bool) (left []string, err error) {
	unlock, err := m.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	w := m.worker
	stored, err := w.store.Client(ctx, w.key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	if stored.State != store.ClientDeregistering {
		// From here on a running control plane leaves the site alone.
		stored.State, stored.UpdatedAt = store.ClientDeregistering, time.Now()
		if err := w.store.PutClient(ctx, w.key, stored); err != nil {
			return nil, err
		}
	}
	gone, err := m.removeResources(ctx)
	if err != nil {
		if !force {
			return nil, fmt.Errorf("remove the resources: %w", err)
		}
		left = append(left, "resources: "+err.Error())
	}
	if stored.ClientID != "" && !gone {
		if err := m.removeClient(ctx, stored); err != nil {
			if !force {
				return left, err
			}
			left = append(left, "client "+stored.ClientID+": "+err.Error())
		}
	}
	detail := map[string]string{}
	if len(left) > 0 {
		detail["left"] = shortened(strings.Join(left, "; "))
	}
	w.record(ctx, audit.ClientRemove, stored.ClientID, detail)
	return left, w.store.Forget(ctx, w.key)
}

// removeResources removes what umagate registered. gone says that the AS does not
// know the client any more, and so neither its resources.
func (m *Manual) removeResources(ctx context.Context) (gone bool, err error) {
	planned, err := m.PlanRemoval(ctx)
	if errors.Is(err, ErrNothingRegistered) || err == nil && len(planned.Resources)+planned.Instances == 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if m.worker.auth == nil {
		return false, errNotRegistered
	}
	protection := m.worker.server.Protection(m.worker.source(ctx))
	err = m.removeInstances(ctx, protection)
	if err == nil {
		r := m.reconciler(ctx)
		r.AS = protection
		var plan reconcile.Plan
		if plan, err = r.Plan(ctx, nil); err == nil {
			_, err = r.Apply(ctx, plan)
		}
	}
	if errors.Is(err, as.ErrClientRefused) && m.clientGone(ctx) {
		return true, nil
	}
	return false, err
}

// removeInstances removes those of resources that have one registration for each.
func (m *Manual) removeInstances(ctx context.Context, protection *as.Protection) error {
	const page = 100
	w := m.worker
	instances, ok := w.store.(store.Instances)
	if !ok {
		return nil
	}
	for {
		some, err := instances.Instances(ctx, w.key, "", "", page)
		if err != nil || len(some) == 0 {
			return err
		}
		for _, in := range some {
			if in.ID != "" {
				if err := protection.Delete(ctx, in.ID); err != nil {
					return err
				}
			}
			if err := instances.DeleteInstance(ctx, w.key, in.Name, in.State); err != nil {
				return err
			}
		}
	}
}

// clientGone says that the AS answers for the registration as for one it does not
// have, after it refused the client itself.
func (m *Manual) clientGone(ctx context.Context) bool {
	err := m.worker.readRegistration(ctx)
	return errors.Is(err, as.ErrRegistrationRefused) || errors.Is(err, as.ErrNotFound)
}

func (m *Manual) removeClient(ctx context.Context, stored store.Client) error {
	if stored.URI == "" || stored.AccessToken.IsZero() {
		return ErrClientStays
	}
	err := m.worker.server.DeleteRegistration(ctx, registrationOf(stored))
	switch {
	case err == nil, errors.Is(err, as.ErrNotFound):
		return nil
	case errors.Is(err, as.ErrRegistrationRefused):
		// Removed by a run that was cut off, or the token is another by now: the
		// client itself knows.
		if m.worker.auth == nil {
			return fmt.Errorf("%w: %w", ErrClientStays, err)
		}
		if _, patErr := m.worker.server.PAT(ctx, m.worker.auth); errors.Is(patErr, as.ErrClientRefused) {
			return nil
		}
		return fmt.Errorf("%w: %w", ErrClientStays, err)
	default:
		return err
	}
}
