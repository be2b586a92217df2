package server

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/tokenkey"
	"github.com/umagate/umagate/plugin/config"
)

// instancesSecret names the shared secret of Envoys that ask for instances.
const instancesSecret = "instances"

// tokenSecret names the shared secret that the keys of internal tokens follow from.
const tokenSecret = "internal_token"

// instanceServer answers the filters of Envoys about instances, at an address of
// its own: the API's is for people. It listens once a site has instances.
type instanceServer struct {
	opened chan net.Listener // room for one

	mu         sync.Mutex
	address    string // as it is listened on; empty while it is not
	wildcard   bool   // the port is the system's choice, so that only address tells it
	credential secret.Text
	keys       tokenkey.Keys
}

func newInstanceServer() *instanceServer { return &instanceServer{opened: make(chan net.Listener, 1)} }

// open listens if the file needs it and nobody does yet. One call at a time.
func (i *instanceServer) open(ctx context.Context, file *site.File, kept *store.SQL, encrypt *listen.Certificates) error {
	if !file.AsksControlPlane() || i.listens() {
		return nil
	}
	credential, err := kept.SharedSecret(ctx, instancesSecret, secret.New(rand.Text()+rand.Text()))
	if err != nil {
		return err
	}
	shared, err := kept.SharedSecret(ctx, tokenSecret, secret.New(rand.Text()+rand.Text()))
	if err != nil {
		return err
	}
	listener, err := listen.TCP(ctx, "listen.instances", file.Listen.Instances, file.Listen.InsecurePlaintext || encrypt != nil)
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(file.Listen.Instances)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	i.mu.Lock()
	i.address, i.wildcard, i.credential, i.keys = listener.Addr().String(), port == "0", credential, tokenkey.New(shared)
	i.mu.Unlock()
	if encrypt != nil {
		listener = tls.NewListener(listener, encrypt.Config(tls.RequireAndVerifyClientCert, "http/1.1"))
	}
	i.opened <- listener
	return nil
}

func (i *instanceServer) listens() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.address != ""
}

// access is what Envoys are told: the address, where the file does not say it, and
// the credential.
func (i *instanceServer) access() (address string, credential secret.Text) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.wildcard {
		address = i.address
	}
	return address, i.credential
}

// run answers until ctx ends.
func (i *instanceServer) run(ctx context.Context, handler http.Handler) error {
	select {
	case <-ctx.Done():
		return nil
	case listener := <-i.opened:
		return listen.HTTP(ctx, listener, handler)
	}
}

// close ends what was opened and is not served.
func (i *instanceServer) close() error {
	select {
	case listener := <-i.opened:
		return listener.Close()
	default:
		return nil
	}
}

// signingKeys are those of internal tokens; ok tells that some are used.
func (i *instanceServer) signingKeys() (keys tokenkey.Keys, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys, i.address != ""
}

// filterHandler answers the filters of Envoys: about instances, and for signing keys.
func (s *controlPlane) filterHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.instanceHandler())
	mux.HandleFunc(site.SigningKeyPath, func(w http.ResponseWriter, r *http.Request) {
		keys, _ := s.instances.signingKeys()
		handler := tokenkey.Handler{
			Keys: keys, Version: s.inForce.keyVersion, Now: time.Now, Logger: s.options.Logger,
			Observe: func(status int) { s.metrics.observeInstances("signing_key", status) },
		}
		handler.ServeHTTP(w, r)
	})
	return mux
}

// keyVersion is the version of the keys of a site's internal tokens; ok tells that it has some.
func (f *inForce) keyVersion(name string) (version int, ok bool) {
	w := f.worker(name)
	if w == nil || w.site.InternalToken == nil {
		return 0, false
	}
	return w.site.InternalToken.KeyVersion, true
}

// instanceHandler answers by the managers of the sites in force.
func (s *controlPlane) instanceHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, credential := s.instances.access()
		handler := instance.Handler{
			Credential: credential, Manager: s.inForce.instanceManager, Logger: s.options.Logger, Observe: s.metrics.observeInstances,
		}
		handler.ServeHTTP(w, r)
	})
}

