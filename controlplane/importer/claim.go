package importer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/umagate/umagate/controlplane/glob"
)

// claim is what a source says of one method of a path.
type claim struct {
	// place is where it stands, comment what is said of it there.
	place, comment string
	resource       string
	need           need
	ticket         []string
	index          int // in the order of the source
}

// origin is a pattern that the source has, with what it says of it.
type origin struct {
	pattern pattern
	// wide: the pattern has paths that the source's own does not have. It hides
	// nothing then, and what is less specific counts, too.
	wide bool
	// loose: nothing hides it, since the source's own has fewer paths, and is preferred
	// there.
	loose bool
	// dead: the source finds nothing for its paths, see addDeadEnds.
	dead bool
	// steps are by what the source chooses, where it does so from left to right.
	steps  []step
	claims map[string][]*claim // by method; "" is every other one
}

// step is a segment as far as the source chooses by it: the higher rank comes first.
type step struct {
	rank int8
	text string // where segments of one rank are ways apart
}

// claims are what a source says of all paths. Paths may match several patterns, and
// what is said of them may differ.
//
// The set of patterns is closed under meeting, so that each path has one that is
// the most specific of those that it matches, and that is the one that the filter
// chooses. What a source could mean by any of the patterns that have this one's
// paths is needed there together.
type claims struct {
	origins []*origin
	known   map[string]*origin
	// leftToRight: the source chooses for each method on its own, segment by segment.
	// Otherwise it chooses the most specific pattern, and then its method.
	leftToRight bool
	// byMethod: the source looks for the most specific pattern among those that have the
	// request's method, of which HEAD is one like others.
	byMethod bool
	// unranked: the source may choose any pattern that matches.
	unranked bool
	methods  map[string]bool // that the source names
	// ofResource: what is said of two resources needs one of its own.
	ofResource bool
	count      int
}

func newClaims() *claims { return &claims{known: map[string]*origin{}, methods: map[string]bool{}} }

// add enters what is said of a method of a pattern, which source wrote. It is false when that would be
// public for paths that the source does not speak of.
func (cs *claims) add(source string, f form, steps []step, method string, c claim) bool {
	if f.wide && c.need.public {
		return false
	}
	// Two that write the same in other words, "/a/{x}" and "/a/{y}", are two.
	key := fmt.Sprint(f.wide, f.loose, " ", f.pattern.key(), " ", source)
	cs.methods[method] = true
	cs.enter(key, origin{pattern: f.pattern, wide: f.wide, loose: f.loose, steps: steps}, method, c)
	return true
}

// enter puts a claim to the origin with that key, which is made of o when it is new.
func (cs *claims) enter(key string, o origin, method string, c claim) {
	if cs.known[key] == nil {
		o.claims = map[string][]*claim{}
		cs.known[key] = &o
		cs.origins = append(cs.origins, &o)
	}
	cs.count++
	c.index = cs.count
	cs.known[key].claims[method] = append(cs.known[key].claims[method], &c)
}

// rule is what holds for the paths of one pattern, and of no more specific one.
type rule struct {
	pattern pattern
	order   int
	derived bool // no source has the pattern
	methods map[string]*outcome
}

// outcome is what holds for a method.
type outcome struct {
	claims []*claim
	need   need
	// unmatched: the source has nothing for the method, and the filter would take what
	// is said of every other one.
	unmatched bool
}

// maxDerived bounds the patterns that are made where others meet.
const maxDerived = 5000

// closed gives the patterns of all origins, and where they meet.
func (cs *claims) closed() []*rule {
	var rules []*rule
	known := map[string]bool{}
	add := func(p pattern, derived bool) {
		if key := p.key(); !known[key] && p.problem() == nil {
			known[key] = true
			rules = append(rules, &rule{pattern: p, order: len(rules), derived: derived})
		}
	}
	for _, o := range cs.origins {
		add(o.pattern, false)
	}
	most := len(rules) + maxDerived
	for i := 0; i < len(rules); i++ {
		for j := 0; j < i && len(rules) < most; j++ {
			met, _ := meets(&rules[i].pattern, &rules[j].pattern)
			for _, both := range met {
				add(both, true)
			}
		}
	}
	return rules
}

// meets gives the patterns where two meet, and reports whether those are all of it.
// The filter may judge a path with a slash at the end by a pattern without, and the
// other way round, so each is taken with its slash turned, too.
func meets(p, q *pattern) (met []pattern, all bool) {
	all = true
	for _, pair := range [...][2]*pattern{{p, q}, {p.turned(), q}, {p, q.turned()}} {
		if pair[0] == nil || pair[1] == nil {
			continue
		}
		both, some, exact := pair[0].meet(pair[1])
		if some && exact {
			met = append(met, both)
		}
		all = all && (exact || !some)
	}
	return met, all
}

