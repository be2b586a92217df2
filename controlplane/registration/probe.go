package registration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

const (
	// probeTimeout bounds a probe, where the site's own timeout does not: what it finds is
	// to be shown within 15 s of when it began.
	probeTimeout = 5 * time.Second
	// lostTimeout bounds what a probe reads of the store before.
	lostTimeout = time.Second
	// probeCalls bounds the calls by which a probe finds out which resources are missing.
	probeCalls = 24
	// window is how many resources, and how many instances, one probe asks a ticket for.
	// Those of a site with more have their turn, and the AS's list is looked at.
	window = 100
	// listShare is how much of the time a list may take at most, as one part of so many. An
	// AS that gives none is asked again after listRefused.
	listShare, listRefused = 20, time.Minute
	// recheckedMost bounds how many instances are compared with the AS after one probe.
	recheckedMost = 500
	// clockTolerance is by how much clocks may differ: requests with new tokens meet it
	// beyond a few seconds.
	clockTolerance = 3 * time.Second
	// namedMost bounds how many resources a condition names.
	namedMost = 5
)

// probeStore is what a probe reads.
type probeStore interface {
	RegisteredInstances(ctx context.Context, key store.Key) ([]store.RegisteredInstance, error)
	FailedInstances(ctx context.Context, key store.Key, most int) (first []store.Instance, count int, err error)
	Lost(ctx context.Context, key store.Key) ([]store.Lost, error)
}

// prober does at the AS what the site's Envoys do. It is of whoever calls Worker.Probe.
type prober struct {
	due time.Time
	// resources and instances are whose turn it is among them; most is how many at once,
	// less than window for an AS that does not take as many.
	resources, instances turns
	most                 int
	many                 bool      // the last probe did not ask for all
	listDue              time.Time // when the AS's list is next looked at
	well                 bool      // the last probe found nothing
	refused              bool      // it found a credential refused
	ending               bool      // it saw a certificate that ends soon

	asTime atomic.Pointer[asTime] // what the AS said last; nil for nothing. Anybody may read it.
}

// asTime is what time it was by the AS's clock, and when that was, by a clock that nobody
// puts ahead or back.
type asTime struct{ time, at time.Time }

// ASTime returns what time it is by the AS's clock, as far as a probe found that out; else
// zero. What is done to this host's clock meanwhile changes nothing of it.
func (w *Worker) ASTime() time.Time {
	said := w.prober.asTime.Load()
	if said == nil {
		return time.Time{}
	}
	return said.time.Add(time.Since(said.at))
}

// hear notes what the AS says of its clock.
func (p *prober) hear(clocks ...as.Clock) {
	for _, c := range clocks {
		if c.Known {
			now := time.Now()
			p.asTime.Store(&asTime{time: now.Round(0).Add(c.Ahead), at: now})
			return
		}
	}
}

// turns is where in a list the next turn begins.
type turns int

// take returns as many of the list as there may be, from where the last turn ended.
func (t *turns) take(all []registered, most int) []registered {
	out := make([]registered, 0, min(most, len(all)))
	for range cap(out) {
		*t %= turns(len(all))
		out = append(out, all[*t])
		*t++
	}
	return out
}

// registered is a resource that the AS is to have.
type registered struct {
	name     string
	instance bool
	config.Permission
}

// nobodysToken is asked about where there is no other: whether the AS takes the credential
// is in the status of its answer.
var nobodysToken = secret.New("umagate-asks-whether-its-credential-is-taken")

// newProber probes first when a site has had the time to get ready.
func newProber(i Intervals) prober {
	return prober{due: time.Now().Add(i.WithDefaults().Health / 3), well: true}
}

func newRegistered(name, id string, scopes []string) registered {
	return registered{name: name, Permission: config.Permission{ResourceID: id, ResourceScopes: scopes}}
}

// ProbeDue reports whether it is time for [Worker.Probe], which must not be under way.
func (w *Worker) ProbeDue(now time.Time) bool { return !now.Before(w.prober.due) }

