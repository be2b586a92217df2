package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/site"
)

// Dynamic gives the sites that stand in no file: what applications protect by the
// protocol of oxd. The same state gives the same sites.
type Dynamic func(ctx context.Context, file *site.File) ([]site.Site, error)

// applicationSites gives the sites of what applications protect. What is wrong with one
// is told once.
func (s *serving) applicationSites(kept oxd.SiteStore) Dynamic {
	told := map[string]bool{} // one call at a time
	return func(ctx context.Context, file *site.File) ([]site.Site, error) {
		if file.OXD == nil {
			return nil, nil
		}
		return oxd.SitesOf(ctx, kept, originOf(file.OXD), file.OXD.Sites, func(oxdID string, what error) {
			if key := oxdID + " " + what.Error(); !told[key] {
				told[key] = true
				s.options.Logger.Warn("an application's resources", slog.String("oxd_id", oxdID), slog.Any("error", what))
			}
		})
	}
}

// originOf says how the AS of an op_host is reached.
func originOf(settings *site.OXD) oxd.Origin {
	return func(opHost string) site.AuthorizationServer {
		if opHost == "" {
			opHost = settings.DefaultHost()
		}
		if p, ok := settings.Provider(opHost); ok {
			return p.AuthorizationServer()
		}
		return site.New().AuthorizationServer
	}
}

// merge joins the file with the sites that applications made. A site of the file
// comes first, and keeps its name.
func (s *serving) merge(ctx context.Context, file *site.File) (*site.File, error) {
	if s.dynamic == nil {
		return file, nil
	}
	sites, err := s.dynamic(ctx, file)
	if err != nil {
		return nil, err
	}
	out := *file
	out.Sites = slices.Clone(file.Sites)
	for i := range sites {
		if _, taken := out.Site(sites[i].Name); taken {
			s.options.Logger.Error("an application's site has the name of one in the file, and is left out", slog.String("site", sites[i].Name))
			continue
		}
		out.Sites = append(out.Sites, sites[i])
	}
	return &out, nil
}

// changeRequests hands requests to the goroutine that serves them: what it starts must
// outlive who asked.
type changeRequests struct {
	requests chan chan<- error
	// await waits for Envoys; ctx bounds it.
	await func(ctx context.Context) error
}

// ErrStopping tells that the control plane is about to end.
var ErrStopping = errors.New("umagate is stopping")

// Changed takes over what applications protect now, and returns when every Envoy
// that is connected enforces it. [oxd.ErrEnvoysBehind]: some do not. Safe for
// concurrent use.
func (c changeRequests) Changed(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case c.requests <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		if err == nil {
			err = c.await(ctx)
		}
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// turn is how long after an acknowledgement, which comes from Envoy's main thread,
// its workers have taken the configuration, too: each does at its next turn, and
// until then may read more from a connection that it had at hand. Envoy itself
// counts a turn of 200 ms as a miss (watchdog_miss).
const turn = 250 * time.Millisecond

// awaitEnvoys waits until every connected Envoy enforces what was published, and
// tells of those that have not acknowledged it in the time they have. One that
// refuses is not waited for: it keeps what it had, whatever anybody does.
func (s *serving) awaitEnvoys(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, s.options.Intervals.Acknowledge)
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
		return ctx.Err()
	case len(got.Refused)+len(got.Silent) == 0:
		return nil
	}
	s.options.Logger.Warn("an application is answered, and some Envoys enforce what it had protected before", slog.Int("acknowledged", got.Acknowledged),
		slog.Any("refused", few(got.Refused)), slog.Any("not_acknowledged", few(got.Silent)), slog.String("remedy", "umagate status tells what each Envoy has"))
	return oxd.ErrEnvoysBehind
}

// few is the beginning of a list, for the log.
func few(nodes []string) []string { return nodes[:min(len(nodes), maxEnvoyProblems)] }

// serveChanges works until ctx ends. Requests that wait are served together.
func (s *serving) serveChanges(ctx context.Context, requests changeRequests) {
	for {
		var waiting []chan<- error
		select {
		case <-ctx.Done():
			return
		case done := <-requests.requests:
			waiting = append(waiting, done)
		}
		for more := true; more; {
			select {
			case done := <-requests.requests:
				waiting = append(waiting, done)
			default:
				more = false
			}
		}
		err := s.sites.apply(ctx, nil)
		if err == nil {
			s.publisher.publish(ctx)
			err = s.publisher.state().err
		}
		if ctx.Err() != nil {
			err = ErrStopping
		}
		for _, done := range waiting {
			done <- err
		}
	}
}
