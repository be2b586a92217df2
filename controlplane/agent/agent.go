package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/xds"
)

// DefaultMaxAge is how old what is kept may be.
const DefaultMaxAge = 24 * time.Hour

// Options is what [Run] and [Check] need.
type Options struct {
	// Beside is the Envoy.
	Beside *envoyconf.Beside
	// Key seals the file; one that is made beside the file when it is zero.
	Key secret.Text
	// MaxAge is how long the control plane may be away ([DefaultMaxAge] when zero).
	MaxAge time.Duration
	// Version is the release, for the control plane's status.
	Version string
	Logger  *slog.Logger
	// Every is how often the file is told that it is still right (a minute when zero),
	// Retry the wait after a connection that ended (1 s to 10 s when zero).
	Every, Retry time.Duration
}

// agent is one that runs. Its content is guarded by mu.
type agent struct {
	options Options
	file    *file
	xds     *xds.Server

	mu        sync.Mutex
	held      Held
	resources []*anypb.Any // nil for nothing
	// there: the control plane answers, and so Envoy is to ask that. live: held is the
	// newest that it has.
	there, live bool
	// unkept is why the file is not what is held.
	unkept error
	// again ends the connection to the control plane; changed is closed when what may be
	// served has changed.
	again   context.CancelFunc
	changed chan struct{}
}

// Run keeps and serves until ctx ends. What is wrong with the file or the control plane is
// told to the log, and does not end it.
func Run(ctx context.Context, options Options) error {
	a, err := newAgent(options)
	if err != nil {
		return err
	}
	a.start(ctx)
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { a.follow(ctx); return nil })
	parts.Go(func() error { a.refresh(ctx); return nil })
	parts.Go(func() error { return a.serve(ctx) })
	err = parts.Wait()
	return errors.Join(err, a.unkept)
}

// start holds what is kept, if it may be used.
func (a *agent) start(ctx context.Context) {
	held, resources, err := a.file.load()
	if err == nil {
		err = a.hold(ctx, held, resources)
	}
	switch {
	case err == nil:
		a.options.Logger.Info("an Envoy can start from what is kept", slog.String("file", a.file.path), slog.String("group", held.Group),
			slog.String("version", held.Version), slog.Time("as_of", held.AsOf))
	case errors.Is(err, fs.ErrNotExist):
		a.options.Logger.Info("nothing is kept yet: until the control plane answers, no Envoy can start", slog.String("file", a.file.path))
	default:
		a.options.Logger.Error("what is kept cannot be used: until the control plane answers, no Envoy can start", slog.Any("error", err))
	}
}

// Check reads what is kept, as [Run] does. An error is why no Envoy could start from it.
func Check(options Options) (Held, error) {
	a, err := newAgent(options)
	if err != nil {
		return Held{}, err
	}
	held, resources, err := a.file.load()
	if errors.Is(err, fs.ErrNotExist) {
		return held, fmt.Errorf("nothing is kept yet: %w", err)
	}
	if err == nil {
		_, err = xds.Unpack(resources)
	}
	return held, err
}

func newAgent(options Options) (*agent, error) {
	options.MaxAge = cmp.Or(options.MaxAge, DefaultMaxAge)
	options.Every = cmp.Or(options.Every, time.Minute)
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Key.IsZero() {
		var err error
		if options.Key, err = seal.KeyFile(options.Beside.Path + ".key"); err != nil {
			return nil, err
		}
	}
	sealer, err := seal.New(options.Key)
	if err != nil {
		return nil, err
	}
	_, names, err := transport(options.Beside.TLS)
	if err != nil {
		return nil, err
	}
	owner, err := identityOf(options.Beside.Node, names)
	if err != nil {
		return nil, err
	}
	server, err := xds.New(options.Logger, nil)
	if err != nil {
		return nil, err
	}
	return &agent{
		options: options, xds: server, changed: make(chan struct{}), again: func() {},
		file: &file{path: options.Beside.Path, sealer: sealer, owner: owner, maxAge: options.MaxAge, now: wall},
	}, nil
}

// wall is the time without the monotonic clock, which stands still while a machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

// hold makes it what is served, if it is allowed to be.
func (a *agent) hold(ctx context.Context, held Held, resources []*anypb.Any) error {
	unpacked, err := xds.Unpack(resources)
	if err != nil {
		return err
	}
	if _, err := a.xds.Push(ctx, unpacked); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held, a.resources = held, resources
	a.tell()
	return nil
}

