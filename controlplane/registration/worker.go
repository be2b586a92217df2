package registration

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/reconcile"
)

// owners are who looks after a site at its AS, in the order in which they act.
type owners struct {
	discovery *discovery
	client    *client
	keys      *keys
	pat       *pat
	resources *resources
	keeper    *keeper
}

func newOwners(a *account, c *connection, s Store) *owners {
	o := &owners{
		discovery: &discovery{account: a, store: s, client: c.client}, keys: newKeys(a, s), pat: &pat{account: a, store: s},
		resources: &resources{account: a, store: s}, keeper: &keeper{account: a, store: s},
	}
	o.client = &client{account: a, store: s, keys: o.keys, connection: c}
	return o
}

// restore takes over what the store knows. It asks nothing of the AS.
func (o *owners) restore(ctx context.Context) error {
	if err := o.discovery.restore(ctx); err != nil {
		return err
	}
	if err := o.client.restore(ctx); err != nil {
		return err
	}
	if err := o.pat.restore(ctx, o.client.current); err != nil {
		return err
	}
	if err := o.keeper.restore(ctx); err != nil {
		return err
	}
	return o.resources.restore(ctx)
}

// pass has every owner do what is due.
func (o *owners) pass(ctx context.Context) error {
	server, err := o.discovery.step(ctx)
	if err != nil {
		return err
	}
	if err := o.client.step(ctx, server); err != nil {
		return err
	}
	if o.client.current.usesOwnKey() {
		o.keys.step(ctx, o.client.holder(server))
	}
	err = o.protect(ctx, server)
	if errors.Is(err, as.ErrClientRefused) {
		return o.client.refused(ctx, server, err)
	}
	return err
}

// protect does what takes a client that the AS accepts.
func (o *owners) protect(ctx context.Context, server *as.Server) error {
	source, err := o.pat.step(ctx, server, o.client.current)
	if err != nil {
		return err
	}
	if source == nil {
		return o.resources.step(ctx, nil, o.client.current)
	}
	protection := server.Protection(source)
	err = o.pat.probe(ctx, protection, o.resources.sample)
	if errors.Is(err, as.ErrNotFound) {
		o.resources.due = time.Time{}
	} else if err != nil {
		return err
	}
	if o.keeper.active() {
		return o.keeper.step(ctx, server, protection)
	}
	return o.resources.step(ctx, protection, o.client.current)
}

// due is when one of them has something to do again.
func (o *owners) due() time.Time {
	return earliest(o.discovery.due, o.client.due(), o.keys.due, o.pat.due(), o.resources.due, o.keeper.due)
}

// Worker keeps one site registered. Its methods are safe for concurrent use, but for
// Restore and Run, of which one runs at a time.
type Worker struct {
	account    *account
	connection *connection
	store      Store
	owners     *owners // of whoever runs Restore or Run
	prober     prober  // of whoever calls Probe
	// wake asks for the resources to be compared, doubt for client and PAT to be tried.
	wake, doubt chan struct{}
	// accept asks for resources that are gone to be gone, however many they are.
	accept chan struct{}
}

// NewWorker makes a worker that knows nothing yet and asks nothing: see
// [Worker.Restore].
func NewWorker(options Options) (*Worker, error) {
	c, err := connect(options.Site, options.Transport, options.Observe)
	if err != nil {
		return nil, err
	}
	return &Worker{
		account: options.account(), connection: c, store: options.Store, prober: newProber(options.Intervals),
		wake: make(chan struct{}, 1), doubt: make(chan struct{}, 1), accept: make(chan struct{}, 1),
	}, nil
}

// Restore takes over what the store knows, and forgets what was under way. It asks
// nothing of the AS. phase is [Discovering] before [Worker.Run], and else [Standby].
func (w *Worker) Restore(ctx context.Context, phase Phase) error {
	w.rest(phase)
	w.owners = newOwners(w.account, w.connection, w.store)
	return w.owners.restore(ctx)
}

// StandBy says that another replica does the work from now on. What is known stays.
func (w *Worker) StandBy() { w.rest(Standby) }

func (w *Worker) rest(phase Phase) {
	w.account.board.update(func(s *Snapshot) bool {
		s.enter(phase)
		s.Failure = nil
		return false
	})
}

