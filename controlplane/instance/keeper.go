package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrUnknown: there is no registration of this instance.
	ErrUnknown = errors.New("the instance is not registered")
	// ErrOwned: there is one, of another owner.
	ErrOwned = errors.New("the instance is registered for another owner: remove it first")
	// ErrRemoving: its registration is being removed.
	ErrRemoving = errors.New("the registration of the instance is being removed; try again in a moment")
	// ErrAmbiguous: the AS has several of its name.
	ErrAmbiguous = errors.New("the authorization server has several resources of this name: delete those that are not needed")
	// ErrBusy: too much is being looked up.
	ErrBusy = errors.New("too many instances are being looked up")
)

// AS is what a keeper asks of the AS; [as.Protection] is one.
type AS interface {
	Create(ctx context.Context, r as.Resource) (as.Resource, error)
	Read(ctx context.Context, id string) (as.Resource, error)
	Update(ctx context.Context, r as.Resource) error
	Delete(ctx context.Context, id string) error
	FindByName(ctx context.Context, name string) ([]as.Resource, error)
	FindsByName() bool
	ListAll(ctx context.Context) (as.Listing, error)
}

// Store keeps instances, for every replica; [store.SQL] is one.
type Store interface {
	Counter

	Instance(ctx context.Context, key store.Key, name string) (store.Instance, error)
	Instances(ctx context.Context, key store.Key, template, after string, most int) ([]store.Instance, error)
	AddInstance(ctx context.Context, key store.Key, in store.Instance) (have store.Instance, added bool, err error)
	PutInstance(ctx context.Context, key store.Key, in store.Instance, from store.InstanceState) (done bool, err error)
	RemoveInstance(ctx context.Context, key store.Key, name string, now time.Time) (store.Instance, error)
	DeleteInstance(ctx context.Context, key store.Key, name string, from store.InstanceState) error
	DueInstances(ctx context.Context, key store.Key, now time.Time, most int) ([]string, error)
	ClaimInstance(ctx context.Context, key store.Key, name string, now, until time.Time) (store.Instance, bool, error)
}

// Options is what [New] needs.
type Options struct {
	Site *site.Site
	Key  store.Key
	// Store keeps the instances of every replica.
	Store Store
	// AS gives the AS as it is known now, or why it cannot be asked.
	AS func() (AS, error)
	// Leads says whether this process may change anything at the AS.
	Leads func() bool
	// Record keeps what was done at the AS in the audit log; may be nil.
	Record func(ctx context.Context, action audit.Action, name string, detail map[string]string)
	// Ended is called when a registration has ended in the store; may be nil.
	Ended func(ctx context.Context)
	// Logger is told what fails; never a secret.
	Logger *slog.Logger
	// Pace overrides waits; the zero value means the defaults.
	Pace Pace
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Pace says how often things are done. Zero fields mean the default.
type Pace struct {
	// Poll is how often [Keeper.Run] looks for what is due (1 s).
	Poll time.Duration
	// Retry is the first wait after a failure (1 s), RetryMax the longest (5 min).
	Retry, RetryMax time.Duration
	// Check is how often a registration is compared with the AS's (1 h).
	Check time.Duration
	// Claim is how long who works on an instance has for it (1 min).
	Claim time.Duration
	// Found is how long a registration that somebody else made is believed (1 min),
	// Missing the same for there being none (2 s).
	Found, Missing time.Duration
	// Survey is how often all resources are read, of an AS that cannot be asked for
	// a name (1 min).
	Survey time.Duration
}

func (p Pace) withDefaults() Pace {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&p.Poll, time.Second)
	set(&p.Retry, time.Second)
	set(&p.RetryMax, 5*time.Minute)
	set(&p.Check, time.Hour)
	set(&p.Claim, time.Minute)
	set(&p.Found, time.Minute)
	set(&p.Missing, 2*time.Second)
	set(&p.Survey, time.Minute)
	return p
}

// Keeper looks after the instances of one site. Safe for concurrent use.
type Keeper struct {
	options   Options
	templates map[string]*template
	finder    finder
	calls     singleflight.Group
}

