package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// DefaultConcurrency is how many calls to the AS a reconciler has in flight.
const DefaultConcurrency = 4

// AS is what a reconciler asks of the AS; [as.Protection] is one.
type AS interface {
	Create(ctx context.Context, r as.Resource) (as.Resource, error)
	Read(ctx context.Context, id string) (as.Resource, error)
	Update(ctx context.Context, r as.Resource) error
	Delete(ctx context.Context, id string) error
	List(ctx context.Context) ([]string, error)
	FindByName(ctx context.Context, name string) ([]as.Resource, error)
	FindsByName() bool
}

// Records is what a reconciler keeps; [store.Store] is one.
type Records interface {
	Resources(ctx context.Context, key store.Key) ([]store.Resource, error)
	PutResource(ctx context.Context, key store.Key, r store.Resource) error
	DeleteResource(ctx context.Context, key store.Key, name string) error
}

// Reconciler brings the resources of one site in step. One call of Plan or Apply
// at a time.
type Reconciler struct {
	AS      AS
	Records Records
	Key     store.Key
	// Concurrency bounds calls in flight; [DefaultConcurrency] when 0.
	Concurrency int
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Retry says how a call that may succeed later is tried again; the zero value
	// tries once.
	Retry Retry
	// Progress is called after each change that was carried out, one call at a
	// time; may be nil.
	Progress func(done, total int)
}