// Run works until ctx ends, after [Worker.Restore].
func (w *Worker) Run(ctx context.Context) {
	defer w.owners.pat.stop()
	failures := 0
	for ctx.Err() == nil {
		err := w.owners.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := time.Until(w.owners.due())
		if err != nil {
			failures++
			wait = w.account.intervals.retry().Backoff(failures, as.RetryAfter(err))
			if errors.Is(err, errLogin) || errors.Is(err, errDeregistered) || errors.Is(err, errDeregistering) {
				wait = min(wait, w.account.intervals.Probe) // the store is asked only
			}
			w.fail(err, failures, wait)
		} else {
			failures = 0
			w.succeed()
		}
		// Whatever an AS says of its times, it is not asked without a pause.
		timer := time.NewTimer(max(wait, w.account.intervals.Retry/10))
		select {
		case <-ctx.Done():
		case <-w.wake:
			w.owners.resources.due, w.owners.keeper.due, failures = time.Time{}, time.Time{}, 0
		case <-w.accept:
			w.owners.keeper.accepted, w.owners.keeper.due, failures = true, time.Time{}, 0
		case <-w.doubt:
			w.owners.pat.doubted, failures = true, 0
		case <-timer.C:
		}
		timer.Stop()
	}
}

// SyncNow has the resources compared with the AS at once; those that it keeps, read.
func (w *Worker) SyncNow() {
	select {
	case w.wake <- struct{}{}:
	default: // it is asked for already
	}
}

// AcceptRemovals has the AS read at once, and resources that are gone be gone, however
// many they are. It is for a site with resources_at_as.
func (w *Worker) AcceptRemovals() {
	select {
	case w.accept <- struct{}{}:
	default: // it is asked for already
	}
}

func (w *Worker) fail(err error, attempts int, wait time.Duration) {
	w.account.board.update(func(s *Snapshot) bool {
		now := time.Now()
		f := &Failure{Err: err, Since: now, Attempts: attempts, NextRetry: now.Add(wait)}
		if s.Failure != nil {
			f.Since = s.Failure.Since
		}
		s.Failure = f
		w.account.logger.Warn("site step failed",
			slog.String("phase", string(s.Phase)), slog.Any("error", err), slog.String("remedy", Remedy(err)),
			slog.Int("attempts", attempts), slog.Duration("retry_in", wait.Round(time.Millisecond)))
		return true
	})
}

func (w *Worker) succeed() {
	w.account.board.update(func(s *Snapshot) bool {
		if s.Phase != Serving || s.Failure != nil {
			w.account.logger.Info("site is serving", slog.String("client_id", s.Client.ID()), slog.Int("resources", len(s.ResourceIDs)))
		}
		s.enter(Serving)
		s.Failure = nil
		return true
	})
}

// Snapshot returns what is known now.
func (w *Worker) Snapshot() Snapshot { return w.account.board.read() }

// Conditions lists what is the matter with the site, now being what is known of it.
func (w *Worker) Conditions(now *Snapshot) []health.Condition {
	out, site := w.account.conditions.Conditions(), w.account.site
	switch f := now.Failure; {
	case f != nil:
		out = append(out, failing(now.Phase).New(site.Name, f.Err.Error(), Remedy(f.Err), f.Since))
	case now.Phase == Standby && !now.known(site):
		out = append(out, health.SiteNotReady.New(site.Name, "the replica that leads has not got it ready yet", "", now.PhaseSince))
	case now.Phase != Standby && now.Phase != Serving:
		out = append(out, health.SiteNotReady.New(site.Name, "it is in phase "+string(now.Phase), "", now.PhaseSince))
	}
	return out
}

// failing is the condition that a failure in a phase is.
func failing(p Phase) health.Kind {
	switch p {
	case Discovering:
		return health.DiscoveryFailing
	case Registering:
		return health.RegistrationFailing
	case GettingPAT:
		return health.PATFailing
	case Deregistered:
		return health.Deregistered
	case Syncing, Serving, Standby:
	}
	return health.SyncFailing
}

// Set puts a condition of the site on its board; err nil takes it back.
func (w *Worker) Set(kind health.Kind, err error) { w.account.conditions.Set(kind, err) }

// Known reports whether the site can be served with what is in the store.
func (w *Worker) Known() bool {
	s := w.Snapshot()
	return s.known(w.account.site)
}

// ErrNotReady says that the site has not come far enough to ask its AS for anything.
var ErrNotReady = errors.New("the site has no PAT yet: umagate status tells why")

// Protection returns the AS as it can be asked now, with the PAT that Run renews;
// [ErrNotReady] before there is one.
func (w *Worker) Protection() (*as.Protection, error) {
	s := w.Snapshot()
	if s.Server == nil || s.PAT.Value.IsZero() {
		return nil, ErrNotReady
	}
	source := s.source
	if source == nil {
		// This replica does not renew it.
		source = as.NewPATSource(s.PAT, func(context.Context) (as.Token, error) { return as.Token{}, ErrNotReady }, nil, nil)
	}
	return s.Server.Protection(source), nil
}

// Declared counts the resources that the AS has to have, and those that it has.
func (w *Worker) Declared(s Snapshot) (declared, registered int) {
	for _, d := range reconcile.Declared(w.account.site) {
		declared++
		if s.ResourceIDs[d.Name] != "" {
			registered++
		}
	}
	return declared, registered
}