// instanceManager returns the manager of a site with instances; nil for none.
func (f *inForce) instanceManager(name string) *instance.Manager {
	if w := f.worker(name); w != nil {
		return w.instances
	}
	return nil
}

// instanceManager makes the instance manager of a site; nil for one without UMA. A site
// that has no resource with instances any more may have some left.
func (f *workerFactory) instanceManager(w *worker) (*instance.Manager, error) {
	if w.site.Require == config.RequireOAuthScopes {
		return nil, nil //nolint:nilnil // it registers nothing
	}
	return instance.New(instance.Options{
		Site: w.site, Key: store.Key{Site: w.site.Name, Issuer: w.site.AuthorizationServer.Issuer}, Store: f.store, Leads: f.leadership.leads,
		AS: func() (instance.AS, error) { return w.Protection() }, Logger: w.logger, Lost: w.instanceLost(f.store),
		Record: func(ctx context.Context, action audit.Action, target string, detail map[string]string) {
			f.recorder.Record(ctx, audit.Event{Action: action, Site: w.site.Name, Target: target, Detail: detail})
		},
		// Envoys are told without waiting for the next look at the store.
		Ended: func(ctx context.Context) {
			if err := f.removals.Load(context.WithoutCancel(ctx)); err != nil {
				f.options.Logger.Warn("registrations that have ended are told to Envoys later", slog.Any("error", err))
			}
		},
		Intervals: instance.Intervals{Poll: f.options.Intervals.Standby, Retry: f.options.Intervals.Site.Retry, RetryMax: f.options.Intervals.Site.RetryMax},
	})
}

// newRemovals makes the list by which Envoys hear of registrations that have ended.
func newRemovals(options Options, kept *store.SQL, sites *inForce, changes *changes) *instance.Removals {
	return instance.NewRemovals(instance.RemovalsOptions{
		Store: kept, Changes: kept.Changes, Logger: options.Logger, Every: options.Intervals.Standby, Changed: changes.add,
		Forget: func(site, name string) {
			if m := sites.instanceManager(site); m != nil {
				m.Forget(name)
			}
		},
	})
}

// keepInstances looks after the instances of a site until ctx ends, if there are any.
func (w *worker) keepInstances(ctx context.Context) {
	if w.instances == nil {
		return
	}
	if !w.site.HasInstances() {
		if left, err := w.instances.Count(ctx); err == nil && len(left) == 0 {
			return
		}
	}
	w.instances.Run(ctx)
}

// instanceLost notes instances that the AS does not have any more, until somebody has them
// registered or removed, or acknowledges it.
func (w *worker) instanceLost(kept *store.SQL) func(ctx context.Context, name string, kind store.LostKind) {
	key := store.Key{Site: w.site.Name, Issuer: w.site.AuthorizationServer.Issuer}
	return func(ctx context.Context, name string, kind store.LostKind) {
		var err error
		if kind != "" {
			err = kept.PutLost(ctx, key, store.Lost{Name: name, Kind: kind, At: time.Now()})
		} else if err = kept.DeleteLost(ctx, key, name); errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		if err != nil {
			w.logger.Error("what became of an instance is not noted", slog.String("resource", name), slog.Any("error", err))
		}
	}
}

// recheckInstance has an instance compared with the AS's now, which turned out not to
// have it.
func (w *worker) recheckInstance(name string) {
	if w.instances == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	if err := w.instances.Recheck(ctx, name); err != nil {
		w.logger.Debug("an instance is not checked before its time", slog.String("resource", name), slog.Any("error", err))
	}
}

// countTimeout bounds the count for a status.
const countTimeout = 2 * time.Second

// countInstances counts for a status; a store that does not answer is told of by
// others.
func (w *worker) countInstances() []instance.Counts {
	if w.instances == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	counts, err := w.instances.Count(ctx)
	if err != nil {
		w.logger.Debug("instances are not counted", slog.Any("error", err))
	}
	return counts
}