// tell says that what may be served has changed. Its caller holds a.mu.
func (a *agent) tell() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// follow is connected to the control plane until ctx ends.
func (a *agent) follow(ctx context.Context) {
	wait, told, rejected := time.Duration(0), false, false
	for ctx.Err() == nil {
		watching, cancel := context.WithCancel(ctx)
		a.mu.Lock()
		a.again = cancel
		a.mu.Unlock()
		err := a.watch(watching)
		cancel()
		lost := a.away()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, xds.ErrNotOfAGroup):
			a.withdraw()
			if !rejected {
				a.options.Logger.Error("the control plane has no group for this Envoy: nothing is kept any more", slog.Any("error", err))
			}
		case lost || !told:
			a.options.Logger.Warn("the control plane is away: an Envoy that starts gets what is kept", slog.String("control_plane", a.options.Beside.ControlPlane), slog.Any("error", err))
		}
		rejected = errors.Is(err, xds.ErrNotOfAGroup)
		if told = true; lost {
			wait = 0
		}
		wait = min(max(2*wait, time.Second), 10*time.Second)
		pause := cmp.Or(a.options.Retry, wait/2+rand.N(wait/2)) //nolint:gosec // no secret
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// watch is one connection to the control plane.
func (a *agent) watch(ctx context.Context) error {
	how, _, err := transport(a.options.Beside.TLS)
	if err != nil {
		return err
	}
	const ping, pingWait = 30 * time.Second, 10 * time.Second
	conn, err := grpc.NewClient("dns:///"+a.options.Beside.ControlPlane, grpc.WithTransportCredentials(how), grpc.WithNoProxy(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: ping, Timeout: pingWait}))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // nothing depends on how it ends
	node := proto.CloneOf(a.options.Beside.Node)
	node.UserAgentName, node.UserAgentVersionType = "umagate agent", &corev3.Node_UserAgentVersion{UserAgentVersion: a.options.Version}
	return xds.Watch(ctx, conn, node, func(k xds.Kept) error { return a.keep(ctx, k) })
}

// keep takes what the control plane says is good.
func (a *agent) keep(ctx context.Context, k xds.Kept) error {
	a.mu.Lock()
	other := a.resources != nil && a.held.Group != k.Group
	if !a.there {
		a.there = true
		a.tell()
	}
	a.mu.Unlock()
	if k.Version == "" {
		if other {
			a.withdraw()
			a.options.Logger.Warn("this Envoy is of another group now, where nothing is good yet: nothing is kept any more", slog.String("group", k.Group))
		}
		return nil
	}
	held := Held{Group: k.Group, Version: k.Version, AsOf: a.file.now()}
	if err := a.hold(ctx, held, k.Resources); err != nil {
		a.options.Logger.Error("what the control plane gives cannot be used", slog.Any("error", err))
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	first := !a.live
	a.live = true
	if a.save(held.AsOf); first && a.unkept == nil {
		a.options.Logger.Info("the control plane is there, and what is good is kept", slog.String("group", held.Group), slog.String("version", held.Version))
	}
	return a.unkept
}

// save writes what is held, as of now. Its caller holds a.mu.
func (a *agent) save(now time.Time) {
	before := a.unkept
	a.held.AsOf = now
	if a.unkept = a.file.save(a.held, a.resources); a.unkept != nil {
		if before == nil || before.Error() != a.unkept.Error() {
			a.options.Logger.Error("what is good cannot be kept", slog.Any("error", a.unkept))
		}
		return
	}
	a.options.Logger.Debug("kept", slog.String("group", a.held.Group), slog.String("version", a.held.Version))
	if before != nil {
		a.again() // the control plane was told that it cannot be kept
	}
}

// refresh tells the file that it is still right, until ctx ends.
func (a *agent) refresh(ctx context.Context) {
	ticker := time.NewTicker(a.options.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		a.mu.Lock()
		if a.live {
			a.save(a.file.now())
		}
		a.mu.Unlock()
	}
}

// away says that the control plane has gone, and reports whether it was there.
func (a *agent) away() (lost bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live {
		a.save(a.file.now())
	}
	if lost = a.there; lost {
		a.there, a.live = false, false
		a.tell()
	}
	return lost
}

// withdraw serves and keeps nothing any more.
func (a *agent) withdraw() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held, a.resources, a.there, a.live = Held{}, nil, false, false
	if err := a.file.remove(); err != nil {
		a.options.Logger.Error("what is kept cannot be removed", slog.Any("error", err))
	}
	a.tell()
}

// standing reports whether Envoy is to be served: the control plane is away, and there is
// something that may be. end is when that ends by itself; changed is closed when it may
// have changed.
func (a *agent) standing() (serve bool, end <-chan time.Time, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.there || a.resources == nil {
		return false, nil, a.changed
	}
	if err := a.file.judgeAge(a.held.AsOf); err != nil {
		a.options.Logger.Warn("no Envoy can start any more until the control plane answers", slog.Any("error", err))
		a.resources = nil
		return false, nil, a.changed
	}
	return true, time.After(a.options.MaxAge - a.file.now().Sub(a.held.AsOf) + time.Millisecond), a.changed
}

// serve gives Envoy what is held, while it is to be served, until ctx ends. While it is
// not, there is no socket, and so Envoy goes on trying the control plane: from a second
// source that answers, it does not go back.
func (a *agent) serve(ctx context.Context) error {
	for {
		serve, _, changed := a.standing()
		if serve {
			if err := a.serveNow(ctx); err != nil || ctx.Err() != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// serveNow serves until ctx ends or Envoy is not to be served.
func (a *agent) serveNow(ctx context.Context) error {
	listener, err := listenAt(ctx, a.options.Beside.Socket)
	if err != nil {
		return err
	}
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- a.xds.Serve(serving, listener, nil) }()
	for {
		serve, end, changed := a.standing()
		if !serve || ctx.Err() != nil {
			cancel()
			return <-served
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-end:
		case err := <-served:
			return err
		}
	}
}