// resolve gives what holds, for each pattern.
func (cs *claims) resolve() []*rule {
	if cs.leftToRight {
		cs.addDeadEnds()
	}
	rules := cs.closed()
	keys := make(map[string]bool, len(rules))
	for _, r := range rules {
		keys[r.pattern.key()] = true
	}
	for _, r := range rules {
		cs.judge(r, keys)
	}
	return joinBases(prune(rules))
}

// joinBases makes "/a/**" of "/a/" and "/a/{x}/**" where the same holds for both, and
// nothing is said of "/a".
func joinBases(rules []*rule) []*rule {
	known := make(map[string]*rule, len(rules))
	for _, r := range rules {
		known[r.pattern.key()] = r
	}
	gone := map[*rule]bool{}
	for _, r := range rules {
		n := len(r.pattern.segments)
		if !r.pattern.rest || n == 0 || r.pattern.segments[n-1].key != glob.Variable {
			continue
		}
		bare := pattern{segments: r.pattern.segments[:n-1]}
		slashed, below := bare.withSlash(), pattern{segments: bare.segments, rest: true}
		at := known[slashed.key()]
		if at == nil || known[below.key()] != nil || n > 1 && known[bare.key()] != nil || !sameOutcomes(at, r) {
			continue
		}
		gone[at] = true
		r.pattern = below
	}
	return slices.DeleteFunc(rules, func(r *rule) bool { return gone[r] })
}

// judge finds what holds for a rule's paths.
func (cs *claims) judge(r *rule, keys map[string]bool) {
	r.methods = map[string]*outcome{}
	var matching, partly []*origin
	for _, o := range cs.origins {
		if o.pattern.covers(&r.pattern) {
			matching = append(matching, o)
			continue
		}
		met, all := meets(&o.pattern, &r.pattern)
		if !all || slices.ContainsFunc(met, func(p pattern) bool { return !keys[p.key()] }) {
			partly = append(partly, o) // some of the paths, which nothing separates
		}
	}
	if turned := r.pattern.turned(); turned != nil && !slices.ContainsFunc(matching, func(o *origin) bool { return !o.wide }) {
		// It may be that the source says nothing of the paths but for what it says of them
		// with a slash at the end, or without.
		for _, o := range cs.origins {
			if o.pattern.covers(turned) && !o.pattern.covers(&r.pattern) {
				partly = append(partly, o)
			}
		}
	}
	methods := cs.methodsOf(slices.Concat(matching, partly))
	for _, method := range methods {
		cs.judgeMethod(r, method, matching, partly)
	}
	if r.methods[""] != nil && cs.leftToRight {
		for m := range cs.methods {
			if m != "" && r.methods[m] == nil {
				r.methods[m] = &outcome{claims: r.methods[""].claims, need: nobody(), unmatched: true}
			}
		}
	}
	if cs.byMethod && r.methods["GET"] != nil && r.methods["HEAD"] == nil {
		if cs.judgeMethod(r, "HEAD", matching, partly); r.methods["HEAD"] == nil {
			r.methods["HEAD"] = &outcome{claims: r.methods["GET"].claims, need: nobody(), unmatched: true}
		}
	}
	// The filter judges HEAD by what holds for GET, where HEAD is not named; to the source
	// it may be one of every other method.
	if r.methods["GET"] != nil && slices.Contains(methods, "") && r.methods["HEAD"] == nil {
		cs.judgeMethod(r, "HEAD", matching, partly)
	}
}

func (cs *claims) judgeMethod(r *rule, method string, matching, partly []*origin) {
	found := cs.choose(cs.withoutExcused(matching, matching, method), method)
	if len(found) == 0 {
		return
	}
	for _, o := range cs.withoutExcused(partly, matching, method) {
		found = append(found, cs.of(o, method)...)
	}
	r.methods[method] = newOutcome(found)
}

func newOutcome(found []*claim) *outcome {
	slices.SortStableFunc(found, func(a, b *claim) int { return cmp.Compare(a.index, b.index) })
	found = slices.Compact(found)
	out := &outcome{claims: found, need: found[0].need}
	for _, c := range found[1:] {
		out.need = out.need.and(c.need)
	}
	return out
}

func (cs *claims) methodsOf(matching []*origin) []string {
	all := map[string]bool{}
	for _, o := range matching {
		for m := range o.claims {
			all[m] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