// Probe asks the AS what the site's Envoys ask it, with their credentials, and puts on
// the board of conditions what keeps their users out. Every replica does so, since each
// has Envoys of its own. One call at a time.
//
// What it finds has the worker look again at once, where this replica leads: a PAT that
// is refused is renewed, a client's new secret read, a resource registered anew.
func (w *Worker) Probe(ctx context.Context) {
	p, a := &w.prober, w.account
	w.tellLost(ctx)
	defer func() {
		p.due = time.Now().Add(spread(a.intervals.Health))
		if !p.well {
			p.due = time.Now().Add(spread(a.intervals.Health / 3))
		}
	}()
	now := w.Snapshot()
	if !now.known(a.site) {
		// The phase and its failure say why; Envoys deny.
		a.tell(&finding{})
		p.well = true
		return
	}
	probing, cancel := context.WithTimeout(ctx, min(a.site.AuthorizationServer.Timeout, probeTimeout))
	found := w.probe(probing, &now)
	cancel()
	if ctx.Err() != nil {
		return
	}
	a.tell(found)
	w.tellCertificates(time.Now())
	well, refused := found.well(), found.introspectionRefused != nil || found.ticketsRefused != nil
	if well && !p.well || refused && !p.refused {
		w.recheck()
	}
	p.well, p.refused = well, refused
	w.missing(append(found.missing, found.unlisted...))
}

// missing has what the AS does not have looked after.
func (w *Worker) missing(list []registered) {
	for _, r := range list[:min(len(list), recheckedMost)] {
		if !r.instance {
			w.SyncNow()
		} else if w.account.missing != nil {
			w.account.missing(r.name)
		}
	}
}

// recheck has the worker, where it runs, try its client and its PAT now.
func (w *Worker) recheck() {
	select {
	case w.doubt <- struct{}{}:
	default:
	}
}

// finding is what a probe has found; nil and none for nothing.
type finding struct {
	unreachable, introspectionRefused, introspectionFails, ticketsRefused, ticketsFail, clock error
	missing, unlisted                                                                         []registered
	why                                                                                       error // of the first that is missing
}

func (f *finding) well() bool {
	return cmp.Or(f.unreachable, f.introspectionRefused, f.introspectionFails, f.ticketsRefused, f.ticketsFail) == nil && len(f.missing) == 0
}

func (a *account) tell(f *finding) {
	a.conditions.Set(health.AuthorizationServerUnreachable, f.unreachable)
	a.conditions.Set(health.IntrospectionRefused, f.introspectionRefused)
	a.conditions.Set(health.IntrospectionFailing, f.introspectionFails)
	a.conditions.Set(health.TicketsRefused, f.ticketsRefused)
	a.conditions.Set(health.TicketsFailing, f.ticketsFail)
	a.conditions.Set(health.ResourceMissing, f.missed())
	a.conditions.Set(health.ClockSkew, f.clock)
}

// tellLost tells what the AS lost and nobody has acknowledged.
func (w *Worker) tellLost(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lostTimeout)
	defer cancel()
	lost, err := w.store.Lost(ctx, w.account.key)
	if err != nil {
		return // what is the matter with the store is told by who watches it
	}
	var policies, instances []string
	for _, l := range lost {
		if l.Kind == store.LostInstance {
			instances = append(instances, l.Name)
		} else {
			policies = append(policies, l.Name)
		}
	}
	w.Set(health.PoliciesLost, few(policies))
	w.Set(health.InstanceGone, few(instances))
	w.tellPending(ctx)
}

// tellPending tells of which instances the AS did not do what was asked.
func (w *Worker) tellPending(ctx context.Context) {
	failed, count, err := w.store.FailedInstances(ctx, w.account.key, namedMost)
	if err != nil {
		return
	}
	if count == 0 {
		w.Set(health.InstancePending, nil)
		return
	}
	names := make([]string, len(failed))
	for i := range failed {
		names[i] = failed[i].Name
	}
	w.Set(health.InstancePending, fmt.Errorf("%s: the first, of owner %q, is %s: %s", firstOf(names, count), failed[0].Owner, failed[0].State, failed[0].Failure))
}

// few names the first of many; nil for none.
func few(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return errors.New(firstOf(names, len(names)))
}

