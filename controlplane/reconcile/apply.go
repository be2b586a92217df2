package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

// giveUpAfter is how many failures in a row, each after all its attempts, say
// that the AS is not there: the changes left are not tried then.
const giveUpAfter = 5

// ErrInterrupted means that not every change was tried. What was done is recorded, and the
// next run goes on from there.
var ErrInterrupted = errors.New("interrupted; what was done is recorded, and the next run goes on from there")

// Result counts what [Reconciler.Apply] did.
type Result struct {
	// Done and Failed were tried; Left were not.
	Done   int `json:"done"`
	Failed int `json:"failed"`
	Left   int `json:"left"`
}

// run is the state that the changes of one Apply share.
type run struct {
	mu     sync.Mutex
	result Result
	errs   []error
	inRow  int
}

func (a *run) stopped() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inRow >= giveUpAfter
}

// Apply carries the plan out, as far as it can be: one change that fails does
// not keep the others from being done, unless ctx ends or the AS fails again and
// again, which the error tells with [ErrInterrupted]. The error joins all
// failures, conflicts included.
func (r *Reconciler) Apply(ctx context.Context, plan Plan) (Result, error) {
	var a run
	group := errgroup.Group{}
	group.SetLimit(r.limit())
	for i := range plan {
		if ctx.Err() != nil || a.stopped() {
			break
		}
		group.Go(func() error {
			if ctx.Err() != nil || a.stopped() {
				return nil
			}
			c := plan[i]
			err := r.change(ctx, &c)
			if err == nil {
				r.tell(ctx, c)
				if r.Changed != nil {
					r.Changed(c)
				}
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			r.count(&a, c, err, len(plan))
			return nil
		})
	}
	// The functions return no error: each failure stands in a.
	_ = group.Wait()
	a.result.Left = len(plan) - a.result.Done - a.result.Failed
	if a.result.Left > 0 {
		a.errs = append(a.errs, fmt.Errorf("%d of %d changes were not tried: %w", a.result.Left, len(plan), errors.Join(ErrInterrupted, ctx.Err())))
	}
	return a.result, errors.Join(a.errs...)
}

// count is called with a locked.
func (r *Reconciler) count(a *run, c Change, err error, total int) {
	failed, ok := errors.AsType[*as.Error](err)
	switch {
	case err == nil:
		a.result.Done++
		a.inRow = 0
	case ok && failed.Temporary(), errors.Is(err, as.ErrClientRefused), errors.Is(err, as.ErrPATRefused):
		a.inRow++
		fallthrough
	default:
		a.result.Failed++
		a.errs = append(a.errs, fmt.Errorf("resource %q: %s: %w", c.Name, c.Kind, err))
	}
	if r.Progress != nil {
		r.Progress(a.result.Done+a.result.Failed, total)
	}
}

// change carries one change out. It gives one that is created the ID that it has then.
func (r *Reconciler) change(ctx context.Context, c *Change) error {
	switch c.Kind {
	case Create, Recreate:
		id, err := r.create(ctx, *c)
		if err == nil {
			c.ID = id
		}
		return err
	case Adopt, Update, Repair:
		return r.update(ctx, *c)
	case Delete:
		return r.remove(ctx, *c)
	case Conflict:
		return c.Err
	default:
		return fmt.Errorf("reconcile: unknown kind %q", c.Kind)
	}
}

// tell records what was done.
func (r *Reconciler) tell(ctx context.Context, c Change) {
	if r.Audit == nil {
		return
	}
	var action audit.Action
	switch c.Kind {
	case Create, Recreate:
		action = audit.ResourceCreate
	case Adopt:
		action = audit.ResourceAdopt
	case Update, Repair:
		action = audit.ResourceUpdate
	case Delete:
		action = audit.ResourceDelete
	case Conflict:
		return // nothing was done
	}
	detail := map[string]string{"kind": string(c.Kind), "issuer": r.Key.Issuer}
	if c.ID != "" {
		detail["resource_id"] = c.ID
	}
	if len(c.Fields) > 0 {
		var fields []string
		for _, f := range c.Fields {
			fields = append(fields, f.Name)
		}
		detail["fields"] = strings.Join(fields, ", ")
	}
	r.Audit.Record(ctx, audit.Event{Action: action, Site: r.Key.Site, Target: c.Name, Detail: detail})
}

// create announces, creates and records. It returns the resource_id.
func (r *Reconciler) create(ctx context.Context, c Change) (id string, err error) {
	record, err := r.record(c, store.ResourcePending, "")
	if err != nil {
		return "", err
	}
	if err := r.put(ctx, record); err != nil {
		return "", err
	}
	created, err := r.createAtAS(ctx, c)
	if errors.Is(err, as.ErrConflict) && !c.announced {
		// Somebody took the name since it was looked up. (If the creation had been
		// announced before, the one that took it may have been an earlier try of
		// ours, still under way then; the next plan adopts it.)
		return "", errors.Join(ErrConflict, r.Records.DeleteResource(ctx, r.Key, c.Name))
	}
	if err != nil {
		return "", err
	}
	record.State, record.ID = store.ResourceRegistered, created.ID
	// The AS has it: record it also when the caller has given up.
	return created.ID, r.put(context.WithoutCancel(ctx), record)
}

// createAtAS asks the AS to create it, again where the AS did not act on the call:
// 429, or 503 (which limiters answer too) with no resource of that name there. Any
// other failure, a gateway's among them, may hide a success that comes later: that
// is left to the next plan.
func (r *Reconciler) createAtAS(ctx context.Context, c Change) (created as.Resource, err error) {
	none := false // the AS failed, and has no resource of that name
	err = r.again(ctx, func(ctx context.Context) (err error) {
		created, err = r.AS.Create(ctx, c.desired.resource(""))
		none = false
		if failed, ok := errors.AsType[*as.Error](err); ok && failed.Status == http.StatusServiceUnavailable && r.AS.FindsByName() {
			found, findErr := r.AS.FindByName(ctx, c.Name)
			none = findErr == nil && len(found) == 0
		}
		return err
	}, func(e *as.Error) bool { return refusedUnheard(e) || none })
	return created, err
}

// update changes what differs. One that is adopted is this site's before anything of
// it is changed: of two sites that find it, one has it.
func (r *Reconciler) update(ctx context.Context, c Change) error {
	if c.Kind == Adopt {
		claim, err := r.record(c, store.ResourcePending, c.ID)
		if err != nil {
			return err
		}
		if err := r.put(ctx, claim); err != nil {
			return err
		}
	}
	if len(c.Fields) > 0 {
		err := r.attempt(ctx, func(ctx context.Context) error {
			return r.AS.Update(ctx, c.desired.resource(c.ID))
		})
		if errors.Is(err, as.ErrNotFound) {
			return errors.Join(ErrGone, err)
		}
		if err != nil {
			return err
		}
	}
	record, err := r.record(c, store.ResourceRegistered, c.ID)
	if err != nil {
		return err
	}
	return r.put(context.WithoutCancel(ctx), record)
}

// put writes a record, unless another site has the resource.
func (r *Reconciler) put(ctx context.Context, record store.Resource) error {
	err := r.Records.PutResource(ctx, r.Key, record)
	if errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("%w: %w", ErrOtherSite, err)
	}
	return err
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
	return store.Resource{Name: c.Name, State: state, ID: id, Spec: spec, UpdatedAt: r.now()}, nil
}

func (r *Reconciler) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}
