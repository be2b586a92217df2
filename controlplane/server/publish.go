package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// publisher makes Envoy's resources of what the workers know.
type publisher struct {
	xds    *xds.Server
	logger *slog.Logger
	// gather gives the file in force and its workers.
	gather func() (*site.File, []*worker)
	// instances gives what Envoys need to ask for instances.
	instances func() (address string, credential secret.Text)
	// removals has which instances of sites are registered no more; nil for none.
	removals func(sites []string) map[string]string
	// book has what is revoked.
	book *revoke.Book
	// compilers are by group, under pushing.
	compilers map[string]*decision.Compiler
	notify    chan struct{}
	// pings ask run whether it is alive.
	pings chan struct{}

	// pushing is held while a publication is under way.
	pushing sync.Mutex

	mu sync.Mutex
	// wanted counts changes, done is what it was when the last publication began.
	wanted, done uint64
	revision     string
	groups       []publishedGroup
	at           time.Time
	failed       error
}

func newPublisher(server *xds.Server, logger *slog.Logger, gather func() (*site.File, []*worker), book *revoke.Book) *publisher {
	return &publisher{xds: server, logger: logger, gather: gather, book: book, compilers: map[string]*decision.Compiler{}, notify: make(chan struct{}, 1), pings: make(chan struct{})}
}

// changed asks for a publication; many requests become one.
func (p *publisher) changed() {
	p.mu.Lock()
	p.wanted++
	p.mu.Unlock()
	select {
	case p.notify <- struct{}{}:
	default:
	}
}

// run publishes whenever something changed, until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.notify:
			p.publish(ctx)
		case <-p.pings:
		}
	}
}

