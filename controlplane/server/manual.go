package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrPlanChanged: what was to be done when it was shown is not what is to be
	// done now.
	ErrPlanChanged = errors.New("things have changed since the plan was shown, and nothing was done: look at the new one with umagate plan")
	// ErrNoSuchResource: a name that is to be adopted is not declared.
	ErrNoSuchResource = errors.New("the site declares no such resource that umagate registers")
)

// lockPoll is how often a lock that another process holds is asked for again.
const lockPoll = 200 * time.Millisecond

// ManualOptions is what [OpenManual] needs.
type ManualOptions struct {
	Site *site.Site
	// Store is the site's; [store.Frozen] for a rehearsal.
	Store  store.Store
	Logger *slog.Logger
	// Transport carries the calls to the AS instead of one made from the file.
	Transport http.RoundTripper
	// Observe sees every call to the AS; may be nil.
	Observe func(next http.RoundTripper) http.RoundTripper
	// Removing says that the site is to be removed: one whose removal was cut off is
	// taken up again.
	Removing bool
	// Adopt names resources to take over as if they had adopt: true.
	Adopt []string
	// Concurrency and Retry are those of the reconciler.
	Concurrency int
	Retry       reconcile.Retry
	// Waiting is called once when another process holds the lock; may be nil.
	Waiting func()
	// Progress and Compared are those of [reconcile.Reconciler]; may be nil.
	Progress, Compared func(done, total int)
	// Deletions is how many resources Apply may delete.
	Deletions int
}

// Manual brings one site in step when it is asked to, with the steps that [Run]
// takes by itself: "umagate plan" and "umagate apply" use it. Not for concurrent
// use.
type Manual struct {
	options ManualOptions
	worker  *worker
	desired []reconcile.Desired
}