// New makes a keeper. It asks nobody yet.
func New(options Options) (*Keeper, error) {
	templates, err := templatesOf(options.Site)
	if err != nil {
		return nil, err
	}
	options.Pace = options.Pace.withDefaults()
	if options.Record == nil {
		options.Record = func(context.Context, audit.Action, string, map[string]string) {}
	}
	if options.Ended == nil {
		options.Ended = func(context.Context) {}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Keeper{options: options, templates: templates, finder: newFinder()}, nil
}

// Request names an instance, by its values or by its path.
type Request struct {
	Template string
	Values   []string
	Path     string
	// Owner is the subject that it is registered for; empty for the resource server.
	Owner string
}

// identify gives the instance that is meant.
func (k *Keeper) identify(r Request) (*template, []string, string, error) {
	t := k.templates[r.Template]
	if t == nil {
		return nil, nil, "", fmt.Errorf("%w: %q", ErrTemplate, r.Template)
	}
	values := r.Values
	if r.Path != "" {
		if len(values) > 0 {
			return nil, nil, "", fmt.Errorf("%w: give them or the path, not both", ErrValues)
		}
		var err error
		if values, err = t.valuesOf(r.Path); err != nil {
			return nil, nil, "", err
		}
	}
	values, name, err := t.canonical(values)
	return t, values, name, err
}

// Register registers an instance. When it cannot be done now, it is in the store,
// pending, and will be: that is no error. created says that it was not there.
func (k *Keeper) Register(ctx context.Context, r Request) (in store.Instance, created bool, err error) {
	t, values, name, err := k.identify(r)
	if err != nil {
		return in, false, err
	}
	if !isText(r.Owner) {
		return in, false, fmt.Errorf("%w: the owner has a control character, or is no UTF-8", ErrValues)
	}
	now := k.options.Now()
	in, created, err = k.options.Store.AddInstance(ctx, k.options.Key, store.Instance{
		Name: name, Template: r.Template, Values: values, Owner: r.Owner, State: store.InstancePending, Spec: t.spec,
		DueAt: now, CreatedAt: now, UpdatedAt: now,
	})
	switch {
	case err != nil:
		return in, false, err
	case in.Owner != r.Owner:
		return in, false, fmt.Errorf("%s: %w", name, ErrOwned)
	case in.State == store.InstanceRemoving:
		return in, false, fmt.Errorf("%s: %w", name, ErrRemoving)
	case in.State == store.InstanceRegistered:
		return in, false, nil
	}
	in, err = k.now(ctx, in)
	return in, created, err
}

// Remove ends the registration of an instance. When that cannot be done now, it is
// in the store, removing, and will be. ErrUnknown: umagate has none of it.
func (k *Keeper) Remove(ctx context.Context, name string) (store.Instance, error) {
	if !isText(name) {
		return store.Instance{}, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	in, err := k.options.Store.RemoveInstance(ctx, k.options.Key, name, k.options.Now())
	if errors.Is(err, store.ErrNotFound) {
		return in, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	if err != nil {
		return in, err
	}
	k.finder.forget(name)
	k.options.Ended(ctx)
	return k.now(ctx, in)
}

// Forget forgets an instance whose registration has ended.
func (k *Keeper) Forget(name string) { k.finder.removed(name) }

// RemoveValues is [Keeper.Remove] of an instance by its values.
func (k *Keeper) RemoveValues(ctx context.Context, r Request) (store.Instance, error) {
	_, _, name, err := k.identify(r)
	if err != nil {
		return store.Instance{}, err
	}
	return k.Remove(ctx, name)
}

// Get gives an instance that umagate registers; ErrUnknown.
func (k *Keeper) Get(ctx context.Context, name string) (store.Instance, error) {
	if !isText(name) {
		return store.Instance{}, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	in, err := k.options.Store.Instance(ctx, k.options.Key, name)
	if errors.Is(err, store.ErrNotFound) {
		return in, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	return in, err
}

// List gives those after a name, of one template unless it is empty.
func (k *Keeper) List(ctx context.Context, template, after string, most int) ([]store.Instance, error) {
	if !isText(template) || !isText(after) {
		return nil, nil // no name is like that
	}
	return k.options.Store.Instances(ctx, k.options.Key, template, after, most)
}

// isText says that a database takes it for a text.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// now does what an instance waits for, if this process may, and gives how it is
// then. What fails for a while stays as it is.
func (k *Keeper) now(ctx context.Context, in store.Instance) (store.Instance, error) {
	if !k.options.Leads() {
		return in, nil
	}
	now := k.options.Now()
	claimed, ok, err := k.options.Store.ClaimInstance(ctx, k.options.Key, in.Name, now, now.Add(k.options.Pace.Claim))
	if err != nil {
		return in, err
	}
	if !ok { // somebody is at it
		have, err := k.Get(ctx, in.Name)
		if errors.Is(err, ErrUnknown) && in.State == store.InstanceRemoving {
			return in, nil
		}
		return have, err
	}
	// What was begun at the AS is recorded, also when who asked has gone.
	return k.work(context.WithoutCancel(ctx), claimed)
}

func specOf(in store.Instance) spec {
	var s spec
	// It was written by this package; an empty one registers no scopes.
	_ = json.Unmarshal(in.Spec, &s)
	return s
}
