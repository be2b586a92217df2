package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

// Phase is what a site's worker is doing.
type Phase string

// The phases, in their order.
const (
	Discovering Phase = "discovering"
	Registering Phase = "registering"
	GettingPAT  Phase = "pat"
	Syncing     Phase = "syncing"
	Serving     Phase = "serving"
	// Following: another replica does the work, and this one serves what it wrote.
	Following Phase = "following"
	// Deregistered: nothing is done for the site any more, by request.
	Deregistered Phase = "deregistered"
)

// worker looks after one site. Its steps run on one goroutine, that of run; the
// fields under mu are read by the publisher and by status.
type worker struct {
	site   *site.Site
	key    store.Key
	store  store.Store
	client *as.Client
	logger *slog.Logger
	pace   Pace
	// tracer makes the spans of what is brought in step; nil for none.
	tracer trace.Tracer
	// wake ends the wait for what is due next.
	wake chan struct{}
	// changed is told that there is something new to publish. It is called with mu
	// held, by whoever changes what view returns: status must not show the one
	// without the other.
	changed func()
	// manual: a command is at it, on somebody's request.
	manual bool
	// removing: that command removes the site.
	removing bool
	// closeIdle closes connections to the AS that nothing uses.
	closeIdle func()
	// certificate is the client's own; nil for none. Transports read it.
	certificate atomic.Pointer[tls.Certificate]

	// keeper looks after instances; nil for a site without.
	keeper *instance.Keeper

	// Of the goroutine of run.
	pats         *as.PATSource
	discoverAt   time.Time
	syncAt       time.Time
	probeAt      time.Time
	updateAt     time.Time       // when the registration is next compared with the file
	keysAt       time.Time       // when the client's keys are next looked at
	secretDue    time.Time       // when something is to be done about the client secret's end
	refusedSince time.Time       // since when the AS refuses the client
	usedKey      string          // the key that auth uses, where it is umagate's
	dropped      map[string]bool // keys that are being taken back
	driftFrom    int             // whose turn it is to be read, see syncResources

	mu      sync.Mutex
	server  *as.Server
	auth    as.ClientAuth
	creds   envoyconf.Credentials
	method  as.AuthMethod
	keys    keyring
	jwks    json.RawMessage // the public part of keys
	ownedID bool            // the client was registered by umagate
	expires time.Time
	pat     as.Token
	renewAt time.Time
	ids     map[string]string
	shared  *as.PATSource // pats, for those who are not on that goroutine
	phase   Phase
	failure *failure
	synced  time.Time

	attentions []attention
	// withheld is how many deletions are waiting for somebody to ask for them.
	withheld int
}

// failure is what keeps a worker from its next phase.
type failure struct {
	err       error
	since     time.Time
	attempts  int
	nextRetry time.Time
}

// run works until ctx ends. restore has been called.
func (w *worker) run(ctx context.Context) {
	defer w.stop()
	failures := 0
	for ctx.Err() == nil {
		err := w.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := time.Until(w.nextDue())
		if err != nil {
			failures++
			wait = w.pace.retry().Backoff(failures, as.RetryAfter(err))
			if errors.Is(err, errLogin) || errors.Is(err, errDeregistered) || errors.Is(err, errDeregistering) {
				wait = min(wait, w.pace.Probe) // the store is asked only
			}
			w.fail(err, failures, wait)
		} else {
			failures = 0
			w.succeed()
		}
		// Whatever an AS says of its times, it is not asked without a pause.
		timer := time.NewTimer(max(wait, w.pace.Retry/10))
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-w.wake:
			timer.Stop()
			w.syncAt, failures = time.Time{}, 0
		case <-timer.C:
		}
	}
}

// syncNow has the resources compared with the AS at once, by who calls the API.
func (w *worker) syncNow() {
	select {
	case w.wake <- struct{}{}:
	default: // it is asked for already
	}
}

// pass does what is due. Each step does nothing when it is not.
func (w *worker) pass(ctx context.Context) error {
	for _, step := range []func(context.Context) error{w.discover, w.setClient, w.followFile, w.keepKeys, w.renewPAT, w.syncResources} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// nextDue is when pass has something to do again.
func (w *worker) nextDue() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	due := w.discoverAt
	for _, at := range []time.Time{w.syncAt, w.probeAt, w.renewAt, w.secretDue, w.updateAt, w.keysAt} {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return due
}

func (w *worker) stop() {
	if w.pats != nil {
		w.pats.Wait()
	}
}

func (w *worker) enter(p Phase) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != p {
		w.phase = p
		w.logger.Debug("site enters a phase", slog.String("phase", string(p)))
	}
}

