package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/decision"
)

const (
	// checkStoreEvery is how often the store is tried, checkStoreWithin how long it has.
	checkStoreEvery, checkStoreWithin = 3 * time.Second, 5 * time.Second
	// probesDueEvery is how often sites whose probe is due are looked for.
	probesDueEvery = 250 * time.Millisecond
	// goneAfter is how long an Envoy may be away, as one that starts again is.
	goneAfter = 10 * time.Second
	// namedMost bounds how many a condition names: a thousand Envoys have the same.
	namedMost = 5
)

// conditions lists what is the matter, of one moment: the one at which status has seen
// what it shows.
func (s *controlPlane) conditions(out *Status, published publication, now time.Time) []health.Condition {
	list := s.board.Conditions()
	add := func(kind health.Kind, site, message string, since time.Time) {
		list = append(list, kind.New(site, message, "", since))
	}
	if s.envoyTLS != nil {
		if since, err := s.envoyTLS.Failed(); err != nil {
			add(health.CertificateRefused, "", err.Error(), since)
		}
		if ends, since, soon := s.envoyTLS.EndsSoon(now); soon {
			add(health.CertificateEnding, "", fmt.Sprintf("that of listen.xds_tls, %s: %s", s.envoyTLS.Certificate, ends.UTC().Format(time.RFC3339)), since)
		}
	}
	switch {
	case published.err != nil:
		add(health.ConfigurationNotPublished, "", published.err.Error(), published.failing)
	case published.behind:
		add(health.PublicationPending, "", "it is not given to Envoys yet", cmp.Or(published.waiting, now))
	}
	if since, err := s.reloader.failed.get(); err != nil {
		if refused, ok := errors.AsType[*candidateError](err); ok {
			list = append(list, health.CandidateRefused.New(refused.site, err.Error(), registration.Remedy(refused.err), since))
		} else {
			add(health.ConfigurationRefused, "", s.options.Path+": "+err.Error(), since)
		}
	}
	inForce := s.inForce.get()
	for _, o := range inForce.orphaned() {
		add(health.HostOrphaned, o.site, o.String(), inForce.since)
	}
	for i := range out.Sites {
		list = append(list, out.Sites[i].Conditions...)
	}
	list = append(list, envoyConditions(out.Envoys, out.TurnedAway, published.groups, s.options.Module, now)...)
	untrusted := several{kind: health.EnvoyNotLetIn}
	for _, r := range out.NotLetIn {
		untrusted.add(r.Since, "from %s: %s", r.Address, r.Reason)
	}
	list = append(list, together(untrusted)...)
	list = append(list, agentConditions(out.Agents, now)...)
	list = append(list, s.presence.differing(now)...)
	if elsewhere, known := s.presence.agents(now); known && inForce.file != nil && inForce.file.Envoy.LastGood != "" {
		list = append(list, missingAgents(out.Envoys, out.Agents, elsewhere, s.options.Intervals.Missed, inForce.since, now)...)
	}
	list = append(list, callConditions(out.Envoys, out.Sites)...)
	list = append(list, withheldConditions(out.Envoys)...)
	for _, w := range inForce.workers {
		list = append(list, staleConditions(out.Envoys, w.site, now)...)
	}
	slices.SortStableFunc(list, func(a, b health.Condition) int {
		return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Name, b.Name))
	})
	if list == nil {
		list = []health.Condition{}
	}
	return list
}

// several is a condition that several Envoys share.
type several struct {
	kind   health.Kind
	since  time.Time
	all    []string
	remedy string // the kind's when empty
}

func (s *several) add(since time.Time, format string, args ...any) {
	if len(s.all) == 0 || since.Before(s.since) {
		s.since = since
	}
	s.all = append(s.all, fmt.Sprintf(format, args...))
}

