package registration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
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
