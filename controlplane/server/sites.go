package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// inForce is what is served. Whoever reads it gets one state, which does not change.
type inForce struct {
	mu  sync.Mutex
	now served
}

type served struct {
	// file has the sites of every source.
	file    *site.File
	workers []*worker
	// parts has a digest of each part of the file, where replicas compare theirs.
	parts map[string]string
	// protected maps the hosts that sites have protected to their sites.
	protected map[string]string
	// since is when all this came into force.
	since time.Time
}

func (f *inForce) get() served {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *inForce) set(now served) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

// worker returns the worker of a site; nil for none.
func (f *inForce) worker(name string) *worker {
	for _, w := range f.get().workers {
		if w.site.Name == name {
			return w
		}
	}
	return nil
}

// sites puts files in force, and has the workers of their sites run while this replica
// leads.
type sites struct {
	store      *store.SQL
	recorder   audit.Recorder
	logger     *slog.Logger
	leadership *leadership
	inForce    *inForce
	// changed asks for a publication.
	changed func()
	// merge joins a file with the sites that stand in none; nil for none.
	merge func(ctx context.Context, file *site.File) (*site.File, error)
	// newWorker makes the worker of a site. prepare makes ready for a file what is not
	// of its workers. taken is told of a file that is in force.
	newWorker func(settings *site.Site) (*worker, error)
	prepare   func(ctx context.Context, file *site.File) error
	taken     func(file *site.File)

	// mu is held while workers begin or end.
	mu sync.Mutex
	// base is the file as it was read, without the sites of other sources; read is the
	// number of changes in the store that have been taken over.
	base *site.File
	read int64
}

// unread is no number of changes that a store gives.
const unread = -1

