package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
	"github.com/umagate/umagate/plugin/config"
)

// A Source brings sites that stand in no file: those that applications make by a
// protocol of their own. [Options.Sources] opens it.
type Source interface {
	// Sites returns its sites as they are now. The same state gives the same sites. It is
	// never called twice at a time.
	Sites(ctx context.Context, file *site.File) ([]site.Site, error)
	// Run serves until ctx ends. When it returns, nothing of the source runs.
	Run(ctx context.Context) error
	// Close gives back what opening took, whether Run was called or not.
	Close()
}

// OpenSource opens what a source listens on. It returns nil where the file does not ask
// for the source.
type OpenSource func(ctx context.Context, host SourceHost, file *site.File) (Source, error)

// SourceHost is what the control plane gives to a [Source].
type SourceHost struct {
	// Path is umagate.yaml's: what it names is relative to it.
	Path   string
	Store  *store.SQL
	Logger *slog.Logger
	Audit  audit.Recorder
	// Transport returns what carries the calls to an AS, measured under the name.
	Transport func(name string, settings site.TLS) (http.RoundTripper, error)
	// Revoked returns what Envoys are told to refuse.
	Revoked func() []config.Revocations
	// Changed has the sites read anew, and waits for Envoys. It reports whether every Envoy
	// that is connected enforces them. It is safe for concurrent use.
	Changed func(ctx context.Context) (enforced bool, err error)
	// Leads reports whether this replica may change anything elsewhere.
	Leads func() bool
	// Status is what has come of the sites; once Run is called.
	Status func() Status
}

// errNotBuiltIn keeps a section that nobody serves from being passed over.
var errNotBuiltIn = errors.New("oxd: this umagate was built without it, take the section out")

// sources are those that bring sites beside the file's.
type sources struct {
	list     []Source
	requests chan chan<- error // to read them anew; each is answered
	xds      *xds.Server
	logger   *slog.Logger
	// acknowledge is how long is waited for Envoys.
	acknowledge time.Duration
}

// openSources opens what brings sites beside the file's. It fills in the host's Changed.
func openSources(ctx context.Context, options Options, file *site.File, envoys *xds.Server, host SourceHost) (*sources, error) {
	s := &sources{requests: make(chan chan<- error), xds: envoys, logger: options.Logger, acknowledge: options.Intervals.Acknowledge}
	host.Changed = s.changed
	for _, open := range options.Sources {
		source, err := open(ctx, host, file)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		if source != nil {
			s.list = append(s.list, source)
		}
	}
	if file.OXD != nil && len(s.list) == 0 {
		return nil, errNotBuiltIn
	}
	return s, nil
}

// close closes those that were opened.
func (s *sources) close() error {
	for _, source := range slices.Backward(s.list) {
		source.Close()
	}
	return nil
}

// transports returns what carries the calls of a source to an AS, measured.
func transports(options Options, metrics *metrics) func(name string, settings site.TLS) (http.RoundTripper, error) {
	return func(name string, settings site.TLS) (http.RoundTripper, error) {
		transport := options.Transport
		if transport == nil {
			var err error
			if transport, err = settings.Transport(nil); err != nil {
				return nil, err
			}
		}
		return metrics.observe(name, transport), nil
	}
}

// merging returns merge; nil where there is no source.
func (s *sources) merging() func(context.Context, *site.File) (*site.File, error) {
	if len(s.list) == 0 {
		return nil
	}
	return s.merge
}

// merge joins the file with the sites of the sources. A site of the file comes first,
// and keeps its name.
func (s *sources) merge(ctx context.Context, file *site.File) (*site.File, error) {
	out := *file
	out.Sites = slices.Clone(file.Sites)
	for _, source := range s.list {
		sites, err := source.Sites(ctx, file)
		if err != nil {
			return nil, err
		}
		for i := range sites {
			if _, taken := out.Site(sites[i].Name); taken {
				s.logger.Error("an application's site has the name of one in the file, and is left out", slog.String("site", sites[i].Name))
				continue
			}
			out.Sites = append(out.Sites, sites[i])
		}
	}
	return &out, nil
}

// ErrStopping means that the control plane is about to end.
var ErrStopping = errors.New("umagate is stopping")

// changed asks serve: what is started must outlive who asked.
func (s *sources) changed(ctx context.Context) (enforced bool, err error) {
	done := make(chan error, 1)
	select {
	case s.requests <- done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	select {
	case err := <-done:
		if err != nil {
			return false, err
		}
		return s.awaitEnvoys(ctx)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// turn is how long after an acknowledgement, which comes from Envoy's main thread,
// its workers have taken the configuration, too: each does at its next turn, and
// until then may read more from a connection that it had at hand. Envoy itself
// counts a turn of 200 ms as a miss (watchdog_miss).
const turn = 250 * time.Millisecond

// awaitEnvoys waits until every connected Envoy enforces what was published, and reports
// whether all do. Those that have not acknowledged it in the time they have are logged.
// One that refuses is not waited for: it keeps what it had, whatever anybody does.
func (s *sources) awaitEnvoys(ctx context.Context) (enforced bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, s.acknowledge)
	defer cancel()
	got := s.xds.Await(waiting)
	if got.Acknowledged > 0 {
		timer := time.NewTimer(turn)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case len(got.Refused)+len(got.Silent) == 0:
		return true, nil
	}
	s.logger.Warn("an application is answered, and some Envoys enforce what it had protected before", slog.Int("acknowledged", got.Acknowledged),
		slog.Any("refused", few(got.Refused)), slog.Any("not_acknowledged", few(got.Silent)), slog.String("remedy", "umagate status tells what each Envoy has"))
	return false, nil
}

// few is the beginning of a list, for the log.
func few(nodes []string) []string { const most = 20; return nodes[:min(len(nodes), most)] }

// serve calls apply for requests until ctx ends. Those that wait are served together.
func (s *sources) serve(ctx context.Context, apply func(context.Context) error) {
	for {
		var waiting []chan<- error
		select {
		case <-ctx.Done():
			return
		case done := <-s.requests:
			waiting = append(waiting, done)
		}
		for more := true; more; {
			select {
			case done := <-s.requests:
				waiting = append(waiting, done)
			default:
				more = false
			}
		}
		err := apply(ctx)
		if ctx.Err() != nil {
			err = ErrStopping
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

// serveChanges serves what sources have changed, until ctx ends.
func (s *controlPlane) serveChanges(ctx context.Context) {
	s.sources.serve(ctx, func(ctx context.Context) error {
		if err := s.sites.apply(ctx, nil); err != nil {
			return err
		}
		s.publisher.publish(ctx)
		return s.publisher.state().err
	})
}
