package enforcer

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/route"
)

const (
	// maxWitnesses and maxForms bound what one configuration is tried with, and
	// maxWork how often a path is compared with a request.
	maxWitnesses = 100_000
	mostForms    = 4_000
	maxWork      = 5_000_000
	// maxEndings bounds the forms, times the endings that are told apart below each: it
	// shows early that there are too many requests to try.
	maxEndings = 8_000
	// maxRefinements bounds how often forms are added. One can only show what the
	// next has to tell apart.
	maxRefinements = 6
)

// depths are how far below a path an ending is told apart: less where that would be
// too much.
func depths() []int { return []int{4, 2, 1, 0} }

var (
	// ErrTooMany: the paths overlap in too many ways.
	ErrTooMany = errors.New("its paths overlap in too many ways to be compared")

	errUnheard = errors.New("its paths begin and end in too many ways to be compared")
)

// judge compares two readings of paths: which path of its configuration the policy
// enforcer takes for a request, and which template the filter. The filter's
// templates are refined until the enforcer takes one path for all requests of each,
// as far as that goes; what is left needs what all of them ask for.
type judge struct {
	paths     Paths
	unordered bool         // in which order the enforcer has them is not known
	keycloaks bool         // all that Keycloak has
	begins    []string     // by path: a text that all begin with for which it may be taken
	endings   [][]fragment // by path
	covers    [][]outline  // by path
	never     []bool       // by path: the enforcer takes it for no request
	gone      []bool       // by path: the enforcer has it no more
	other     string       // a segment that no path has
	short     string       // one of a single character
	shortAt   []int        // where one is told from a longer one, in segments
	deepest   int          // how far below a path an ending is told apart
	keep      bool         // what is denied stays, for a reader to change it
	// demands gives what an outcome asks for, by method.
	demands func(outcome int) []demand
	// server has what the enforcer asks Keycloak for, where it is known. pair makes the
	// outcome of a path that stands for a resource of it, with the resource's own scopes if
	// whole; taken has those that were made, see ofServer.
	server *Server
	pair   func(of, resource int, whole bool) int
	taken  map[[2]int]int

	forms   []*region
	known   map[string]*region
	tried   map[string][]int // outcomes, by path
	work    int
	reading *route.Table
	owners  [][]int // paths, by value of reading

	candidates Paths // of choose
	indexes    []int
}

// region are the requests that the filter judges by one template. An outcome is
// the index of a path of the enforcer, or none or a fault.
type region struct {
	outline  outline
	template route.Template
	derived  bool // made to tell requests apart
	// examples are requests by outcome; slashed those with a slash at the end where
	// the form has none, or the other way round.
	examples, slashed map[int]string
	witnesses         []*witness
}

// witness is a request's path.
type witness struct {
	raw      string
	segments []string // decoded
	slash    bool
	outcomes []int
}

// regions finds out what the enforcer takes for the requests of each template. The
// last one is of the requests that no template has.
func (j *judge) regions() (regions []*region, unmatched *region, err error) {
	j.tried = map[string][]int{}
	for _, j.deepest = range depths() {
		if regions, unmatched, err = j.tellApart(); !errors.Is(err, ErrTooMany) {
			return regions, unmatched, err
		}
	}
	return nil, nil, err
}

func (j *judge) tellApart() (regions []*region, unmatched *region, err error) {
	j.forms, j.owners, j.work = nil, nil, 0
	j.known = map[string]*region{}
	if err := j.read(); err != nil {
		return nil, nil, err
	}
	for i := range j.paths {
		for _, f := range j.covers[i] {
			j.add(f, j.never[i])
		}
		for _, f := range verbatim(j.paths[i]) {
			j.add(f, true)
		}
		if j.public(i) {
			for _, f := range j.covers[i] {
				for _, with := range braced(f) {
					j.add(with, true)
				}
			}
		}
	}
	if j.server != nil {
		for _, uri := range j.server.paths {
			for _, f := range slices.Concat(covers(uri), verbatim(uri)) {
				j.add(f, true)
			}
		}
	}
	if j.other, err = j.unheard(anything, "some", "other", "zqz", "0q0", "~", "~~", "_-_", "-_-", "9z", "kqx", "jxk"); err != nil {
		return nil, nil, err
	}
	if j.shortAt = shortValues(j.allPaths()); len(j.shortAt) > 0 {
		if j.short, err = j.unheard(strings.Split("~0987654321_zqjkxwvu", "")...); err != nil {
			return nil, nil, err
		}
	}
	endings := len(slices.DeleteFunc(slices.Clone(j.endings), func(end []fragment) bool { return len(end) == 0 }))
	for again, round := true, 0; again; round++ {
		if len(j.forms)*endings*j.deepest > maxEndings {
			return nil, nil, ErrTooMany
		}
		if unmatched, err = j.sort(); err != nil {
			return nil, nil, err
		}
		again = round < maxRefinements && j.refine(unmatched)
	}
	j.drop()
	return j.forms, unmatched, nil
}

