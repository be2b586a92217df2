package importer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/importer/enforcer"
	"github.com/umagate/umagate/plugin/route"
)

// meant are the paths that somebody would say a request is of who reads from left
// to right, as the filter does.
func (j *judge) meant(at *witness) []int {
	path, err := route.ParsePath(at.raw, "", false)
	if err != nil {
		return nil
	}
	if value := matched(j.reading, path); value >= 0 {
		return j.owners[value]
	}
	return nil
}

// read prepares that reading.
func (j *judge) read() error {
	j.reading = route.NewTable(false)
	index := map[string]int{}
	for i, forms := range j.covers {
		for _, f := range forms {
			template, err := route.ParseTemplate(f.template())
			if err != nil {
				return fmt.Errorf("%w: %s: %w", ErrSource, f.template(), err)
			}
			at, ok := index[f.key()]
			if !ok {
				at = len(j.owners)
				index[f.key()], j.owners = at, append(j.owners, nil)
				j.reading.Add(template, at)
			}
			j.owners[at] = append(j.owners[at], i)
		}
	}
	return nil
}

// outcomes are what the enforcer may take for a path: as it is sent, and as it is
// meant. Where it would ask for nothing, what a reader would say counts, too.
func (j *judge) outcomes(at *witness) []int {
	first := ""
	if len(at.segments) > 0 {
		first = at.segments[0]
	}
	found := map[int]bool{}
	meant := "/" + strings.Join(at.segments, "/")
	if at.slash {
		meant += "/"
	}
	for _, target := range unique([]string{at.raw, meant}) {
		b := j.bucket(first)
		for k := range b.paths {
			j.work += len(b.paths[k])
			outcome := b.paths[k].Choose(target)
			if outcome >= 0 {
				outcome = b.index[k][outcome]
			}
			found[outcome] = true
		}
	}
	open := slices.ContainsFunc(slices.Collect(maps.Keys(found)), func(outcome int) bool {
		return slices.ContainsFunc(j.demands(outcome), func(d demand) bool { return d.kind <= demandToken })
	})
	if open {
		for _, i := range j.meant(at) {
			found[i] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// bucket gives the paths that may be taken where the first segment is this. Those
// of another first segment are taken for none.
func (j *judge) bucket(first string) bucket {
	b, ok := j.buckets[first]
	if ok {
		return b
	}
	for _, order := range j.orders {
		var paths enforcer.Paths
		var index []int
		for _, p := range order {
			segment, _, more := strings.Cut(strings.TrimPrefix(p, "/"), "/")
			if more && strings.HasPrefix(p, "/") && !strings.ContainsAny(segment, "{*") && !strings.Contains(p, "/*.") &&
				decoded(segment) != first && segment != first {
				continue
			}
			paths, index = append(paths, p), append(index, slices.Index(j.paths, p))
		}
		b.paths, b.index = append(b.paths, paths), append(b.index, index)
	}
	j.buckets[first] = b
	return b
}
