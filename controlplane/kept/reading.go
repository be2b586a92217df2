package kept

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
)

const (
	// MaxResources bounds the resources that are read, with paths or without.
	MaxResources = 10_000
	// maxWithdrawn bounds the paths that are remembered, maxURI the bytes of one.
	maxWithdrawn = 1_000
	maxURI       = 2_048
)

// ErrWithdrawn says that more paths are not protected any more than are remembered.
var ErrWithdrawn = fmt.Errorf("more than %d paths were protected once and are not any more: what was read before stays in force", maxWithdrawn)

// ErrRemovals says that more resources are gone than may be without asking.
var ErrRemovals = errors.New("they stay as they were until umagate refresh --accept-removals is told, or they are back")

// Resource is one with paths, as the AS has it.
type Resource struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	URIs   []string `json:"uris"`
	Scopes []string `json:"scopes,omitempty"`
}

// Reading is what was read of an AS and is in force. It does not change.
type Reading struct {
	// Resources are those with paths, in order of their ids.
	Resources []Resource `json:"resources"`
	// Withdrawn are paths that a resource had once and that none has any more, in order.
	Withdrawn []string `json:"withdrawn,omitempty"`
	// Withheld are the ids of resources that are gone and stay as they were.
	Withheld []string `json:"withheld,omitempty"`
}

// Of are the resources that have paths.
func Of(found []as.Resource) []Resource {
	out := []Resource{}
	for i := range found {
		r := &found[i]
		uris := slices.DeleteFunc(slices.Clone(r.URIs), func(uri string) bool { return uri == "" })
		if len(uris) > 0 {
			out = append(out, Resource{ID: r.ID, Name: r.Name, URIs: uris, Scopes: r.Scopes})
		}
	}
	slices.SortFunc(out, func(a, b Resource) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Gone are the resources in force that are not among those found.
func (r *Reading) Gone(found []Resource) []Resource {
	there := map[string]bool{}
	for i := range found {
		there[found[i].ID] = true
	}
	var out []Resource
	for _, have := range r.Resources {
		if !there[have.ID] {
			out = append(out, have)
		}
	}
	return out
}

// Next is what is in force after resources were found at the AS. Of more than most that
// are gone, each stays as it was; most is negative where any number may be.
func (r *Reading) Next(found []Resource, most int) (Reading, error) {
	next := Reading{Resources: slices.Clone(found)}
	gone := r.Gone(found)
	if most >= 0 && len(gone) > most {
		next.Resources = append(next.Resources, gone...)
		slices.SortFunc(next.Resources, func(a, b Resource) int { return strings.Compare(a.ID, b.ID) })
		for i := range gone {
			next.Withheld = append(next.Withheld, gone[i].ID)
		}
	}
	has := map[string]bool{}
	for i := range next.Resources {
		for _, uri := range next.Resources[i].URIs {
			has[uri] = true
		}
	}
	next.Withdrawn = slices.DeleteFunc(slices.Clone(r.Withdrawn), func(uri string) bool { return has[uri] })
	for i := range r.Resources {
		for _, uri := range r.Resources[i].URIs {
			if !has[uri] && !slices.Contains(next.Withdrawn, uri) {
				next.Withdrawn = append(next.Withdrawn, uri)
			}
		}
	}
	slices.Sort(next.Withdrawn)
	if len(next.Withdrawn) > maxWithdrawn {
		return Reading{}, ErrWithdrawn
	}
	return next, nil
}