// OpenManual takes over what the store knows and reads the AS's metadata. Close
// it when done; the store stays open.
func OpenManual(ctx context.Context, options ManualOptions) (*Manual, error) {
	s := options.Site
	m := &Manual{options: options, desired: link.Desired(s), worker: &worker{
		site: s, key: store.Key{Site: s.Name, Issuer: s.AuthorizationServer.Issuer}, store: options.Store,
		logger: options.Logger, pace: Pace{}.withDefaults(), changed: func() {}, phase: Discovering, manual: true, removing: options.Removing,
	}}
	observe := options.Observe
	if observe == nil {
		observe = func(next http.RoundTripper) http.RoundTripper { return next }
	}
	if err := m.worker.connect(options.Transport, observe); err != nil {
		return nil, err
	}
	for _, name := range options.Adopt {
		i := slices.IndexFunc(m.desired, func(d reconcile.Desired) bool { return d.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoSuchResource, name)
		}
		m.desired[i].Adopt = true
	}
	if err := m.worker.restore(ctx); err != nil {
		return nil, err
	}
	if err := m.worker.discover(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Close ends what is under way.
func (m *Manual) Close() { m.worker.stop() }

// Declared is how many resources the AS has to have.
func (m *Manual) Declared() int { return len(m.desired) }

// Instances counts the instances that umagate has registered for the site.
func (m *Manual) Instances(ctx context.Context) ([]instance.Tally, error) {
	from := m.options.Store
	if frozen, ok := from.(store.Frozen); ok {
		from = frozen.From
	}
	kept, ok := from.(store.Instances)
	if !ok {
		return nil, nil // nothing is kept yet
	}
	return instance.Count(ctx, kept, m.worker.key, m.worker.site)
}

// Registers gives the client_name of the registration that [Manual.Apply] would
// make first; empty when there is a client.
func (m *Manual) Registers() string {
	if m.worker.auth != nil {
		return ""
	}
	return m.worker.clientName()
}

// Plan tells what [Manual.Apply] would do with the resources. Nothing is changed
// but, perhaps, the PAT.
func (m *Manual) Plan(ctx context.Context) (reconcile.Plan, error) {
	return m.reconciler(ctx).Plan(ctx, m.desired)
}

func (m *Manual) reconciler(ctx context.Context) *reconcile.Reconciler {
	r := &reconcile.Reconciler{
		Audit: recorder(m.options.Store, m.options.Logger), AS: nothing{m.worker.server}, Records: m.options.Store, Key: m.worker.key, Concurrency: m.options.Concurrency, Retry: m.options.Retry,
		Progress: m.options.Progress, Compared: m.options.Compared,
	}
	if m.worker.auth != nil && (m.worker.needsProtection() || len(m.desired) > 0) {
		r.AS = m.worker.server.Protection(m.worker.source(ctx))
	}
	return r
}

func (w *worker) needsProtection() bool { return needsPAT(w.site, w.server) }

// Apply registers the client where there is none, plans again, and carries the
// plan out, while no other process does. With shown not nil, it does nothing that
// is not in it: ErrPlanChanged; with more deletions than the options have, nothing
// either: sync.ErrManyDeletions. The plan it gives is the one that was carried out.
func (m *Manual) Apply(ctx context.Context, shown *reconcile.Plan) (done reconcile.Result, plan reconcile.Plan, err error) {
	if err := m.register(ctx); err != nil {
		return done, nil, err
	}
	unlock, err := m.lock(ctx)
	if err != nil {
		return done, nil, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	r := m.reconciler(ctx)
	if plan, err = r.Plan(ctx, m.desired); err != nil {
		return done, nil, err
	}
	if shown != nil && !plan.Within(*shown) {
		return done, plan, ErrPlanChanged
	}
	if _, withheld := plan.Bounded(m.options.Deletions); withheld > 0 {
		return done, plan, fmt.Errorf("%d, and %d may be: %w", withheld, m.options.Deletions, reconcile.ErrManyDeletions)
	}
	done, err = r.Apply(ctx, plan)
	return done, plan, err
}

// register makes sure that there is a client; one that another process registers
// at this moment is waited for.
func (m *Manual) register(ctx context.Context) error {
	if m.worker.auth != nil {
		return nil
	}
	for {
		err := m.worker.setClient(ctx)
		if !errors.Is(err, store.ErrLocked) {
			return err
		}
		unlock, err := m.lock(ctx)
		if err != nil {
			return err
		}
		if err := unlock(); err != nil {
			return err
		}
	}
}

// lock waits for the lock of the site.
func (m *Manual) lock(ctx context.Context) (func() error, error) {
	for told := false; ; told = true {
		unlock, err := m.options.Store.TryLock(ctx, m.worker.key)
		if !errors.Is(err, store.ErrLocked) {
			return unlock, err
		}
		if !told && m.options.Waiting != nil {
			m.options.Waiting()
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(err, ctx.Err())
		case <-timer.C:
		}
	}
}

// Remedy says in one sentence what an operator can do about err; empty when
// nothing is known.
func Remedy(err error) string { return remedy(err) }

// nothing is the AS as a client sees it that is not registered yet.
type nothing struct{ server *as.Server }

var errNotRegistered = errors.New("the client is not registered")

func (nothing) Create(context.Context, as.Resource) (as.Resource, error) {
	return as.Resource{}, errNotRegistered
}

func (nothing) Read(context.Context, string) (as.Resource, error) {
	return as.Resource{}, as.ErrNotFound
}

func (nothing) Update(context.Context, as.Resource) error { return errNotRegistered }

func (nothing) Delete(context.Context, string) error                      { return errNotRegistered }
func (nothing) List(context.Context) ([]string, error)                    { return nil, nil }
func (nothing) FindByName(context.Context, string) ([]as.Resource, error) { return nil, nil }
func (nothing) FindsByName() bool                                         { return true }
func (nothing) Survey(context.Context) (as.Survey, error)                 { return as.Survey{Described: true}, nil }

func (n nothing) Keeps(r as.Resource) as.Resource { return n.server.Protection(nil).Keeps(r) }
