package reconcile

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/store"
)

// DefaultConcurrency is how many calls to the AS a reconciler has in flight.
const DefaultConcurrency = 4

// AS is what a reconciler asks of the AS; [as.Protection] is one.
type AS interface {
	Create(ctx context.Context, r as.Resource) (as.Resource, error)
	Read(ctx context.Context, id string) (as.Resource, error)
	Update(ctx context.Context, r as.Resource) error
	Delete(ctx context.Context, id string) error
	List(ctx context.Context) ([]string, error)
	ListAll(ctx context.Context) (as.Listing, error)
	FindByName(ctx context.Context, name string) ([]as.Resource, error)
	FindsByName() bool
	Normalize(r as.Resource) as.Resource
}

// Records is what a reconciler keeps; [store.SQL] is one.
type Records interface {
	Resources(ctx context.Context, key store.Key) ([]store.Resource, error)
	PutResource(ctx context.Context, key store.Key, r store.Resource) error
	DeleteResource(ctx context.Context, key store.Key, name string) error
	ResourceSites(ctx context.Context, issuer, id string) ([]string, error)
}

// Reconciler brings the resources of one site in step. One call of Plan or Apply
// at a time.
type Reconciler struct {
	AS      AS
	Records Records
	Key     store.Key
	// Empty says that the AS has nothing yet, because there is no client: a plan asks
	// it nothing.
	Empty bool
	// Concurrency bounds calls in flight; [DefaultConcurrency] when 0.
	Concurrency int
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Retry says how a call that may succeed later is tried again; the zero value
	// tries once.
	Retry Retry
	// Progress is called after each change that was carried out, one call at a
	// time; may be nil. Compared is the same for a plan's resources.
	Progress, Compared func(done, total int)
	// Reads bounds how many registrations a plan reads to look for drift where the
	// AS's list does not describe them, beginning with the declared resource number
	// From; 0 is all. One whose declaration changed is read in any case. Next is
	// where the following plan begins, so that each has its turn.
	Reads, From, Next int
	// Changed is called with each change that was carried out, by the goroutine that
	// did it; may be nil.
	Changed func(Change)
	// Audit keeps what was changed; may be nil.
	Audit audit.Recorder

	// pause is shared by all calls: an AS that limits the rate limits all of them.
	pause pause
}

// IDs gives the resource ids that are known, by name.
func (r *Reconciler) IDs(ctx context.Context) (map[string]string, error) {
	records, err := r.Records.Resources(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	return registered(records), nil
}

// Plan compares. It changes nothing.
func (r *Reconciler) Plan(ctx context.Context, desired []Desired) (Plan, error) {
	records, err := r.Records.Resources(ctx, r.Key)
	if err != nil {
		return nil, err
	}
	known := make(map[string]store.Resource, len(records))
	for _, record := range records {
		known[record.Name] = record
	}
	look := &view{as: r.AS, empty: r.Empty, attempt: r.attempt, limit: r.limit()}
	if err := look.prepare(ctx, desired, known); err != nil {
		return nil, err
	}
	changes := make([]*Change, len(desired)+len(records))
	wanted := make(map[string]bool, len(desired))
	compared := r.counter(len(desired))

	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.limit())
	for i, d := range desired {
		wanted[d.Name] = true
		due := r.due(i, len(desired))
		group.Go(func() (err error) {
			changes[i], err = r.compare(groupCtx, d, known[d.Name], look, due)
			compared()
			return err
		})
	}
	for i, record := range records {
		if wanted[record.Name] {
			continue
		}
		group.Go(func() (err error) {
			changes[len(desired)+i], err = r.obsolete(groupCtx, record, look)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if r.Reads > 0 && len(desired) > 0 {
		r.Next = (r.From + r.Reads) % len(desired)
	}
	var plan Plan
	for _, c := range changes {
		if c != nil {
			plan = append(plan, *c)
		}
	}
	return plan, nil
}

// owner is another site that has a record of a resource of the AS, "" for none: sites
// may share a client there, and so its resources.
func (r *Reconciler) owner(ctx context.Context, id string) (string, error) {
	sites, err := r.Records.ResourceSites(ctx, r.Key.Issuer, id)
	if err != nil {
		return "", err
	}
	for _, site := range sites {
		if site != r.Key.Site {
			return site, nil
		}
	}
	return "", nil
}

// due says that it is the turn of declared resource i of n to be read.
func (r *Reconciler) due(i, n int) bool {
	return r.Reads == 0 || (i-r.From%n+n)%n < r.Reads
}

// counter gives what tells Compared of one more.
func (r *Reconciler) counter(total int) func() {
	if r.Compared == nil {
		return func() {}
	}
	var mu sync.Mutex
	done := 0
	return func() {
		mu.Lock()
		defer mu.Unlock()
		done++
		r.Compared(done, total)
	}
}

func (r *Reconciler) limit() int {
	if r.Concurrency > 0 {
		return r.Concurrency
	}
	return DefaultConcurrency
}