// envoyConditions lists what keeps Envoys from having what they are given.
func envoyConditions(envoys []xds.Envoy, away []xds.Rejected, groups []publishedGroup, module string, now time.Time) []health.Condition {
	gone, refused, behind, turned := several{kind: health.EnvoyGone}, several{kind: health.EnvoyRefused}, several{kind: health.EnvoyBehind}, several{kind: health.EnvoyTurnedAway}
	clocks, trapped, modules := several{kind: health.EnvoyClockSkew}, several{kind: health.EnvoyFilterTrapped}, several{kind: health.EnvoyModuleDiffers}
	for _, r := range away {
		turned.add(r.Since, "%s (cluster %q, certificate %q)", r.NodeID, r.Cluster, r.Certificate)
	}
	fronts := map[string]front{}
	for _, g := range groups {
		fronts[g.name] = g.front
	}
	unlike := map[string]*several{}
	for i := range envoys {
		e := &envoys[i]
		if !e.Connected {
			if now.Sub(e.DisconnectedAt) > goneAfter {
				gone.add(e.DisconnectedAt, "%s", e.NodeID)
			}
			continue
		}
		if t := e.Trapped; t != nil {
			trapped.add(t.Since, "%s (%s) %s", e.NodeID, e.Address, trapState(t))
		}
		if c := e.Clock; c != nil {
			by, direction := time.Duration(c.AheadMS)*time.Millisecond, "ahead of"
			if by < 0 {
				direction = "behind"
			}
			clocks.add(c.Since, "that of %s (%s) is %s %s this host's", e.NodeID, e.Address, by.Abs().Round(time.Second), direction)
		}
		differs := otherModule(e, module)
		if differs != "" {
			modules.add(e.ConnectedSince, "%s (%s) %s", e.NodeID, e.Address, differs)
		}
		if f, ok := fronts[e.Group]; ok {
			for _, m := range f.mismatches(e) {
				if unlike[m.kind.Name] == nil {
					unlike[m.kind.Name] = &several{kind: m.kind}
				}
				unlike[m.kind.Name].add(e.ConnectedSince, "%s %s", e.NodeID, m.what)
			}
		}
		for _, kind := range xds.Types() {
			switch state := e.Types[kind]; {
			case state.Refused != "":
				refused.add(state.RefusedAt, "%s refused %s %s: %s", e.NodeID, kind, state.Refused, state.ErrorMessage)
				if kind == xds.ECDS && differs != "" {
					refused.remedy = health.EnvoyModuleDiffers.Remedy
				}
			case state.Sent != "" && state.Acknowledged != state.Sent:
				behind.add(state.SentAt, "%s has not acknowledged %s %s", e.NodeID, kind, state.Sent)
			}
		}
	}
	all := []several{gone, refused, behind, turned, clocks, trapped, modules}
	for _, name := range slices.Sorted(maps.Keys(unlike)) {
		all = append(all, *unlike[name])
	}
	return together(all...)
}

// trapState says how things stand after the last trap.
func trapState(t *xds.Traps) string {
	now := "does not serve on one worker"
	if t.Serves {
		now = "serves again"
	}
	out := fmt.Sprintf("%s: started anew %d times, %d requests refused meanwhile", now, t.Restarted, t.Refused)
	if t.Failed > 0 {
		out += fmt.Sprintf(", %d starts failed", t.Failed)
	}
	return out + fmt.Sprintf("; last reported at %s", t.Last.UTC().Format(time.TimeOnly))
}

// together makes one condition of each that somebody has.
func together(all ...several) []health.Condition {
	var out []health.Condition
	for _, s := range all {
		if len(s.all) > 0 {
			out = append(out, s.condition(""))
		}
	}
	return out
}

// condition names the first of them.
func (s *several) condition(site string) health.Condition {
	shown := s.all[:min(len(s.all), namedMost)]
	if more := len(s.all) - len(shown); more > 0 {
		shown = append(slices.Clone(shown), fmt.Sprintf("and %d more", more))
	}
	return s.kind.New(site, strings.Join(shown, "; "), s.remedy, s.since)
}

// withheldConditions lists the sites whose MCP messages Envoys withhold from their filters.
func withheldConditions(envoys []xds.Envoy) []health.Condition {
	bySite := map[string]*several{}
	for i := range envoys {
		e := &envoys[i]
		for _, w := range e.Withheld {
			s := bySite[w.Site]
			if s == nil {
				s = &several{kind: health.EnvoyWithholdsMessages}
				bySite[w.Site] = s
			}
			s.add(w.Since, "%s (%s): %d messages, %s, last reported at %s", e.NodeID, e.Address, w.Messages, w.Reason, w.Last.UTC().Format(time.TimeOnly))
		}
	}
	var out []health.Condition
	for _, site := range slices.Sorted(maps.Keys(bySite)) {
		out = append(out, bySite[site].condition(site))
	}
	return out
}

