package instance

import (
	"context"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

// Counts counts the instances of one resource.
type Counts struct {
	// Resource is the declared name.
	Resource string `json:"resource"`
	// Declared is false for one that the file does not have any more. Its instances
	// stay at the AS, unused.
	Declared   bool `json:"declared"`
	Registered int  `json:"registered"`
	Pending    int  `json:"pending,omitempty"`
	Removing   int  `json:"removing,omitempty"`
}

// Counter counts the instances of a site; [store.SQL] is one.
type Counter interface {
	CountInstances(ctx context.Context, key store.Key) ([]store.InstanceCount, error)
}

// Count returns the counts of a site, by name: of every resource with instances that
// is declared, and of every other that still has some.
func Count(ctx context.Context, kept Counter, key store.Key, s *site.Site) ([]Counts, error) {
	counts, err := kept.CountInstances(ctx, key)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Counts{}
	of := func(name string) *Counts {
		if byName[name] == nil {
			byName[name] = &Counts{Resource: name}
		}
		return byName[name]
	}
	for i := range s.Resources {
		if s.Resources[i].HasInstances() && s.Require != config.RequireOAuthScopes {
			of(s.Resources[i].Name).Declared = true
		}
	}
	for _, c := range counts {
		switch t := of(c.Template); c.State {
		case store.InstanceRegistered:
			t.Registered = c.Count
		case store.InstancePending:
			t.Pending = c.Count
		case store.InstanceRemoving:
			t.Removing = c.Count
		}
	}
	out := make([]Counts, 0, len(byName))
	for _, t := range byName {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Counts) int { return strings.Compare(a.Resource, b.Resource) })
	return out, nil
}

// Count returns the counts of the manager's site.
func (m *Manager) Count(ctx context.Context) ([]Counts, error) {
	return Count(ctx, m.options.Store, m.options.Key, m.options.Site)
}
