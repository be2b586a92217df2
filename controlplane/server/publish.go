package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/decision"
)

// publisher makes Envoy's resources of what the workers know.
type publisher struct {
	xds    *xds.Server
	logger *slog.Logger
	// gather gives the file in force and its workers.
	gather func() (*site.File, []*worker)
	notify chan struct{}

	// pushing is held while a publication is under way.
	pushing sync.Mutex

	mu sync.Mutex
	// wanted counts changes, done is what it was when the last publication began.
	wanted, done uint64
	revision     string
	at           time.Time
	failed       error
}

func newPublisher(server *xds.Server, logger *slog.Logger, gather func() (*site.File, []*worker)) *publisher {
	return &publisher{xds: server, logger: logger, gather: gather, notify: make(chan struct{}, 1)}
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
		}
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
	revision, err := p.push(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = wanted
	if err != nil {
		p.failed = err
		p.logger.Error("configuration not published; the last good one stays", slog.Any("error", err))
		return
	}
	// The module's place and the clusters are no part of the revision.
	if now := p.xds.Versions(); !maps.Equal(before, now) {
		p.logger.Info("configuration published", slog.String("revision", revision),
			slog.String("ecds", now[xds.ECDS]), slog.String("cds", now[xds.CDS]), slog.String("sds", now[xds.SDS]))
	}
	p.revision, p.at, p.failed = revision, time.Now(), nil
}

func (p *publisher) push(ctx context.Context) (revision string, err error) {
	file, workers := p.gather()
	file = published(file)
	in := envoyconf.Input{File: file, Facts: map[string]site.Facts{}}
	credentials := map[string]envoyconf.Credentials{}
	for _, w := range workers {
		if _, ok := file.Site(w.site.Name); !ok {
			continue
		}
		in.Facts[w.site.Name], credentials[w.site.Name] = w.view()
	}
	// A site whose AS was never reached is published too: it denies.
	if in.Config, err = site.Compile(file, in.Facts); err != nil && !errors.Is(err, site.ErrIncomplete) {
		return "", fmt.Errorf("compile: %w", err)
	}
	if _, err := decision.Compile(&in.Config); err != nil {
		return "", fmt.Errorf("the filter would refuse it: %w", err)
	}
	filter, err := envoyconf.Filter(in)
	if err != nil {
		return "", err
	}
	clusters, err := envoyconf.Clusters(in)
	if err != nil {
		return "", err
	}
	_, err = p.xds.Push(ctx, xds.Resources{Filter: filter, Clusters: clusters, Secrets: envoyconf.Secrets(credentials)})
	return in.Config.Revision, err
}

// publication is what the publisher tells for status.
type publication struct {
	revision string
	at       time.Time
	err      error
	// behind: something has changed that is not published yet.
	behind bool
}

func (p *publisher) state() publication {
	p.mu.Lock()
	defer p.mu.Unlock()
	return publication{revision: p.revision, at: p.at, err: p.failed, behind: p.wanted != p.done}
}