// IDs gives the resource ids that are known, by name.
func (r *Reconciler) IDs(ctx context.Context) (map[string]string, error) {
	records, err := r.Records.Resources(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	return registered(records), nil
}

// Plan compares. It changes nothing.
func (r *Reconciler) Plan(ctx context.Context, desired []Desired) (Plan, error) {
	records, err := r.Records.Resources(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	known := make(map[string]store.Resource, len(records))
	for _, record := range records {
		known[record.Name] = record
	}
	names := &nameIndex{as: r.AS, attempt: r.attempt, limit: r.limit()}
	changes := make([]*Change, len(desired)+len(records))
	wanted := make(map[string]bool, len(desired))

	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.limit())
	for i, d := range desired {
		wanted[d.Name] = true
		group.Go(func() (err error) {
			changes[i], err = r.compare(groupCtx, d, known[d.Name], names)
			return err
		})
	}
	for i, record := range records {
		if wanted[record.Name] {
			continue
		}
		group.Go(func() (err error) {
			changes[len(desired)+i], err = r.obsolete(groupCtx, record, names)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var plan Plan
	for _, c := range changes {
		if c != nil {
			plan = append(plan, *c)
		}
	}
	return plan, nil
}

// compare gives the change that a declared resource needs, or nil.
func (r *Reconciler) compare(ctx context.Context, d Desired, record store.Resource, names *nameIndex) (*Change, error) {
	if record.State == store.ResourceRegistered {
		var have as.Resource
		err := r.attempt(ctx, func(ctx context.Context) (err error) {
			have, err = r.AS.Read(ctx, record.ID)
			return err
		})
		switch {
		case errors.Is(err, as.ErrNotFound):
			return &Change{Kind: Recreate, Name: d.Name, ID: record.ID, desired: d}, nil
		case err != nil:
			return nil, err
		}
		if fields := difference(d, have); len(fields) > 0 {
			return &Change{Kind: Update, Name: d.Name, ID: record.ID, Fields: fields, desired: d}, nil
		}
		return nil, nil
	}
	id, err := names.find(ctx, d.Name)
	switch {
	case err != nil:
		return nil, err
	case id == "":
		return &Change{Kind: Create, Name: d.Name, desired: d, announced: record.State == store.ResourcePending}, nil
	case record.State == store.ResourcePending:
		return &Change{Kind: Adopt, Name: d.Name, ID: id, desired: d}, nil
	default:
		return &Change{Kind: Conflict, Name: d.Name, ID: id, desired: d}, nil
	}
}

// obsolete gives the change that removes a record that nobody declares any more.
func (r *Reconciler) obsolete(ctx context.Context, record store.Resource, names *nameIndex) (*Change, error) {
	id := record.ID
	if record.State == store.ResourcePending {
		var err error
		if id, err = names.find(ctx, record.Name); err != nil {
			return nil, err
		}
	}
	return &Change{Kind: Delete, Name: record.Name, ID: id}, nil
}

// Apply carries the plan out, as far as it can be: one change that fails does
// not keep the others from being done. The error joins all failures, conflicts
// included.
func (r *Reconciler) Apply(ctx context.Context, plan Plan) error {
	var mu sync.Mutex
	var errs []error
	done := 0
	group := errgroup.Group{}
	group.SetLimit(r.limit())
	for _, c := range plan {
		group.Go(func() error {
			err := r.change(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			done++
			if err != nil {
				errs = append(errs, fmt.Errorf("resource %q: %s: %w", c.Name, c.Kind, err))
			}
			if r.Progress != nil {
				r.Progress(done, len(plan))
			}
			return nil
		})
	}
	// The functions return no error: each failure stands in errs.
	_ = group.Wait()
	return errors.Join(errs...)
}

func (r *Reconciler) change(ctx context.Context, c Change) error {
	switch c.Kind {
	case Create, Recreate:
		return r.create(ctx, c)
	case Adopt, Update:
		return r.update(ctx, c)
	case Delete:
		return r.remove(ctx, c)
	case Conflict:
		return ErrConflict
	default:
		return fmt.Errorf("sync: unknown kind %q", c.Kind)
	}
}

// create announces, creates and records.
func (r *Reconciler) create(ctx context.Context, c Change) error {
	if c.Kind == Recreate {
		// The name may have been taken since the resource was lost.
		found, err := r.AS.FindByName(ctx, c.Name)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return errors.Join(ErrConflict, r.Records.DeleteResource(ctx, r.Key, c.Name))
		}
	}
	record, err := r.record(c, store.ResourcePending, "")
	if err != nil {
		return err
	}
	if err := r.Records.PutResource(ctx, r.Key, record); err != nil {
		return err
	}
	var created as.Resource
	err = r.again(ctx, func(ctx context.Context) (err error) {
		created, err = r.AS.Create(ctx, c.desired.resource(""))
		return err
	}, refusedUnheard)
	if errors.Is(err, as.ErrConflict) && !c.announced {
		// Somebody took the name since it was looked up. (If the creation had been
		// announced before, the one that took it may have been an earlier try of
		// ours, still under way then; the next plan adopts it.)
		return errors.Join(ErrConflict, r.Records.DeleteResource(ctx, r.Key, c.Name))
	}
	if err != nil {
		return err
	}
	record.State, record.ID = store.ResourceRegistered, created.ID
	// The AS has it: record it also when the caller has given up.
	return r.Records.PutResource(context.WithoutCancel(ctx), r.Key, record)
}

func (r *Reconciler) update(ctx context.Context, c Change) error {
	err := r.attempt(ctx, func(ctx context.Context) error {
		return r.AS.Update(ctx, c.desired.resource(c.ID))
	})
	if err != nil {
		return err
	}
	record, err := r.record(c, store.ResourceRegistered, c.ID)
	if err != nil {
		return err
	}
	return r.Records.PutResource(context.WithoutCancel(ctx), r.Key, record)
}

func (r *Reconciler) remove(ctx context.Context, c Change) error {
	if c.ID != "" {
		err := r.attempt(ctx, func(ctx context.Context) error { return r.AS.Delete(ctx, c.ID) })
		if err != nil {
			return err
		}
	}
	return r.Records.DeleteResource(context.WithoutCancel(ctx), r.Key, c.Name)
}

func (r *Reconciler) record(c Change, state store.ResourceState, id string) (store.Resource, error) {
	spec, err := c.desired.spec()
	if err != nil {
		return store.Resource{}, err
	}
	now := r.Now
	if now == nil {
		now = time.Now
	}
	return store.Resource{Name: c.Name, State: state, ID: id, Spec: spec, UpdatedAt: now()}, nil
}

func (r *Reconciler) limit() int {
	if r.Concurrency > 0 {
		return r.Concurrency
	}
	return DefaultConcurrency
}
