package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/site"
)

// reloader reads umagate.yaml anew when it is asked to or when the file changed.
type reloader struct {
	path    string
	load    func(path string) (*site.File, error)
	apply   func(ctx context.Context, file *site.File) error
	request <-chan os.Signal
	every   time.Duration
	logger  *slog.Logger
	// recorder keeps what was taken over.
	recorder audit.Recorder

	// Of the goroutine of run: the file that was taken over last; the files that the
	// one read last names, taken over or not; and the sum of all that.
	file    *site.File
	sources []string
	seen    [sha256.Size]byte
	// again is when the file is tried again though it is the same: the AS may come to take
	// what it refused. Zero for when it changes.
	again time.Time

	failed lastError
}

// lastError is why the last attempt failed; nil for one that did not.
type lastError struct {
	mu    sync.Mutex
	since time.Time
	err   error
}

// get returns it, and since when attempts fail.
func (l *lastError) get() (since time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since, l.err
}

func (l *lastError) set(err error) (before error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before = l.err; before == nil {
		l.since = time.Now()
	}
	l.err = err
	return before
}

// run watches until ctx ends. The content is compared, not the time: that also
// sees what a mounted ConfigMap or an editor puts in the file's place.
func (r *reloader) run(ctx context.Context) {
	ticker := time.NewTicker(r.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.request:
			r.reload(ctx)
		case <-ticker.C:
			if sum(r.path, r.sources) != r.seen || !r.again.IsZero() && time.Now().After(r.again) {
				r.reload(ctx)
			}
		}
	}
}

// sum is of the file and of those that its secrets come from. One that cannot be
// read counts as empty: a mount that is replaced is not there for a moment.
func sum(path string, sources []string) [sha256.Size]byte {
	h := sha256.New()
	for i, name := range append([]string{path}, sources...) {
		if i > 0 && !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		data, err := os.ReadFile(name) //nolint:gosec // the operator names the file
		if err != nil {
			data = nil
		}
		part := sha256.Sum256(data)
		_, _ = h.Write(part[:]) // never fails
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// candidateAgain is the wait before a file is tried again whose AS or client was refused.
const candidateAgain = 5 * time.Second

// reload takes the file over, or keeps the one in force.
func (r *reloader) reload(ctx context.Context) {
	// What changes while it is read is read again.
	r.seen = sum(r.path, r.sources)
	file, err := r.load(r.path)
	if sources := site.Sources(file, err); !slices.Equal(sources, r.sources) {
		r.sources = sources
		r.seen = sum(r.path, r.sources)
	}
	if err == nil {
		err = r.apply(ctx, file)
	}
	r.again = time.Time{}
	if _, candidate := errors.AsType[*candidateError](err); candidate {
		r.again = time.Now().Add(candidateAgain)
	}
	before := r.failed.set(err)
	if err != nil {
		if before != nil && before.Error() == err.Error() {
			return // it is told
		}
		r.recorder.Record(ctx, audit.Event{
			Action: audit.ConfigRefused, Target: r.path, Outcome: audit.Failed,
			Detail: map[string]string{"sha256": sumText(r.seen), "error": audit.Shorten(err.Error())},
		})
		r.logger.Error("configuration file not taken over; the one before stays in force", slog.String("path", r.path), slog.Any("error", err))
		return
	}
	r.tell(ctx, r.file, file)
	r.file = file
	r.logger.Info("configuration file taken over", slog.String("path", r.path), slog.Int("sites", len(file.Sites)))
}

// tell records that a file is in force; before is nil for the first.
func (r *reloader) tell(ctx context.Context, before, file *site.File) {
	detail := difference(before, file)
	if before != nil && len(detail) == 1 {
		return // a comment, or nothing
	}
	detail["sha256"] = sumText(r.seen)
	r.recorder.Record(ctx, audit.Event{Action: audit.ConfigReload, Target: r.path, Detail: detail})
}

// errRestart: what listens and what stores cannot change while running.
var errRestart = errors.New("listen, store, telemetry and oxd (but for oxd.sites) take effect at the next start only: restart, or put them back")

// unchangeable compares what needs a restart.
func unchangeable(old, next *site.File) error {
	if !reflect.DeepEqual(old.Listen, next.Listen) || old.Store.Reveal() != next.Store.Reveal() ||
		!reflect.DeepEqual(old.Telemetry, next.Telemetry) {
		return fmt.Errorf("%w", errRestart)
	}
	if !reflect.DeepEqual(withoutSites(old.OXD), withoutSites(next.OXD)) {
		return fmt.Errorf("%w", errRestart)
	}
	return nil
}

// withoutSites is what needs a restart to change.
func withoutSites(o *site.OXD) *site.OXD {
	if o == nil {
		return nil
	}
	out := *o
	out.Sites = nil
	return &out
}