func (w *worker) fail(err error, attempts int, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	f := &failure{err: err, since: now, attempts: attempts, nextRetry: now.Add(wait)}
	if w.failure != nil {
		f.since = w.failure.since
	}
	w.failure = f
	w.changed()
	w.logger.Warn("site step failed",
		slog.String("phase", string(w.phase)), slog.Any("error", err), slog.String("remedy", remedy(err)),
		slog.Int("attempts", attempts), slog.Duration("retry_in", wait.Round(time.Millisecond)))
}

func (w *worker) succeed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.phase != Serving || w.failure != nil {
		w.logger.Info("site is serving", slog.String("client_id", clientID(w.auth)), slog.Int("resources", len(w.ids)))
	}
	w.phase, w.failure = Serving, nil
	w.changed()
}

// publicKeys is the JWKS of the site's client, and whether it has one.
func (w *worker) publicKeys() (json.RawMessage, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, own := w.site.AuthorizationServer.Client.OwnKeys()
	return w.jwks, own && w.jwks != nil
}

// restore takes over what the store knows. It asks nothing of the AS.
func (w *worker) restore(ctx context.Context) error {
	if err := w.restoreDiscovery(ctx); err != nil {
		return err
	}
	if err := w.restoreClient(ctx); err != nil {
		return err
	}
	if err := w.restorePAT(ctx); err != nil {
		return err
	}
	return w.readIDs(ctx)
}

// readIDs takes the resource ids from the store.
func (w *worker) readIDs(ctx context.Context) error {
	r := reconcile.Reconciler{Records: w.store, Key: w.key}
	ids, err := r.IDs(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !maps.Equal(ids, w.ids) {
		w.ids = ids
		w.changed()
	}
	return nil
}

// view is what the publisher needs to know of the site.
func (w *worker) view() (site.Facts, envoyconf.Credentials) {
	w.mu.Lock()
	defer w.mu.Unlock()
	creds := w.creds
	creds.PAT = envoyconf.Bearer(w.pat.Value)
	if w.server == nil {
		return site.Facts{}, creds // not known yet: the site denies
	}
	facts := link.Facts(w.server, maps.Clone(w.ids))
	facts.ClientCertificate = !creds.Certificate.IsZero()
	if w.method.UsesTLS() {
		facts.ClientID = clientID(w.auth)
	}
	return facts, creds
}

func clientID(auth as.ClientAuth) string {
	if auth == nil {
		return ""
	}
	return auth.ClientID()
}

func remedy(err error) string {
	for _, r := range []struct {
		kind error
		text string
	}{
		{reconcile.ErrConflict, "Rename the resource in umagate.yaml, remove the other one at the AS, or take it over with adopt: true or umagate apply --adopt NAME."},
		{reconcile.ErrOtherSite, "Rename the resource in umagate.yaml, or give each site a client of its own. If the other site stands in no file any more, put it back and let umagate deregister --site NAME remove what it has."},
		{reconcile.ErrGone, "None needed: umagate serve registers it anew, and so does another umagate apply."},
		{reconcile.ErrManyDeletions, "Look at umagate plan; if they are meant, run umagate apply on a terminal, or umagate apply --yes --deletions N."},
		{reconcile.ErrAmbiguous, "Remove those that are not needed at the AS, or write the id: of the right one into umagate.yaml."},
		{store.ErrLocked, "Wait for the other umagate, or look at what it does with umagate status."},
		{store.ErrReplaced, "Nothing is to be done: another replica leads."},
		{errLogin, "Let the owner of the resources log in: umagate login --site NAME. Until then Envoys keep the PAT they have."},
		{errDeregistering, "Wait for the umagate deregister that is at it, or finish one that was cut off: umagate deregister --site NAME."},
		{errDeregistered, "Take the site out of umagate.yaml, or register it again with umagate apply."},
		{errLeftBehind, "Look for unused clients at the authorization server, and find out what stands between. umagate apply tries again at once."},
		{errDoubtful, "Look whether the authorization server has an unused client of this name. umagate apply tries again at once."},
		{errExpiry, "Renew the secret at the authorization server, or register with another method: umagate deregister, and then umagate apply."},
		{errNoManagement, "Change the client at the authorization server, or begin anew: umagate deregister --force, and then umagate apply."},
		{errNoKey, "Restore the store's backup, or begin anew: umagate deregister --force, and then umagate apply."},
		{errNoEnvoyCredential, "Write client.token_endpoint_auth_method: tls_client_auth or client_secret_basic; or, where the authorization server takes the PAT there (Keycloak does not), introspection.credential: pat."},
		{store.ErrSealed, "Start with the key file or store_key that the database was written with."},
	} {
		if errors.Is(err, r.kind) {
			return r.text
		}
	}
	return as.Remedy(err)
}
