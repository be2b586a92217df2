package cli

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// sitePlan is what would be done for one site.
type sitePlan struct {
	Site   string `json:"site"`
	Issuer string `json:"issuer"`
	// RegisterClient is the client_name that would be registered; empty for none.
	RegisterClient string       `json:"register_client,omitempty"`
	Changes        []planChange `json:"changes"`
	Unchanged      int          `json:"unchanged"`
	// Instances counts those of resources whose name has variables: no plan creates
	// or removes them.
	Instances []instance.Counts `json:"instances,omitempty"`
	// Kept is what comes of resources that the AS keeps (resources_at_as).
	Kept *keptPlan `json:"kept,omitempty"`
	// Error and Remedy: why nothing can be said of the site.
	Error  string `json:"error,omitempty"`
	Remedy string `json:"remedy,omitempty"`

	plan  reconcile.Plan
	of    *site.Site
	adopt []string
}

type planChange struct {
	reconcile.Change

	Problem string `json:"problem,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// fullPlan is what "plan --output json" prints.
type fullPlan struct {
	Sites []sitePlan `json:"sites"`
	// Applications are the sites that applications have made, which umagate serve keeps
	// in step, and neither plan nor apply changes.
	Applications []applicationSite `json:"applications"`
	// Left names sites that are not in the file any more and have resources at
	// their AS.
	Left    []leftSite `json:"left_alone"`
	Summary tally      `json:"summary"`
}

type applicationSite struct {
	Site   string   `json:"site"`
	Issuer string   `json:"issuer"`
	Hosts  []string `json:"hosts"`
	// Resources counts those that the application protects, Registered those of them
	// that the store has an id of.
	Resources  int `json:"resources"`
	Registered int `json:"registered"`
}

type leftSite struct {
	Site      string `json:"site"`
	Issuer    string `json:"issuer"`
	Resources int    `json:"resources"`
}

// tally counts steps.
type tally struct {
	Create    int `json:"create"`
	Adopt     int `json:"adopt"`
	Update    int `json:"update"`
	Repair    int `json:"repair"`
	Recreate  int `json:"recreate"`
	Delete    int `json:"delete"`
	Conflict  int `json:"conflict"`
	Unchanged int `json:"unchanged"`
	Clients   int `json:"clients"`
	Errors    int `json:"errors"`
}

// steps is how many can be carried out.
func (t tally) steps() int {
	return t.Create + t.Adopt + t.Update + t.Repair + t.Recreate + t.Delete + t.Clients
}

// plan makes the plan of every chosen site. One that fails does not keep the
// others from being shown.
func (f *syncFlags) plan(ctx context.Context, env Environment, file *site.File, sites []*site.Site) (full fullPlan, err error) {
	full = fullPlan{Sites: []sitePlan{}, Applications: []applicationSite{}, Left: []leftSite{}}
	adopt, err := f.adoptions(sites)
	if err != nil {
		return full, err
	}
	kept, err := f.readStore(ctx, file)
	if err != nil {
		return full, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	for _, s := range sites {
		options := f.options(env, s, registration.DryRun(kept), adopt[s.Name])
		bar := newBar(env, s.Name+": comparing")
		options.Compared = bar.show
		one := planSite(ctx, env, options)
		bar.end()
		full.Sites = append(full.Sites, one)
		full.Summary.add(one)
	}
	if len(f.sites) > 0 {
		return full, nil
	}
	if full.Applications, err = applications(ctx, kept, file); err != nil {
		return full, err
	}
	full.Left, err = leftAlone(ctx, kept, file, full.Applications)
	return full, err
}

// applications lists the sites that applications have made.
func applications(ctx context.Context, from *store.SQL, file *site.File) ([]applicationSite, error) {
	out := []applicationSite{}
	for _, e := range extensions {
		made, err := e.sites(ctx, from, file)
		if err != nil {
			return out, err
		}
		for i := range made {
			s := &made[i]
			one := applicationSite{Site: s.Name, Issuer: s.AuthorizationServer.Issuer, Hosts: append([]string{}, s.Hosts...), Resources: len(reconcile.Declared(s))}
			records, err := from.Resources(ctx, store.Key{Site: one.Site, Issuer: one.Issuer})
			if err != nil {
				return out, err
			}
			for _, r := range records {
				if r.ID != "" {
					one.Registered++
				}
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// readStore opens the store for reading; an empty one where there is none yet.
func (f *syncFlags) readStore(ctx context.Context, file *site.File) (*store.SQL, error) {
	opened, err := store.Read(ctx, file.Store.Secret(), filepath.Dir(f.path), file.StoreKeys()...)
	if errors.Is(err, store.ErrNoDatabase) {
		return store.Empty(ctx)
	}
	return opened, err
}

func (f *syncFlags) options(env Environment, s *site.Site, from registration.Store, adopt []string) registration.OperationOptions {
	return registration.OperationOptions{
		Site: s, Store: from, Logger: slog.New(slog.NewTextHandler(env.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Adopt: adopt, Concurrency: cmp.Or(f.concurrency, s.Sync.Concurrency),
	}
}

func planSite(ctx context.Context, env Environment, options registration.OperationOptions) sitePlan {
	out := sitePlan{
		Site: options.Site.Name, Issuer: options.Site.AuthorizationServer.Issuer, Changes: []planChange{},
		of: options.Site, adopt: options.Adopt,
	}
	fail := func(err error) sitePlan {
		out.Error, out.Remedy = err.Error(), registration.Remedy(err)
		return out
	}
	m, err := openManual(ctx, env, options)
	if err != nil {
		return fail(err)
	}
	defer m.Close()
	out.RegisterClient = m.Registers()
	if out.Instances, err = m.Instances(ctx); err != nil {
		return fail(err)
	}
	if options.Site.ResourcesAtAS != nil {
		if out.Kept, err = planKept(ctx, m); err != nil {
			return fail(err)
		}
		return out
	}
	if out.plan, err = m.Plan(ctx); err != nil {
		return fail(err)
	}
	declared := m.Declared()
	for _, c := range out.plan {
		change := planChange{Change: c}
		if c.Err != nil {
			change.Problem, change.Remedy = c.Err.Error(), registration.Remedy(c.Err)
		}
		if c.Kind != reconcile.Delete {
			declared--
		}
		out.Changes = append(out.Changes, change)
	}
	out.Unchanged = max(declared, 0)
	return out
}

// openManual opens a site for a command, which says nothing of it but what options log.
func openManual(ctx context.Context, env Environment, options registration.OperationOptions) (*registration.Operation, error) {
	options.Transport, options.Retry = env.Transport, manualRetry()
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	return registration.Open(ctx, options)
}

func (t *tally) add(s sitePlan) {
	t.Create += s.plan.Count(reconcile.Create)
	t.Adopt += s.plan.Count(reconcile.Adopt)
	t.Update += s.plan.Count(reconcile.Update)
	t.Repair += s.plan.Count(reconcile.Repair)
	t.Recreate += s.plan.Count(reconcile.Recreate)
	t.Delete += s.plan.Count(reconcile.Delete)
	t.Conflict += s.plan.Count(reconcile.Conflict)
	t.Unchanged += s.Unchanged
	if s.RegisterClient != "" && s.Error == "" {
		t.Clients++
	}
	if s.Error != "" {
		t.Errors++
	}
}

// leftAlone lists the sites that the store knows and neither the file nor an application
// has: an edit that takes a site out never deletes anything.
func leftAlone(ctx context.Context, from *store.SQL, file *site.File, made []applicationSite) ([]leftSite, error) {
	out := []leftSite{}
	keys, err := from.Keys(ctx)
	if err != nil {
		return out, err
	}
	for _, key := range keys {
		if s, ok := file.Site(key.Site); ok && s.AuthorizationServer.Issuer == key.Issuer {
			continue
		}
		if slices.ContainsFunc(made, func(a applicationSite) bool { return a.Site == key.Site && a.Issuer == key.Issuer }) {
			continue
		}
		records, err := from.Resources(ctx, key)
		if err != nil {
			return out, err
		}
		if len(records) > 0 {
			out = append(out, leftSite{Site: key.Site, Issuer: key.Issuer, Resources: len(records)})
		}
	}
	return out, nil
}