// firstOf names the first of so many.
func firstOf(names []string, count int) string {
	shown := slices.Clone(names[:min(len(names), namedMost)])
	if more := count - len(shown); more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

// missed names what the AS does not have.
func (f *finding) missed() error {
	if len(f.missing) == 0 {
		return nil
	}
	names := make([]string, 0, len(f.missing))
	for _, r := range f.missing {
		names = append(names, r.name)
	}
	return fmt.Errorf("%w: %w", few(names), f.why)
}

// probe makes the calls of one probe.
func (w *Worker) probe(ctx context.Context, now *Snapshot) *finding {
	f := &finding{}
	introspected, err := w.account.introspect(ctx, now)
	switch {
	case err == nil:
	case unanswered(err):
		f.unreachable = err
	case errors.Is(err, as.ErrClientRefused), errors.Is(err, as.ErrPATRefused):
		f.introspectionRefused = err
	default:
		f.introspectionFails = err
	}
	ticket, err := w.tickets(ctx, now, f)
	switch {
	case err == nil:
	case unanswered(err):
		f.unreachable = cmp.Or(f.unreachable, err)
	case errors.Is(err, as.ErrPATRefused):
		f.ticketsRefused = err
	default:
		f.ticketsFail = err
	}
	clocks := []as.Clock{introspected, ticket, w.issued(ctx, now, introspected.Known || ticket.Known)}
	w.prober.hear(clocks...)
	f.clock = skew(clocks...)
	return f
}

// issued is what a new token says of the AS's clock, where its answers say nothing. That
// there is none is told by the worker.
func (w *Worker) issued(ctx context.Context, now *Snapshot, known bool) as.Clock {
	if known || !needsPAT(w.account.site, now.Server) || (&pat{account: w.account}).byLogin() {
		return as.Clock{}
	}
	clock, err := now.Server.ProbeClock(ctx, now.Client.Auth)
	if err != nil {
		return as.Clock{}
	}
	return clock
}

// unanswered reports whether a call had no answer at all.
func unanswered(err error) bool {
	failed, ok := errors.AsType[*as.Error](err)
	return ok && failed.Status == 0 && errors.Is(err, as.ErrUnavailable)
}

// introspect asks about the site's own PAT, or about a token that nobody has.
func (a *account) introspect(ctx context.Context, now *Snapshot) (as.Clock, error) {
	_, credentials := now.Facts()
	authorization, clientID := credentials.Introspection, ""
	if introspectionCredential(a.site, now.Server) == as.CredentialPAT {
		authorization = credentials.PAT
	} else if now.Client.method.UsesTLS() {
		authorization, clientID = secret.Text{}, now.Client.ID()
	}
	token := now.PAT.Value
	if token.IsZero() {
		token = nobodysToken
	}
	return now.Server.ProbeIntrospection(ctx, as.Asked{
		Authorization: authorization, ClientID: clientID, Hint: a.site.AuthorizationServer.Introspection.TokenTypeHint,
	}, token)
}

// tickets asks for a ticket of resources whose turn it is, and of those that the AS's list
// does not have.
func (w *Worker) tickets(ctx context.Context, now *Snapshot, f *finding) (as.Clock, error) {
	if w.account.site.Require == config.RequireOAuthScopes {
		return as.Clock{}, nil
	}
	// The list first: what is registered meanwhile is not in it, and what is removed is not
	// in the store.
	listed, ok := w.listed(ctx)
	resources, instances := w.registrations(ctx, now)
	most := cmp.Or(w.prober.most, window)
	w.prober.many = max(len(resources), len(instances)) > most
	clock, err := w.examine(ctx, now, append(w.prober.resources.take(resources, most), w.prober.instances.take(instances, most)...), f)
	if err != nil || !ok || len(f.missing) > 0 {
		return clock, err
	}
	for _, r := range append(resources, instances...) {
		if !listed[r.ResourceID] {
			f.unlisted = append(f.unlisted, r)
		}
	}
	_, err = w.examine(ctx, now, f.unlisted[:min(len(f.unlisted), most)], f)
	if len(f.unlisted) > 0 && len(f.missing) == 0 {
		f.unlisted, w.prober.listDue = nil, time.Now().Add(listRefused) // the list is not whole
	}
	return clock, err
}

// listed has the ids of the AS's list, where the site has more than are asked for at once.
// That one is not in it proves nothing.
func (w *Worker) listed(ctx context.Context) (map[string]bool, bool) {
	began := time.Now()
	if !w.prober.many || began.Before(w.prober.listDue) {
		return nil, false
	}
	protection, err := w.Protection()
	var ids []string
	if err == nil {
		ids, err = protection.List(ctx)
	}
	if err != nil {
		// The turns go on; what keeps users out is found by the calls that Envoys make.
		w.prober.listDue = began.Add(listRefused)
		w.account.logger.Debug("the resources at the authorization server are not listed", slog.Any("error", err))
		return nil, false
	}
	w.prober.listDue = began.Add(listShare * time.Since(began))
	listed := make(map[string]bool, len(ids))
	for _, id := range ids {
		listed[id] = true
	}
	return listed, true
}

// examine asks for a ticket of all of a list, and finds out which of them the AS does not
// have. A PAT that is refused is renewed where this replica can, and the one that Envoys
// then have is tried.
func (w *Worker) examine(ctx context.Context, now *Snapshot, list []registered, f *finding) (as.Clock, error) {
	if len(list) == 0 {
		return as.Clock{}, nil
	}
	clock, err := w.account.ticket(ctx, now, list)
	if errors.Is(err, as.ErrPATRefused) && now.source != nil {
		if _, renewing := now.source.Refused(ctx, now.PAT.Value); renewing != nil {
			return clock, errors.Join(err, renewing)
		}
		*now = w.Snapshot()
		clock, err = w.account.ticket(ctx, now, list)
	}
	if !errors.Is(err, as.ErrRejected) && !errors.Is(err, as.ErrNotFound) {
		return clock, err
	}
	calls := probeCalls
	f.missing, f.why = w.search(ctx, now, list, err, &calls)
	if len(f.missing) == 0 {
		// Each is there, and all together are too many.
		w.prober.most = max(1, len(list)/2)
	}
	return clock, nil
}

// search finds out which of list, for which a ticket was refused for the reason why, the
// AS does not have.
func (w *Worker) search(ctx context.Context, now *Snapshot, list []registered, why error, calls *int) ([]registered, error) {
	if len(list) == 1 {
		return list, why
	}
	var missing []registered
	var first error
	for _, half := range [][]registered{list[:len(list)/2], list[len(list)/2:]} {
		if *calls--; *calls < 0 {
			break
		}
		if _, err := w.account.ticket(ctx, now, half); errors.Is(err, as.ErrRejected) || errors.Is(err, as.ErrNotFound) {
			found, err := w.search(ctx, now, half, err, calls)
			missing, first = append(missing, found...), cmp.Or(first, err)
		}
	}
	return missing, first
}

func (a *account) ticket(ctx context.Context, now *Snapshot, list []registered) (as.Clock, error) {
	_, credentials := now.Facts()
	permissions := make([]config.Permission, 0, len(list))
	for _, r := range list {
		permissions = append(permissions, r.Permission)
	}
	return now.Server.ProbePermission(ctx, as.Asked{Authorization: credentials.PAT}, permissions)
}

// registrations lists what the AS is to have: resources and instances.
func (w *Worker) registrations(ctx context.Context, now *Snapshot) (resources, instances []registered) {
	s := w.account.site
	resources = w.account.declared(now)
	if !s.HasInstances() {
		return resources, nil
	}
	kept, err := w.store.RegisteredInstances(ctx, w.account.key)
	if err != nil {
		return resources, nil // what is the matter with the store is told by who watches it
	}
	scopes := map[string][]string{}
	for i := range s.Resources {
		scopes[s.Resources[i].Name] = s.Resources[i].RegisteredScopes()
	}
	for _, in := range kept {
		if of, ok := scopes[in.Template]; ok {
			r := newRegistered(in.Name, in.ID, of)
			r.instance = true
			instances = append(instances, r)
		}
	}
	return resources, instances
}

// declared lists the resources that stand in the file and at the AS.
func (a *account) declared(now *Snapshot) []registered {
	var out []registered
	for _, d := range reconcile.Declared(a.site) {
		if id := now.ResourceIDs[d.Name]; id != "" {
			out = append(out, newRegistered(d.Name, id, d.Scopes))
		}
	}
	for i := range a.site.Resources {
		if r := &a.site.Resources[i]; r.ID != "" && r.NeedsPermission() {
			out = append(out, newRegistered(r.Name, r.ID, r.RegisteredScopes()))
		}
	}
	return out
}

// skew says by how much the AS's clock differs.
func skew(clocks ...as.Clock) error {
	var by time.Duration
	for _, c := range clocks {
		if d := c.Differs(); d.Abs() > by.Abs() {
			by = d
		}
	}
	if by.Abs() <= clockTolerance {
		return nil
	}
	direction := "ahead of"
	if by < 0 {
		direction = "behind"
	}
	return fmt.Errorf("it is %s %s this host's", by.Abs().Round(time.Second), direction)
}
