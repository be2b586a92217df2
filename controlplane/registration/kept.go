package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

var (
	// ErrKeptAtAS: somebody asks for a change of resources that the AS keeps.
	ErrKeptAtAS = errors.New("the site's resources are kept at its authorization server (resources_at_as), where umagate changes nothing")
	// ErrNoPaths: the AS has no paths of resources.
	ErrNoPaths = errors.New("resources_at_as needs an authorization server that keeps paths with its resources, which is Keycloak")
)

// storeEvery is how old a reading in the store may be that is still the same: the time of
// each is not worth a change that every replica looks at.
const storeEvery = 10 * time.Minute

// keptStore keeps what was read.
type keptStore interface {
	KeptResources(ctx context.Context, key store.Key) (store.KeptResources, error)
	PutKeptResources(ctx context.Context, key store.Key, k store.KeptResources) error
}

// Kept is what is known of resources that a site's AS keeps. It does not change.
type Kept struct {
	kept.Compiled

	Reading kept.Reading
	// ReadAt is when the AS was read last with success.
	ReadAt time.Time
}

// keeper owns what a site's AS keeps: it reads it, and changes nothing there.
type keeper struct {
	*account

	store    keptStore
	due      time.Time
	stored   time.Time
	failures int
	// accepted: resources that are gone are, however many, at the next look.
	accepted bool
}

func (k *keeper) active() bool { return k.site.ResourcesAtAS != nil }