// apply makes file the one in force, nil the one that is, with the sites of other
// sources as they are now. Workers of sites that did not change go on; the others are
// stopped, and new ones begin with what the store knows.
//
// Another AS or client of a site that is served is tried first: a [candidateError] says
// that it does not work, and nothing has changed.
func (s *sites) apply(ctx context.Context, file *site.File) error {
	if file != nil {
		if err := s.try(ctx, file); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.applyLocked(ctx, file)
}

// candidateError says that another AS or client, which umagate.yaml newly has for a site,
// does not work.
type candidateError struct {
	site string
	err  error
}

func (e *candidateError) Error() string {
	return fmt.Sprintf("site %s: the authorization server or client that it newly has was tried, and the one before stays: %v", e.site, e.err)
}

func (e *candidateError) Unwrap() error { return e.err }

// tryWithin bounds how long an AS or client is tried.
const tryWithin = 30 * time.Second

// try tries the AS and client of each site that is served with others.
func (s *sites) try(ctx context.Context, file *site.File) error {
	for _, w := range s.inForce.get().workers {
		next, ok := file.Site(w.site.Name)
		if !ok || reflect.DeepEqual(next.AuthorizationServer, w.site.AuthorizationServer) {
			continue
		}
		if !w.Known() {
			continue
		}
		candidate, err := s.newWorker(next)
		if err == nil {
			trying, cancel := context.WithTimeout(ctx, tryWithin)
			err = candidate.Try(trying, s.leadership.leads(), next.AuthorizationServer.Issuer != w.site.AuthorizationServer.Issuer)
			if err != nil && w.Refused(trying) {
				err = nil // there is nothing that it could break
			}
			cancel()
		}
		if err != nil {
			return &candidateError{site: next.Name, err: err}
		}
	}
	return nil
}

func (s *sites) applyLocked(ctx context.Context, base *site.File) (err error) {
	if base == nil {
		base = s.base
	}
	file := base
	if s.merge != nil {
		if file, err = s.merge(ctx, base); err != nil {
			return err
		}
	}
	before := s.inForce.get()
	if before.file != nil {
		if err := unchangeable(before.file, file); err != nil {
			return err
		}
	}
	same := map[string]*worker{}
	for _, w := range before.workers {
		if next, ok := file.Site(w.site.Name); ok && reflect.DeepEqual(*next, *w.site) {
			same[w.site.Name] = w
		}
	}
	// Everything that can fail comes before anything is stopped.
	next := served{file: file, since: time.Now()}
	if s.store.Shared() {
		if next.parts, err = partsOf(file); err != nil {
			return err
		}
	}
	var fresh []*worker
	for i := range file.Sites {
		w := same[file.Sites[i].Name]
		if w == nil {
			if w, err = s.newWorker(&file.Sites[i]); err != nil {
				return fmt.Errorf("site %s: %w", file.Sites[i].Name, err)
			}
			fresh = append(fresh, w)
		}
		next.workers = append(next.workers, w)
	}
	if next.protected, err = s.protect(ctx, file); err != nil {
		return err
	}
	if err := s.prepare(ctx, file); err != nil {
		return err
	}
	if f := before.file; f != nil && !reflect.DeepEqual(f.StoreKeys(), file.StoreKeys()) {
		if err := s.store.SetKeys(ctx, file.StoreKeys()...); err != nil {
			return fmt.Errorf("store_key: %w", err)
		}
	}
	stop(before.workers, func(w *worker) bool { return same[w.site.Name] == nil })
	leads := s.leadership.leads()
	phase := registration.Standby
	if leads {
		phase = registration.Discovering
	}
	err = restore(ctx, fresh, phase)
	s.base = base
	s.inForce.set(next)
	s.taken(base)
	if leads {
		start(ctx, fresh)
	}
	for _, w := range before.workers {
		if _, ok := file.Site(w.site.Name); !ok {
			s.logger.Warn("site is gone from the file; its client and resources stay at the AS", slog.String("site", w.site.Name))
		}
	}
	for _, o := range next.orphaned() {
		s.logger.Error("the site of a host is gone, and unknown_hosts would let it pass: it stays denied until released_hosts names it",
			slog.String("host", o.host), slog.String("site", o.site))
	}
	s.changed()
	return err
}

// poll takes over what other replicas have written for other sources' sites since
// there were seen changes in the store.
func (s *sites) poll(ctx context.Context, seen int64) (int64, error) {
	number, err := s.store.Changes(ctx)
	if err != nil || number == seen {
		return seen, err
	}
	return number, s.apply(ctx, nil)
}

// refresh reads what the leader has written, if there is anything new.
func (s *sites) refresh(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	number, err := s.store.Changes(ctx)
	if err != nil || number == s.read {
		return err
	}
	if err := s.restoreLocked(ctx, registration.Standby); err != nil {
		return err
	}
	leader, err := s.store.Leader(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	s.leadership.follow(leader)
	s.read = number
	return nil
}

// restoreLocked reads everything anew for every site. No worker runs.
func (s *sites) restoreLocked(ctx context.Context, phase registration.Phase) error {
	if s.merge != nil {
		if err := s.applyLocked(ctx, nil); err != nil {
			return err
		}
	}
	err := restore(ctx, s.inForce.get().workers, phase)
	s.changed()
	return err
}

// takeOver makes this process the one that asks anything of an AS. It begins
// with what the leader before has written last.
func (s *sites) takeOver(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.restoreLocked(ctx, registration.Discovering); err != nil {
		return err
	}
	if err := s.claim(ctx, name); err != nil {
		return err
	}
	s.leadership.lead(true)
	now := s.inForce.get()
	if _, err := s.protect(ctx, now.file); err != nil {
		s.leadership.lead(false)
		return err
	}
	start(ctx, now.workers)
	s.logger.Info("this replica leads")
	s.recorder.Record(ctx, audit.Event{Action: audit.LeadershipTaken})
	return nil
}

// claim has the other replicas know who leads.
func (s *sites) claim(ctx context.Context, name string) error {
	l := store.Leader{Name: name, Since: time.Now()}
	s.leadership.follow(l)
	return s.store.PutLeader(ctx, l)
}

// resign ends what only a leader does, and keeps what is published.
func (s *sites) resign() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leadership.lead(false)
	workers := s.inForce.get().workers
	stop(workers, func(*worker) bool { return true })
	for _, w := range workers {
		w.StandBy()
	}
	s.read = unread
}

// protect reads which hosts sites have protected. The leader brings that in step with
// the file; nothing is written when nothing is new.
func (s *sites) protect(ctx context.Context, file *site.File) (map[string]string, error) {
	protected, err := s.store.ProtectedHosts(ctx)
	if err != nil || !s.leadership.leads() {
		return protected, err
	}
	seen := map[string]bool{} // several sites may have a host, and the first stands for it
	for i := range file.Sites {
		for _, host := range file.Sites[i].Hosts {
			host = strings.ToLower(host)
			if seen[host] || protected[host] == file.Sites[i].Name {
				seen[host] = true
				continue
			}
			seen[host] = true
			if err := s.store.PutProtectedHost(ctx, host, file.Sites[i].Name); err != nil {
				return nil, err
			}
			protected[host] = file.Sites[i].Name
		}
	}
	for host, name := range protected {
		if _, there := file.Site(name); there || !file.Released(host) {
			continue
		}
		if err := s.store.DeleteProtectedHost(ctx, host); err != nil {
			return nil, err
		}
		delete(protected, host)
		s.logger.Warn("host released: it passes as any host that no site has", slog.String("host", host), slog.String("site", name))
	}
	return protected, nil
}

// orphan is a host that a site has protected, and that would pass unprotected now.
type orphan struct{ host, site string }

func (o orphan) String() string {
	return fmt.Sprintf("host %s is denied: its site %s is gone, and unknown_hosts would let it pass; name it in released_hosts when that is meant", o.host, o.site)
}

// orphaned lists the hosts that stay denied until released_hosts names them.
func (s served) orphaned() []orphan {
	var out []orphan
	for _, host := range s.file.Orphaned(s.protected) {
		out = append(out, orphan{host: host, site: s.protected[host]})
	}
	return out
}