// callConditions lists the sites whose authorization server Envoys call in vain, by what
// they report.
func callConditions(envoys []xds.Envoy, sites []SiteStatus) []health.Condition {
	var out []health.Condition
	for i := range sites {
		site := sites[i].Name
		unanswered, refused := several{kind: health.EnvoyCannotReachAuthorizationServer}, several{kind: health.EnvoyCallsRefused}
		for j := range envoys {
			for _, c := range envoys[j].Failing {
				if c.Site != site {
					continue
				}
				by := &refused
				if c.Outcome == decision.CallUnreachable.String() || c.Outcome == decision.CallRefused.String() {
					by = &unanswered
				}
				by.add(c.Since, "%s (%s): %d of %d calls for %s, %s", envoys[j].NodeID, envoys[j].Address, c.Failed, c.All, c.Operation, c.Outcome)
			}
		}
		for _, s := range []several{unanswered, refused} {
			if len(s.all) > 0 {
				out = append(out, s.condition(site))
			}
		}
	}
	return out
}

// staleConditions tells that Envoys believe tokens of a site that they cannot ask the AS
// about, and until when at the latest.
func staleConditions(envoys []xds.Envoy, settings *site.Site, now time.Time) []health.Condition {
	believed := several{kind: health.StaleTokensBelieved}
	var until time.Time
	for i := range envoys {
		for _, stale := range envoys[i].Stale {
			if stale.Site != settings.Name {
				continue
			}
			last := stale.Since
			if stale.Answered.After(last) {
				last = stale.Answered
			}
			end := last.Add(settings.Token.MaxTTL + settings.Token.Stale)
			if now.After(end) {
				continue // nobody passes any more
			}
			if end.After(until) {
				until = end
			}
			believed.add(stale.Since, "%s (%s): %d requests", envoys[i].NodeID, envoys[i].Address, stale.Requests)
		}
	}
	if len(believed.all) == 0 {
		return nil
	}
	out := believed.condition(settings.Name)
	out.Message = fmt.Sprintf("until %s at the latest, and no longer than each token lives; %s", until.UTC().Format(time.RFC3339), out.Message)
	return []health.Condition{out}
}

// watchStore tries the store until ctx ends, as a revocation would use it, and has the
// replicas that share it know of each other.
func (s *controlPlane) watchStore(ctx context.Context) {
	defer s.presence.leave(ctx)
	ticker := time.NewTicker(s.options.Intervals.Store)
	defer ticker.Stop()
	for ctx.Err() == nil {
		checking, cancel := context.WithTimeout(ctx, checkStoreWithin)
		err := s.store.Check(checking)
		if err == nil {
			err = s.presence.tell(checking)
		}
		cancel()
		if ctx.Err() == nil {
			s.setStore(err)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

// setStore puts on the board what a trial of the store has found.
func (s *controlPlane) setStore(err error) {
	var unreachable, replaced, full, readOnly, unknown error
	switch {
	case errors.Is(err, store.ErrSealed):
		unknown = err
		s.election.yield()
	case errors.Is(err, store.ErrFileReplaced):
		replaced = err
	case errors.Is(err, store.ErrDiskFull):
		full = err
	case errors.Is(err, store.ErrReadOnly):
		readOnly = err
		if s.store.Shared() { // another replica may reach one that can be written
			s.election.yield()
		}
	default:
		unreachable = err
	}
	s.board.Set(health.StoreUnreachable, unreachable)
	s.board.Set(health.StoreReplaced, replaced)
	s.board.Set(health.StoreFull, full)
	s.board.Set(health.StoreReadOnly, readOnly)
	s.board.Set(health.StoreKeyUnknown, unknown)
}

// probeSites has every site's AS asked what Envoys ask it, until ctx ends.
func (s *controlPlane) probeSites(ctx context.Context) {
	ticker := time.NewTicker(probesDueEvery)
	defer ticker.Stop()
	var probes sync.WaitGroup
	defer probes.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		_, workers := s.current()
		for _, w := range workers {
			if !w.probing.TryLock() {
				continue
			}
			if !w.ProbeDue(time.Now()) {
				w.probing.Unlock()
				continue
			}
			probes.Go(func() {
				defer w.probing.Unlock()
				w.Probe(ctx)
			})
		}
	}
}
