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
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/tokenkey"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// changes counts what has changed since the start, and wakes who publishes it.
type changes struct {
	wake chan struct{} // room for one

	mu sync.Mutex
	// wanted counts changes, done is what it was when the last publication began. since is
	// when the first that is not done was wanted.
	wanted, done uint64
	since        time.Time
}

func newChanges() *changes { return &changes{wake: make(chan struct{}, 1)} }

// add asks for a publication; many requests become one.
func (c *changes) add() {
	c.mu.Lock()
	if c.wanted == c.done {
		c.since = time.Now()
	}
	c.wanted++
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *changes) count() (wanted, done uint64, since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wanted, c.done, c.since
}

func (c *changes) published(until uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done = until
}

// publisher makes Envoy's resources of what the workers know.
type publisher struct {
	xds         *xds.Server
	logger      *slog.Logger
	changes     *changes
	sites       *inForce
	instances   *instanceServer
	removals    *instance.Removals
	revocations *revoke.List
	pings       chan struct{} // they ask run whether it is alive
	// address is where xDS is served.
	address string

	// pushing is held while a publication is under way. compilers are by group.
	pushing   sync.Mutex
	compilers map[string]*decision.Compiler

	mu   sync.Mutex
	last publication
}

// run publishes whenever something changed, until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changes.wake:
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
	wanted, _, _ := p.changes.count()
	before := p.xds.Versions()
	revision, groups, err := p.push(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changes.published(wanted)
	if err != nil && p.last.err == nil {
		p.last.failing = time.Now()
	}
	if p.last.err = err; err != nil {
		p.logger.Error("configuration not published; the last good one stays", slog.Any("error", err))
		return
	}
	now := p.xds.Versions()
	for _, g := range groups {
		// The module's place and the clusters are no part of the revision.
		if v := now[g.name]; !maps.Equal(before[g.name], v) {
			p.logger.Info("configuration published", slog.String("group", g.name), slog.String("revision", g.revision),
				slog.String("ecds", v[xds.ECDS]), slog.String("cds", v[xds.CDS]), slog.String("sds", v[xds.SDS]),
				slog.String("lds", v[xds.LDS]), slog.String("rds", v[xds.RDS]))
		}
	}
	p.last = publication{revision: revision, groups: groups, at: time.Now()}
}

// publishedGroup is what a group of Envoys was given last.
type publishedGroup struct {
	name, revision string
	sites          []string
	front          front
}

// push gives every group what its sites make. Nothing is given out unless all of it
// can be built. revision is that of all sites together.
func (p *publisher) push(ctx context.Context) (revision string, given []publishedGroup, err error) {
	now := p.sites.get()
	revoked, generation := p.revocations.Compiled()
	address, credential := p.instances.access()
	facts, credentials := map[string]site.Facts{}, map[string]envoyconf.Credentials{}
	for _, w := range now.workers {
		known := w.Snapshot()
		facts[w.site.Name], credentials[w.site.Name] = known.Facts()
		if w.site.InternalToken != nil {
			if err := p.mayAskForKey(tokenkey.Site{Name: w.site.Name, Version: w.site.InternalToken.KeyVersion}, credentials); err != nil {
				return "", nil, err
			}
		}
	}
	compile := func(name string, group *site.Group) (envoyconf.Input, error) {
		return p.compile(name, envoyconf.Input{File: now.file.Effective(group, now.protected), Facts: facts, Instances: address}, revoked)
	}
	whole, err := compile("", nil)
	if err != nil {
		return "", nil, err
	}
	bootstrap, err := p.bootstrap(now.file)
	if err != nil {
		return "", nil, err
	}
	var groups []xds.Group
	add := func(group xds.Group, in envoyconf.Input, sites []string) (err error) {
		own := map[string]envoyconf.Credentials{}
		for _, name := range sites {
			own[name] = credentials[name]
		}
		group.Resources, err = resourcesOf(in, own, credential)
		groups = append(groups, group)
		given = append(given, publishedGroup{group.Name, in.Config.Revision, sites, frontOf(now.file, sites, bootstrap)})
		return err
	}
	sites := names(whole.File.Sites)
	if len(now.file.Groups) == 0 {
		if err := add(xds.Group{Name: xds.Default}, whole, sites); err != nil {
			return "", nil, err
		}
	}
	for i := range now.file.Groups {
		g := &now.file.Groups[i]
		part, err := compile(g.Name, g)
		if err == nil {
			mine := slices.DeleteFunc(slices.Clone(sites), func(name string) bool { return !g.HasSite(name) })
			err = add(xds.Group{Name: g.Name, Has: func(peer xds.Peer) bool { return g.Match.Fits(peer.ID, peer.Cluster, peer.Metadata, peer.SANs) }}, part, mine)
		}
		if err != nil {
			return "", nil, fmt.Errorf("group %s: %w", g.Name, err)
		}
	}
	versions, err := p.xds.PushGroups(ctx, groups)
	for _, v := range versions {
		p.revocations.Put(generation, v[xds.ECDS])
	}
	return whole.Config.Revision, given, err
}

// mayAskForKey adds what Envoys with a site ask for its signing key with.
func (p *publisher) mayAskForKey(of tokenkey.Site, credentials map[string]envoyconf.Credentials) error {
	keys, _ := p.instances.signingKeys()
	credential, err := keys.Credential(of)
	if err != nil {
		return err
	}
	own := credentials[of.Name]
	own.SigningKey = envoyconf.Bearer(credential)
	credentials[of.Name] = own
	return nil
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
	in.Config.Removals = p.removals.Compiled(withInstances(in.File))
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
	upstreams, err := envoyconf.Upstreams(in.File)
	if err != nil {
		return xds.Resources{}, err
	}
	listener, err := envoyconf.Listener(in.File)
	if err != nil {
		return xds.Resources{}, err
	}
	secrets := envoyconf.Secrets(credentials)
	if in.AsksForInstances() {
		secrets = append(secrets, envoyconf.InstancesSecret(instances))
	}
	return xds.Resources{
		Filter: filter, Clusters: append(clusters, upstreams...), Secrets: secrets, Listener: listener, Routes: envoyconf.Routes(in.File),
	}, nil
}

// publication is what the publisher tells for status.
type publication struct {
	revision string
	groups   []publishedGroup
	at       time.Time
	// err is why the last one failed, failing since when they do.
	err     error
	failing time.Time
	// behind: something has changed that is not published yet, waiting since when.
	behind  bool
	waiting time.Time
	// changes counts what has changed since the start.
	changes uint64
}

func (p *publisher) state() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted, done, since := p.changes.count()
	out := p.last
	out.behind, out.waiting, out.changes = wanted != done, since, wanted
	return out
}