// allPaths are those of the enforcer and of the server.
func (j *judge) allPaths() Paths {
	if j.server == nil {
		return j.paths
	}
	return slices.Concat(j.paths, j.server.paths)
}

func (j *judge) add(f outline, derived bool) bool {
	key := f.key()
	if j.known[key] != nil || len(j.forms) >= mostForms {
		return false
	}
	template, ok := f.parsed()
	if !ok {
		return false
	}
	r := &region{outline: f, template: template, derived: derived}
	j.known[key] = r
	j.forms = append(j.forms, r)
	return true
}

// table has the forms but for those that are gone, and those that have no request in
// common with them.
func (j *judge) table(gone ...*region) *route.Table {
	table := route.NewTable(false)
	for i, r := range j.forms {
		if slices.Contains(gone, r) || len(gone) > 0 && r.outline.apart(gone[0].outline) {
			continue
		}
		table.Add(r.template, i)
	}
	return table
}

// sort gives each witness to the template that the filter takes for it.
func (j *judge) sort() (unmatched *region, err error) {
	table := j.table()
	unmatched = newRegion(outline{rest: true})
	for _, r := range j.forms {
		*r = region{outline: r.outline, template: r.template, derived: r.derived, examples: map[int]string{}, slashed: map[int]string{}}
	}
	w := &walker{judge: j, emit: func(at *witness) bool {
		path, err := route.ParsePath(at.raw, "", false)
		if err != nil {
			return true // the filter refuses it
		}
		if j.work > maxWork {
			return false
		}
		if at.outcomes = j.tried[at.raw]; at.outcomes == nil {
			at.outcomes = j.outcomes(at)
			j.tried[at.raw] = at.outcomes
		}
		r := unmatched
		if value := matched(table, path); value >= 0 {
			r = j.forms[value]
		}
		r.take(at)
		return true
	}}
	if !w.run() {
		return nil, ErrTooMany
	}
	return unmatched, nil
}

func newRegion(f outline) *region {
	return &region{outline: f, examples: map[int]string{}, slashed: map[int]string{}}
}

func (r *region) take(at *witness) {
	r.witnesses = append(r.witnesses, at)
	to := r.examples
	if at.slash != r.outline.slash && !r.outline.rest && len(r.outline.pieces) > 0 {
		to = r.slashed
	}
	for _, outcome := range at.outcomes {
		if _, ok := to[outcome]; !ok {
			to[outcome] = at.raw
		}
	}
}

// matched is the value of the template that a path is judged by. Where there are
// two readings, the filter refuses the path unless the same holds for both.
func matched(table *route.Table, path route.Path) int {
	value, others := table.Match(path, nil)
	if n := len(others); n > 0 {
		return others[n-1].Value
	}
	return value
}

// all is what the outcomes ask for together, by method.
func (j *judge) all(outcomes ...map[int]string) []demand {
	var out []demand
	for _, of := range outcomes {
		for _, outcome := range slices.Sorted(maps.Keys(of)) {
			asked := j.demands(outcome)
			if out == nil {
				out = slices.Clone(asked)
				continue
			}
			for i := range out {
				out[i] = out[i].and(asked[i])
			}
		}
	}
	return out
}

// differ reports whether the outcomes do not ask for the same.
func (j *judge) differ(outcomes map[int]string) bool {
	keys := map[string]bool{}
	for outcome := range outcomes {
		keys[keyOf(j.demands(outcome))] = true
	}
	return len(keys) > 1
}

// public reports whether an outcome asks for nothing.
func (j *judge) public(outcome int) bool {
	return !slices.ContainsFunc(j.demands(outcome), func(d demand) bool { return d.kind != demandNothing })
}

func keyOf(demands []demand) string {
	var b strings.Builder
	for _, d := range demands {
		b.WriteString(d.key() + ";")
	}
	return b.String()
}
