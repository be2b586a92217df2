package enforcer

import (
	"slices"
	"strings"
)

// maxOrdered bounds the paths that are tried in every order.
const maxOrdered = 5

// Possible gives what Choose may give where the order of the paths is not known, each
// once: the enforcer loads resources from the server in any order, and where several
// are equal to a request it is the order that decides. Of very many that may be taken,
// it gives more than those that can be.
func (ps Paths) Possible(target string) []int { return ps.possible(target, nil) }

// Resolved gives what Choose or, where the order is not known, Possible may give where a
// template stands for a resource of the server once it is taken. parts are the numbers
// of parts that the URI of that one may have, by index; none where it stands for itself.
func (ps Paths) Resolved(target string, unordered bool, parts func(i int) []int) []int {
	var out []int
	for _, pick := range []func([]int) int{slices.Min[[]int], slices.Max[[]int]} {
		of := func(i int) int {
			if all := parts(i); len(all) > 0 {
				return pick(all)
			}
			return -1
		}
		if unordered {
			out = append(out, ps.possible(target, of)...)
		} else {
			out = append(out, ps.chooseWith(target, of))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (ps Paths) possible(target string, parts func(i int) int) []int {
	var concerned Paths
	var index []int
	for i, path := range ps {
		if concerns(path, target) {
			concerned, index = append(concerned, path), append(index, i)
		}
	}
	if parts == nil {
		concerned, index = withoutShorter(concerned, index, target)
	}
	found := map[int]bool{}
	note := func(paths Paths, index []int) {
		var of func(i int) int
		if parts != nil {
			of = func(i int) int { return parts(index[i]) }
		}
		outcome := paths.chooseWith(target, of)
		if outcome >= 0 {
			outcome = index[outcome]
		}
		found[outcome] = true
	}
	if len(concerned) <= maxOrdered {
		eachOrder(concerned, index, 0, note)
	} else {
		found[None] = true // a template that is ahead may keep another from being taken
		for i := range concerned {
			note(concerned[i:i+1], index[i:i+1])
		}
	}
	out := make([]int, 0, len(found))
	for outcome := range found {
		out = append(out, outcome)
	}
	slices.Sort(out)
	return out
}

// concerns reports that a path has a say in what is chosen.
func concerns(path, target string) bool {
	if sameOrBelow(path, target) {
		return true
	}
	if !strings.Contains(path, "{") {
		return false
	}
	filled, ok, fault := fill(path, target)
	return fault || ok && sameOrBelow(filled, target)
}

// withoutShorter leaves out what ends in "*" and is shorter than another such path: it
// is taken in no order.
func withoutShorter(paths Paths, index []int, target string) (kept Paths, keptIndex []int) {
	plain := func(path string) bool {
		return strings.HasSuffix(path, "*") && !strings.Contains(path, "{") && path != target && fixed(path) != target
	}
	longest := 0
	for _, path := range paths {
		if plain(path) {
			longest = max(longest, javaParts(path, "/"))
		}
	}
	for i, path := range paths {
		if !plain(path) || javaParts(path, "/") == longest {
			kept, keptIndex = append(kept, path), append(keptIndex, index[i])
		}
	}
	return kept, keptIndex
}

// eachOrder calls try with every order of the paths behind the first at ones.
func eachOrder(paths Paths, index []int, at int, try func(Paths, []int)) {
	if at >= len(paths)-1 {
		try(paths, index)
		return
	}
	for i := at; i < len(paths); i++ {
		swap := func() {
			paths[at], paths[i] = paths[i], paths[at]
			index[at], index[i] = index[i], index[at]
		}
		swap()
		eachOrder(paths, index, at+1, try)
		swap()
	}
}
