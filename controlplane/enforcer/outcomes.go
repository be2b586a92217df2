package enforcer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/route"
)

// meant are the paths that a request belongs to for somebody who reads from left to
// right, as the filter does.
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
				return fmt.Errorf("%s: %w", f.template(), err)
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
	for _, target := range Unique([]string{at.raw, meant}) {
		found = append(found, j.choose(target)...)
		found = append(found, j.resolved(target, found)...)
	}
	if slices.ContainsFunc(found, func(outcome int) bool {
		return slices.ContainsFunc(j.demands(outcome), func(d demand) bool { return d.kind <= demandToken })
	}) {
		found = append(found, j.meant(at)...)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// resolved are the paths whose resource the enforcer may ask for in place of that of a path
// with parameters: it lets Keycloak say which resource a request is for, and Keycloak reads
// a slash at the end otherwise.
func (j *judge) resolved(target string, found []int) (out []int) {
	if !j.keycloaks || len(target) < 2 || !strings.HasSuffix(target, "/") ||
		!slices.ContainsFunc(found, func(outcome int) bool {
			return outcome >= 0 && outcome < len(j.paths) && strings.Contains(j.paths[outcome], "{")
		}) {
		return nil
	}
	for i, path := range j.paths {
		if !j.gone[i] && (concerns(path, target) || concerns(path, strings.TrimSuffix(target, "/"))) {
			out = append(out, i)
		}
	}
	return out
}

// choose gives the path that the enforcer takes for a target, or those of which it may
// take any. It is not asked about paths that begin otherwise.
func (j *judge) choose(target string) []int {
	paths, index := j.candidates[:0], j.indexes[:0]
	for i, begin := range j.begins {
		if strings.HasPrefix(target, begin) && !j.gone[i] {
			paths, index = append(paths, j.paths[i]), append(index, i)
		}
	}
	j.candidates, j.indexes = paths, index
	j.work += 1 + len(paths)
	var outcomes []int
	switch {
	case j.server != nil:
		outcomes = paths.Resolved(target, j.unordered, func(i int) []int { return j.server.parts(paths[i], target) })
	case j.unordered:
		outcomes = paths.Possible(target)
	default:
		outcomes = []int{paths.Choose(target)}
	}
	for i, outcome := range outcomes {
		if outcome >= 0 {
			outcomes[i] = index[outcome]
		}
	}
	if j.server == nil {
		return outcomes
	}
	return j.ofServer(outcomes, target)
}