// ping waits until run answers.
func (p *publisher) ping(ctx context.Context) error {
	select {
	case p.pings <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish pushes what is known now. What cannot be built or would be refused by
// the filter is not pushed: the last good one stays.
func (p *publisher) publish(ctx context.Context) {
	p.pushing.Lock()
	defer p.pushing.Unlock()
	p.mu.Lock()
	wanted := p.wanted
	p.mu.Unlock()
	before := p.xds.Versions()
	revision, groups, err := p.push(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = wanted
	if err != nil {
		p.failed = err
		p.logger.Error("configuration not published; the last good one stays", slog.Any("error", err))
		return
	}
	now := p.xds.Versions()
	for _, g := range groups {
		// The module's place and the clusters are no part of the revision.
		if v := now[g.name]; !maps.Equal(before[g.name], v) {
			p.logger.Info("configuration published", slog.String("group", g.name), slog.String("revision", g.revision),
				slog.String("ecds", v[xds.ECDS]), slog.String("cds", v[xds.CDS]), slog.String("sds", v[xds.SDS]))
		}
	}
	p.revision, p.groups, p.at, p.failed = revision, groups, time.Now(), nil
}

// publishedGroup is what a group of Envoys was given last.
type publishedGroup struct {
	name, revision string
	sites          []string
}

// push gives every group what its sites make. Nothing is given out unless all of it
// can be built. revision is that of all sites together.
func (p *publisher) push(ctx context.Context) (revision string, given []publishedGroup, err error) {
	file, workers := p.gather()
	file = published(file)
	in := envoyconf.Input{File: file, Facts: map[string]site.Facts{}}
	address, credential := p.instances()
	in.Instances = address
	credentials := map[string]envoyconf.Credentials{}
	for _, w := range workers {
		if _, ok := file.Site(w.site.Name); !ok {
			continue
		}
		now := w.Snapshot()
		in.Facts[w.site.Name], credentials[w.site.Name] = now.Facts()
	}
	revoked, generation := p.book.Compiled()
	whole, err := p.compile("", in, revoked)
	if err != nil {
		return "", nil, err
	}
	if len(file.Groups) == 0 {
		resources, err := resourcesOf(whole, credentials, credential)
		if err != nil {
			return "", nil, err
		}
		versions, err := p.xds.Push(ctx, resources)
		if err == nil {
			p.book.Put(generation, versions[xds.ECDS])
		}
		return whole.Config.Revision, []publishedGroup{{xds.Default, whole.Config.Revision, names(file.Sites)}}, err
	}
	groups := make([]xds.Group, 0, len(file.Groups))
	for _, g := range file.Groups {
		in.File = published(file.Of(g))
		part, err := p.compile(g.Name, in, revoked)
		if err != nil {
			return "", nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		own := map[string]envoyconf.Credentials{}
		for _, name := range mine(g, file) {
			own[name] = credentials[name]
		}
		resources, err := resourcesOf(part, own, credential)
		if err != nil {
			return "", nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
		groups = append(groups, xds.Group{Name: g.Name, Resources: resources, Has: func(peer xds.Peer) bool { return g.Match.Fits(site.Node(peer)) }})
		given = append(given, publishedGroup{g.Name, part.Config.Revision, mine(g, file)})
	}
	versions, err := p.xds.PushGroups(ctx, groups)
	if err == nil {
		for _, v := range versions {
			p.book.Put(generation, v[xds.ECDS])
		}
	}
	return whole.Config.Revision, given, err
}

// mine names the sites of a group.
func mine(g site.Group, file *site.File) []string {
	return slices.DeleteFunc(names(file.Sites), func(name string) bool { return !g.HasSite(name) })
}

func names(sites []site.Site) []string {
	out := make([]string, 0, len(sites))
	for i := range sites {
		out = append(out, sites[i].Name)
	}
	return out
}

// compile makes the filter's configuration, and has the filter's own core judge it,
// which looks only at what is another than last time.
func (p *publisher) compile(group string, in envoyconf.Input, revoked []config.Revocations) (envoyconf.Input, error) {
	var err error
	// A site whose AS was never reached is published too: it denies.
	if in.Config, err = site.Compile(in.File, in.Facts); err != nil && !errors.Is(err, site.ErrIncomplete) {
		return in, fmt.Errorf("compile: %w", err)
	}
	in.Config.Revocations = slices.DeleteFunc(slices.Clone(revoked), func(r config.Revocations) bool {
		_, ok := in.File.Site(r.Site)
		return r.Site != "" && !ok
	})
	if p.removals != nil {
		in.Config.Removals = p.removals(withInstances(in.File))
	}
	if in.Document, err = config.Encode(&in.Config); err != nil {
		return in, fmt.Errorf("encode filter configuration: %w", err)
	}
	if p.compilers[group] == nil {
		p.compilers[group] = &decision.Compiler{}
	}
	if _, err := p.compilers[group].Compile(in.Document); err != nil {
		return in, fmt.Errorf("the filter would refuse it: %w", err)
	}
	return in, nil
}

// withInstances names the sites that have instances.
func withInstances(file *site.File) []string {
	var out []string
	for i := range file.Sites {
		if file.Sites[i].HasInstances() {
			out = append(out, file.Sites[i].Name)
		}
	}
	return out
}

func resourcesOf(in envoyconf.Input, credentials map[string]envoyconf.Credentials, instances secret.Text) (xds.Resources, error) {
	filter, err := envoyconf.Filter(in)
	if err != nil {
		return xds.Resources{}, err
	}
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return xds.Resources{}, err
	}
	secrets := envoyconf.Secrets(credentials)
	if in.AsksForInstances() {
		secrets = append(secrets, envoyconf.InstancesSecret(instances))
	}
	return xds.Resources{Filter: filter, Clusters: clusters, Secrets: secrets}, nil
}

// publication is what the publisher tells for status.
type publication struct {
	revision string
	groups   []publishedGroup
	at       time.Time
	err      error
	// behind: something has changed that is not published yet.
	behind bool
	// changes counts what has changed since the start.
	changes uint64
}

func (p *publisher) state() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return publication{revision: p.revision, groups: p.groups, at: p.at, err: p.failed, behind: p.wanted != p.done, changes: p.wanted}
}

// revoked is what Envoys are told to refuse.
func (s *serving) revoked() []config.Revocations {
	revoked, _ := s.book.Compiled()
	return revoked
}