// restore takes over what was read last.
func (k *keeper) restore(ctx context.Context) error {
	if !k.active() {
		return nil
	}
	stored, err := k.store.KeptResources(ctx, k.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var reading kept.Reading
	if err := json.Unmarshal(stored.Reading, &reading); err != nil {
		return fmt.Errorf("site %s: stored resources: %w", k.site.Name, err)
	}
	k.stored = stored.ReadAt
	if now := k.board.read().Kept; now != nil && reflect.DeepEqual(now.Reading, reading) {
		return nil
	}
	if _, err = k.use(reading, stored.ReadAt); err != nil {
		// The file has changed since: nothing of it passes until the next look.
		k.conditions.Set(health.ResourcesNotTaken, err)
	}
	return nil
}

// use puts a reading in force, and reports whether it is another.
func (k *keeper) use(reading kept.Reading, at time.Time) (changed bool, err error) {
	compiled, err := kept.Compile(k.site, &reading)
	if err != nil {
		return false, err
	}
	k.board.update(func(s *Snapshot) bool {
		changed = s.Kept == nil || !reflect.DeepEqual(s.Kept.Compiled, compiled)
		s.Kept = &Kept{Compiled: compiled, Reading: reading, ReadAt: at}
		return changed
	})
	return changed, nil
}

// step reads the AS when that is due. A look that fails leaves in force what was read
// before.
func (k *keeper) step(ctx context.Context, server *as.Server, protection *as.Protection) error {
	if !server.KeepsPaths() {
		return fmt.Errorf("%w; this one is of dialect %s", ErrNoPaths, server.Dialect().Name)
	}
	if time.Now().Before(k.due) {
		return nil
	}
	before := k.board.read().Kept
	if before == nil {
		k.enter(Syncing)
	}
	err := k.traced(ctx, "read the resources", func(ctx context.Context) error { return k.look(ctx, protection) })
	if err == nil {
		k.failures, k.due = 0, time.Now().Add(spread(k.interval()))
		k.conditions.Set(health.ResourcesNotTaken, nil)
		return nil
	}
	if before == nil || ctx.Err() != nil || errors.Is(err, as.ErrClientRefused) {
		return err
	}
	k.failures++
	k.due = time.Now().Add(min(k.interval(), k.intervals.retry().Backoff(k.failures, as.RetryAfter(err))))
	k.conditions.Set(health.ResourcesNotTaken, fmt.Errorf("what was read at %s stays in force: %w", before.ReadAt.UTC().Format(time.RFC3339), err))
	return nil
}

// interval is how often the AS is read.
func (k *keeper) interval() time.Duration {
	if k.intervals.Sync > 0 {
		return k.intervals.Sync
	}
	return k.site.ResourcesAtAS.Interval
}

// look reads the AS once, and puts in force what comes of it.
func (k *keeper) look(ctx context.Context, protection *as.Protection) error {
	var before kept.Reading
	now := k.board.read().Kept
	if now != nil {
		before = now.Reading
	}
	reading, err := Look(ctx, protection, k.site, &before, k.accepted)
	if err != nil {
		return err
	}
	at := time.Now()
	k.accepted = false
	changed, err := k.use(reading, at)
	if err != nil {
		return err
	}
	k.tell(changed, &before, &reading)
	if now != nil && reflect.DeepEqual(before, reading) && at.Sub(k.stored) < storeEvery {
		return nil
	}
	text, err := json.Marshal(reading)
	if err != nil {
		return fmt.Errorf("encode the resources: %w", err)
	}
	if err := k.store.PutKeptResources(context.WithoutCancel(ctx), k.key, store.KeptResources{Reading: text, ReadAt: at}); err != nil {
		return err
	}
	k.stored = at
	return nil
}

// tell logs what is another than before, and says what is withheld.
func (k *keeper) tell(changed bool, before, now *kept.Reading) {
	if n := len(now.Withheld); n > 0 {
		k.conditions.Set(health.RemovalsWithheld, fmt.Errorf("%d resources are gone at the authorization server, resources_at_as.max_removals is %d: %w",
			n, k.site.ResourcesAtAS.MaxRemovals, kept.ErrRemovals))
	} else {
		k.conditions.Set(health.RemovalsWithheld, nil)
	}
	for _, gone := range before.Gone(now.Resources) {
		k.logger.Warn("a resource is gone at the authorization server: its paths are as if it had never been", slog.String("resource", gone.Name), slog.Any("uris", gone.URIs))
	}
	if !changed {
		return
	}
	k.logger.Info("conditions made of the authorization server's resources", slog.Int("resources", len(now.Resources)), slog.Int("withheld", len(now.Withheld)),
		slog.Int("withdrawn", len(now.Withdrawn)))
	if now := k.board.read().Kept; now != nil {
		for _, n := range now.Notes {
			if n.Narrowed {
				k.logger.Warn("a path of the authorization server is narrower here", slog.String("resource", n.Resource), slog.String("note", n.Text))
			}
		}
	}
}

// Look reads the resources that an AS keeps, and gives what is in force then. One that is
// missing from the list is gone only if the AS says so of its id.
func Look(ctx context.Context, protection *as.Protection, s *site.Site, before *kept.Reading, accepted bool) (kept.Reading, error) {
	listed, err := protection.ListDescribed(ctx, kept.MaxResources)
	if err != nil {
		return kept.Reading{}, err
	}
	most := s.ResourcesAtAS.MaxRemovals
	if accepted {
		most = -1
	}
	there := map[string]bool{}
	for i := range listed {
		there[listed[i].ID] = true
	}
	var missing []string
	for _, r := range before.Gone(kept.Of(listed)) {
		if !there[r.ID] {
			missing = append(missing, r.ID)
		}
	}
	if most < 0 || len(missing) <= most {
		for _, id := range missing {
			have, err := protection.Read(ctx, id)
			switch {
			case errors.Is(err, as.ErrNotFound):
			case err != nil:
				return kept.Reading{}, err
			default:
				listed = append(listed, have)
			}
		}
	}
	return before.Next(kept.Of(listed), most)
}

// Kept looks at what the AS keeps, of a site with resources_at_as, and says what would be
// in force then. before is what is.
func (o *Operation) Kept(ctx context.Context) (now, before *Kept, err error) {
	if !o.server.KeepsPaths() {
		return nil, nil, fmt.Errorf("%w; this one is of dialect %s", ErrNoPaths, o.server.Dialect().Name)
	}
	if o.client.current == nil {
		return nil, nil, errNotRegistered
	}
	before = o.board.read().Kept
	if before == nil {
		before = &Kept{}
	}
	reading, err := Look(ctx, o.protection(ctx), o.site, &before.Reading, false)
	if err != nil {
		return nil, nil, err
	}
	compiled, err := kept.Compile(o.site, &reading)
	return &Kept{Compiled: compiled, Reading: reading, ReadAt: time.Now()}, before, err
}
