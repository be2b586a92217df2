package registration

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

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
