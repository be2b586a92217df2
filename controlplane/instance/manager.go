package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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

// AS is what a manager asks of the AS; [as.Protection] is one.
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
	RecheckInstance(ctx context.Context, key store.Key, name string, now time.Time) error
	ReopenInstance(ctx context.Context, key store.Key, name string, now, due time.Time) (store.Instance, error)
	HastenInstances(ctx context.Context, key store.Key, now, after time.Time, except []string) error
	ClaimInstance(ctx context.Context, key store.Key, name string, now, until time.Time) (store.Instance, bool, error)
}

// Options is what [New] needs.
type Options struct {
	Site *site.Site
	Key  store.Key
	// Store keeps the instances of every replica.
	Store Store
	// AS returns the AS as it is known now, or why it cannot be asked.
	AS func() (AS, error)
	// Leads reports whether this process may change anything at the AS.
	Leads func() bool
	// Record keeps what was done at the AS in the audit log; may be nil.
	Record func(ctx context.Context, action audit.Action, name string, detail map[string]string)
	// Ended is called when a registration has ended in the store; may be nil.
	Ended func(ctx context.Context)
	// Lost is called when the AS turns out not to have an instance any more, before anything
	// is done about it, with what becomes of it; and, kind being empty, when somebody has one
	// registered or removed, and so knows. May be nil.
	Lost func(ctx context.Context, name string, kind store.LostKind)
	// Logger is told what fails; never a secret.
	Logger *slog.Logger
	// Intervals overrides waits; the zero value means the defaults.
	Intervals Intervals
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

// Intervals says how often things are done. Zero fields mean the default.
type Intervals struct {
	// Poll is how often [Manager.Run] looks for what is due (1 s).
	Poll time.Duration
	// Retry is the first wait after a failure (1 s), RetryMax the longest (5 min).
	Retry, RetryMax time.Duration
	// Pilot is the longest wait of one that failed as all do, since the AS does not answer
	// (10 s): by it the end of an outage is noticed.
	Pilot time.Duration
	// Check is how often a registration is compared with the AS's (1 h).
	Check time.Duration
	// Claim is how long who works on an instance has for it (1 min).
	Claim time.Duration
	// Found is how long a registration that somebody else made is believed (1 min),
	// Missing the same for there being none (2 s).
	Found, Missing time.Duration
	// List is how often all resources are read, of an AS that cannot be asked for
	// a name (1 min).
	List time.Duration
}

func (i Intervals) withDefaults() Intervals {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	set(&i.Poll, time.Second)
	set(&i.Retry, time.Second)
	set(&i.RetryMax, 5*time.Minute)
	set(&i.Pilot, 10*time.Second)
	set(&i.Check, time.Hour)
	set(&i.Claim, time.Minute)
	set(&i.Found, time.Minute)
	set(&i.Missing, 2*time.Second)
	set(&i.List, time.Minute)
	return i
}

// Manager looks after the instances of one site. Safe for concurrent use.
type Manager struct {
	options   Options
	templates map[string]*template
	finder    finder
	calls     singleflight.Group
	outage    outage
	busy      busy
}

// New makes a manager. It asks nobody yet.
func New(options Options) (*Manager, error) {
	templates, err := templatesOf(options.Site)
	if err != nil {
		return nil, err
	}
	options.Intervals = options.Intervals.withDefaults()
	if options.Record == nil {
		options.Record = func(context.Context, audit.Action, string, map[string]string) {}
	}
	if options.Lost == nil {
		options.Lost = func(context.Context, string, store.LostKind) {}
	}
	if options.Ended == nil {
		options.Ended = func(context.Context) {}
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	return &Manager{options: options, templates: templates, finder: newFinder(), busy: busy{names: map[string]int{}}}, nil
}

// Request names an instance, by its values or by its path.
type Request struct {
	Template string
	Values   []string
	Path     string
	// Owner is the subject that it is registered for, or a user name where the AS tells it;
	// empty for the resource server.
	Owner string
}

// identify returns the instance that is meant.
func (m *Manager) identify(r Request) (*template, []string, string, error) {
	t := m.templates[r.Template]
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

// Register registers an instance. When it cannot be done now, for whatever reason, it is in
// the store, pending, and is tried again: that is no error. created reports whether it was not there.
func (m *Manager) Register(ctx context.Context, r Request) (in store.Instance, created bool, err error) {
	t, values, name, err := m.identify(r)
	if err != nil {
		return in, false, err
	}
	if !isText(r.Owner) {
		return in, false, fmt.Errorf("%w: the owner has a control character, or is no UTF-8", ErrValues)
	}
	now := m.options.Now()
	in, created, err = m.options.Store.AddInstance(ctx, m.options.Key, store.Instance{
		Name: name, Template: r.Template, Values: values, Owner: r.Owner, State: store.InstancePending, Spec: t.spec,
		DueAt: now, CreatedAt: now, UpdatedAt: now,
	})
	switch {
	case err != nil:
		return in, false, err
	case in.Owner != r.Owner && !m.ownedBy(ctx, in, r.Owner):
		return in, false, fmt.Errorf("%s: %w", name, ErrOwned)
	case in.State == store.InstanceRemoving:
		return in, false, fmt.Errorf("%s: %w", name, ErrRemoving)
	case in.State == store.InstanceRegistered:
		return in, false, nil
	}
	if created {
		m.options.Lost(ctx, name, "")
	}
	in, err = m.now(ctx, in)
	return in, created, err
}

// ownedBy asks the AS whether the owner of an instance has that user name.
func (m *Manager) ownedBy(ctx context.Context, in store.Instance, owner string) bool {
	server, err := m.options.AS()
	if err != nil || in.ID == "" || owner == "" || !server.FindsByName() {
		return false
	}
	found, err := server.FindByName(ctx, in.Name)
	return err == nil && slices.ContainsFunc(found, func(r as.Resource) bool { return r.ID == in.ID && r.Owner == in.Owner && r.OwnedBy(owner) })
}

// Remove ends the registration of an instance. When that cannot be done now, it is
// in the store, removing, and will be. ErrUnknown: umagate has none of it.
func (m *Manager) Remove(ctx context.Context, name string) (store.Instance, error) {
	if !isText(name) {
		return store.Instance{}, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	in, err := m.options.Store.RemoveInstance(ctx, m.options.Key, name, m.options.Now())
	if errors.Is(err, store.ErrNotFound) {
		return in, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	if err != nil {
		return in, err
	}
	m.finder.forget(name)
	m.options.Ended(ctx)
	m.options.Lost(ctx, name, "")
	return m.now(ctx, in)
}

// Forget forgets an instance whose registration has ended.
func (m *Manager) Forget(name string) { m.finder.removed(name) }

// Recheck has a registration compared with the AS's soon, whoever leads.
func (m *Manager) Recheck(ctx context.Context, name string) error {
	return m.options.Store.RecheckInstance(ctx, m.options.Key, name, m.options.Now())
}

// RemoveValues is [Manager.Remove] of an instance by its values.
func (m *Manager) RemoveValues(ctx context.Context, r Request) (store.Instance, error) {
	_, _, name, err := m.identify(r)
	if err != nil {
		return store.Instance{}, err
	}
	return m.Remove(ctx, name)
}

// Get returns an instance that umagate registers; ErrUnknown.
func (m *Manager) Get(ctx context.Context, name string) (store.Instance, error) {
	if !isText(name) {
		return store.Instance{}, fmt.Errorf("%q: %w", name, ErrUnknown)
	}
	in, err := m.options.Store.Instance(ctx, m.options.Key, name)
	if errors.Is(err, store.ErrNotFound) {
		return in, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	return in, err
}

// List returns those after a name, of one template unless it is empty.
func (m *Manager) List(ctx context.Context, template, after string, most int) ([]store.Instance, error) {
	if !isText(template) || !isText(after) {
		return nil, nil // no name is like that
	}
	return m.options.Store.Instances(ctx, m.options.Key, template, after, most)
}

// isText reports whether a database takes it for a text.
func isText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// now does what an instance waits for, if this process may, and returns how it is
// then. What fails for a while stays as it is.
func (m *Manager) now(ctx context.Context, in store.Instance) (store.Instance, error) {
	if !m.options.Leads() {
		return in, nil
	}
	claimed, done, ok, err := m.claim(ctx, in.Name)
	if err != nil {
		return in, err
	}
	if !ok { // somebody is at it
		have, err := m.Get(ctx, in.Name)
		if errors.Is(err, ErrUnknown) && in.State == store.InstanceRemoving {
			return in, nil
		}
		return have, err
	}
	defer done()
	// What was begun at the AS is recorded, also when who asked has gone.
	return m.work(context.WithoutCancel(ctx), claimed)
}

func specOf(in store.Instance) spec {
	var s spec
	// It was written by this package; an empty one registers no scopes.
	_ = json.Unmarshal(in.Spec, &s)
	return s
}
