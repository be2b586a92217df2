package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/umagate/umagate/controlplane/kube/desired"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
)

// Settings is what [Open] needs.
type Settings struct {
	// Config is how the API server is reached.
	Config func() (*rest.Config, error)
	// Namespaces are those that are watched; all when empty.
	Namespaces []string
	// Options are for all objects.
	Options desired.Options
	// SecretsEvery is how often the Secrets that are named are read anew (10 s), StatusEvery
	// how often what has come of sites is looked at (1 s). RetryAfter is the wait after what
	// failed (5 s).
	SecretsEvery, StatusEvery, RetryAfter time.Duration
}

func (s Settings) withDefaults() Settings {
	s.SecretsEvery, s.StatusEvery = cmp.Or(s.SecretsEvery, 10*time.Second), cmp.Or(s.StatusEvery, time.Second)
	s.RetryAfter = cmp.Or(s.RetryAfter, 5*time.Second)
	s.Options.ClusterDomain = cmp.Or(s.Options.ClusterDomain, "cluster.local")
	return s
}

// source is a [server.Source].
type source struct {
	settings Settings
	host     server.SourceHost
	logger   *slog.Logger
	cluster  cluster.Cluster
	kinds    kinds
	secrets  *secrets

	// stop ends the watches, and watching is closed when they have ended.
	stop     context.CancelFunc
	watching chan struct{}

	// version counts what has changed since the start, dirty wakes who takes it over.
	version atomic.Uint64
	dirty   chan struct{}

	// Of who calls Sites.
	builder *desired.Builder
	file    *site.File

	mu sync.Mutex
	// built is the version that the result is of; 0 for none.
	built  uint64
	result desired.Result
}

// Open returns what opens the source. It waits until everything that is there has been
// read: before that, there would be no sites.
func Open(settings Settings) server.OpenSource {
	settings = settings.withDefaults()
	return func(ctx context.Context, host server.SourceHost, _ *site.File) (server.Source, error) {
		config, err := settings.Config()
		if err != nil {
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		s := &source{
			settings: settings, host: host, logger: host.Logger.With(slog.String("api", "kubernetes")),
			dirty: make(chan struct{}, 1), watching: make(chan struct{}), builder: desired.NewBuilder(settings.Options),
		}
		if s.cluster, s.kinds, err = connect(config, settings.Namespaces); err != nil {
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		s.secrets = newSecrets(s.cluster.GetAPIReader())
		if err := s.watch(ctx); err != nil {
			s.Close()
			return nil, fmt.Errorf("kubernetes: %w", err)
		}
		return s, nil
	}
}

// changed notes that something is not as it was.
func (s *source) changed() {
	s.version.Add(1)
	select {
	case s.dirty <- struct{}{}:
	default:
	}
}

// Sites implements [server.Source].
func (s *source) Sites(ctx context.Context, file *site.File) ([]site.Site, error) {
	version := s.version.Load()
	s.mu.Lock()
	same := s.built == version && s.file == file
	before := s.result
	s.mu.Unlock()
	if same {
		return slices.Clone(before.Sites), nil
	}
	objects, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	objects.File = file
	result := s.builder.Build(objects)
	s.secrets.keep(result.Secrets)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.built, s.file, s.result = version, file, result
	return slices.Clone(result.Sites), nil
}

// now returns the last result; false before the first.
func (s *source) now() (desired.Result, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result, s.built > 0
}

// read lists what is there. What has no finalizer yet is not: it would be registered at
// its AS, and nothing would remove it there.
func (s *source) read(ctx context.Context) (*desired.Objects, error) {
	out := &desired.Objects{Secret: func(name desired.Name, key string) ([]byte, error) { return s.secrets.get(ctx, name, key) }}
	var apis v1alpha1.ProtectedAPIList
	var servers v1alpha1.AuthorizationServerList
	reader := s.cluster.GetCache()
	// What is read is shared with the cache, and is not changed.
	if err := errors.Join(reader.List(ctx, &apis, client.UnsafeDisableDeepCopy), reader.List(ctx, &servers, client.UnsafeDisableDeepCopy)); err != nil {
		return nil, err
	}
	for i := range apis.Items {
		if slices.Contains(apis.Items[i].Finalizers, v1alpha1.Finalizer) {
			out.APIs = append(out.APIs, &apis.Items[i])
		}
	}
	out.Servers = map[desired.Name]*v1alpha1.AuthorizationServer{}
	for i := range servers.Items {
		out.Servers[client.ObjectKeyFromObject(&servers.Items[i])] = &servers.Items[i]
	}
	return out, s.kinds.read(ctx, reader, out)
}

// Run implements [server.Source].
func (s *source) Run(ctx context.Context) error {
	s.logger.Info("serving Kubernetes objects", slog.Any("namespaces", s.settings.Namespaces), slog.Bool("gateway_api", s.kinds.gateway))
	report := newReporter(s)
	defer report.removals.wait()
	secrets, status := time.NewTicker(s.settings.SecretsEvery), time.NewTicker(s.settings.StatusEvery)
	defer secrets.Stop()
	defer status.Stop()
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.watching:
			return errWatchesEnded
		case <-secrets.C:
			if s.secrets.refresh(ctx) {
				s.changed()
			}
			continue
		case <-status.C:
		case <-retry.C:
			if !s.take(ctx, report) {
				retry.Reset(s.settings.RetryAfter)
			}
		case <-s.dirty:
			if !s.take(ctx, report) {
				retry.Reset(s.settings.RetryAfter)
			}
		}
		report.all(ctx)
	}
}

var errWatchesEnded = errors.New("kubernetes: the watches have ended")

// take has the control plane take over what has changed; false for what is to be tried again.
func (s *source) take(ctx context.Context, report *reporter) bool {
	report.finalize(ctx)
	if _, err := s.host.Changed(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, server.ErrStopping) {
		s.logger.Error("Kubernetes objects are not taken over; what was before stays in force", slog.Any("error", err))
		return false
	}
	return true
}

// Close implements [server.Source].
func (s *source) Close() {
	if s.stop != nil {
		s.stop()
		<-s.watching
	}
}
