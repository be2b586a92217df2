package importer

import (
	"fmt"
	"slices"
	"strings"

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
	var found []int
	meant := "/" + strings.Join(at.segments, "/")
	if at.slash {
		meant += "/"
	}
	for _, target := range unique([]string{at.raw, meant}) {
		for _, order := range j.orders {
			found = append(found, j.choose(order, target))
		}
	}
	if slices.ContainsFunc(found, func(outcome int) bool {
		return slices.ContainsFunc(j.demands(outcome), func(d demand) bool { return d.kind <= demandToken })
	}) {
		found = append(found, j.meant(at)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// choose gives the path that the enforcer takes for a target when it has the paths in
// that order. Those are left out of which the beginning shows that they are not.
func (j *judge) choose(order []int, target string) int {
	j.candidates, j.indexes = j.candidates[:0], j.indexes[:0]
	for _, i := range order {
		if strings.HasPrefix(target, j.begins[i]) {
			j.candidates, j.indexes = append(j.candidates, j.paths[i]), append(j.indexes, i)
		}
	}
	j.work += 1 + len(j.candidates)
	outcome := j.candidates.Choose(target)
	if outcome < 0 {
		return outcome
	}
	return j.indexes[outcome]
}
