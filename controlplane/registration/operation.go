package registration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrPlanChanged: what was to be done when it was shown is not what is to be
	// done now.
	ErrPlanChanged = errors.New("things have changed since the plan was shown, and nothing was done: look at the new one with umagate plan")
	// ErrNoSuchResource: a name that is to be adopted is not declared.
	ErrNoSuchResource = errors.New("the site declares no such resource that umagate registers")
)

var errNotRegistered = errors.New("the client is not registered")

// operationStore is what an operation asks of the store beside what its owners keep.
type operationStore interface {
	instance.Counter
	Instances(ctx context.Context, key store.Key, template, after string, most int) ([]store.Instance, error)
	DeleteInstance(ctx context.Context, key store.Key, name string, from store.InstanceState) error
	Forget(ctx context.Context, key store.Key) error
}

// OperationOptions is what [Open] needs.
type OperationOptions struct {
	Site *site.Site
	// Store is the site's; a [DryRun] where nothing but Plan is called.
	Store  Store
	Logger *slog.Logger
	// Transport carries the calls to the AS instead of one made from the file.
	Transport http.RoundTripper
	// Observe sees every call to the AS; may be nil.
	Observe func(next http.RoundTripper) http.RoundTripper
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

// Operation does with one site what somebody asks for, by the owners that a [Worker]
// has: "umagate plan", "apply", "login", "keys rotate" and "deregister" use it. Not
// for concurrent use.
type Operation struct {
	*account
	*owners

	store   operationStore
	options OperationOptions
	server  *as.Server
	desired []reconcile.Desired
}

// Open takes over what the store knows and reads the AS's metadata. Close it when
// done; the store stays open.
func Open(ctx context.Context, options OperationOptions) (*Operation, error) {
	a := Options{Site: options.Site, Store: options.Store, Logger: options.Logger}.account()
	c, err := connect(options.Site, options.Transport, options.Observe)
	if err != nil {
		return nil, err
	}
	o := &Operation{account: a, owners: newOwners(a, c, options.Store), store: options.Store, options: options, desired: reconcile.Declared(options.Site)}
	for _, name := range options.Adopt {
		i := slices.IndexFunc(o.desired, func(d reconcile.Desired) bool { return d.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("%w: %s", ErrNoSuchResource, name)
		}
		o.desired[i].Adopt = true
	}
	if err := o.restore(ctx); err != nil {
		return nil, err
	}
	if o.server, err = o.discovery.step(ctx); err != nil {
		return nil, err
	}
	return o, nil
}

// Close ends what is under way.
func (o *Operation) Close() { o.pat.stop() }

// Declared is how many resources the AS has to have.
func (o *Operation) Declared() int { return len(o.desired) }

// Instances counts the instances that umagate has registered for the site.
func (o *Operation) Instances(ctx context.Context) ([]instance.Counts, error) {
	return instance.Count(ctx, o.store, o.key, o.site)
}

// Registers returns the client_name of the registration that [Operation.Apply] would
// make first; empty when there is a client.
func (o *Operation) Registers() string {
	if o.client.current != nil {
		return ""
	}
	return o.clientName()
}

// Plan returns what [Operation.Apply] would do with the resources. Nothing is changed
// but, perhaps, the PAT.
func (o *Operation) Plan(ctx context.Context) (reconcile.Plan, error) {
	if o.keeper.active() {
		return reconcile.Plan{}, nil
	}
	return o.reconciler(ctx).Plan(ctx, o.desired)
}

func (o *Operation) reconciler(ctx context.Context) *reconcile.Reconciler {
	r := &reconcile.Reconciler{
		Audit: o.audit, AS: o.server.Protection(nil), Empty: o.client.current == nil, Records: o.resources.store, Key: o.key, Concurrency: o.options.Concurrency, Retry: o.options.Retry,
		Progress: o.options.Progress, Compared: o.options.Compared, Changed: func(c reconcile.Change) { o.resources.noteLost(ctx, c) },
	}
	if o.client.current != nil {
		r.AS = o.protection(ctx)
	}
	return r
}

// protection is the AS as the client in use may ask it.
func (o *Operation) protection(ctx context.Context) *as.Protection {
	return o.server.Protection(o.pat.source(ctx, o.server, o.client.current))
}

// Apply registers the client where there is none, plans again, and carries the
// plan out, while no other process does. With shown not nil, it does nothing that
// is not in it: ErrPlanChanged; with more deletions than the options have, nothing
// either: reconcile.ErrManyDeletions. The plan it returns is the one that was carried out.
func (o *Operation) Apply(ctx context.Context, shown *reconcile.Plan) (done reconcile.Result, plan reconcile.Plan, err error) {
	if o.keeper.active() {
		return done, nil, ErrKeptAtAS
	}
	if err := o.register(ctx); err != nil {
		return done, nil, err
	}
	err = o.exclusively(ctx, func() error {
		r := o.reconciler(ctx)
		if plan, err = r.Plan(ctx, o.desired); err != nil {
			plan = nil
			return err
		}
		if shown != nil && !plan.Within(*shown) {
			return ErrPlanChanged
		}
		if _, withheld := plan.Bounded(o.options.Deletions); withheld > 0 {
			return fmt.Errorf("%d, and %d may be: %w", withheld, o.options.Deletions, reconcile.ErrManyDeletions)
		}
		done, err = r.Apply(ctx, plan)
		return err
	})
	return done, plan, err
}

// register makes sure that there is a client; one that another process registers
// at this moment is waited for.
func (o *Operation) register(ctx context.Context) error {
	if o.client.current != nil {
		return nil
	}
	for {
		err := o.client.demand(ctx, o.server)
		if !errors.Is(err, store.ErrLocked) {
			return err
		}
		if err := o.exclusively(ctx, func() error { return nil }); err != nil {
			return err
		}
	}
}

// exclusively waits for the lock of the site, and calls do while no other process
// changes its registrations.
func (o *Operation) exclusively(ctx context.Context, do func() error) (err error) {
	unlock, err := store.Lock(ctx, o.locks, o.key, o.options.Waiting)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return do()
}

// RotateKeys makes a new key for the client now, and does what can be done of its
// way into use; a running control plane, or the next call, does the rest.
func (o *Operation) RotateKeys(ctx context.Context) ([]KeyStatus, error) {
	if !o.keys.own {
		return nil, ErrNoOwnKeys
	}
	if err := o.register(ctx); err != nil {
		return nil, err
	}
	if err := o.exclusively(ctx, func() error { return o.keys.rotate(ctx, o.client.holder(o.server), true) }); err != nil {
		return nil, fmt.Errorf("%w: %w", errRotation, err)
	}
	return Keys(ctx, o.keys.store, o.site)
}

// Login begins the login of the person who owns the resources, after registering
// the client where there is none. redirect is the address that the answer comes
// to.
func (o *Operation) Login(ctx context.Context, redirect string) (*as.Login, error) {
	if !o.pat.byLogin() {
		return nil, ErrNoLogin
	}
	if err := o.register(ctx); err != nil {
		return nil, err
	}
	return o.server.NewLogin(o.client.current.Auth, redirect)
}

// FinishLogin takes the answer, and stores the refresh token and the PAT. A
// running control plane goes on with it.
func (o *Operation) FinishLogin(ctx context.Context, login *as.Login, answer url.Values) (as.Person, error) {
	return o.pat.finishLogin(ctx, o.client.current, login, answer)
}

// RedirectURI is where the answer to a login comes to, as umagate.yaml has it.
func (o *Operation) RedirectURI() string { return o.site.AuthorizationServer.PAT.RedirectURI }
