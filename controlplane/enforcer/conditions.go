package enforcer

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Condition is what one template of the filter asks for. Exactly one of Public, Deny,
// Permission and Scopes is set.
type Condition struct {
	// Place is where what it was made of stands. Of is the entry that it is made of; nil
	// where there is none.
	Place string
	Of    *Entry
	// Path is a template of the filter.
	Path string
	// Methods are none for all.
	Methods      []string
	Public, Deny bool
	// Resource is whose permission is asked for.
	Resource string
	// Permission asks for any one on the resource.
	Permission bool
	// Scopes are alternatives, each a list of scopes that are needed together.
	Scopes [][]string
}

// Conditions gives what asks for what the policy enforcer asks for, or for more: in the
// order of the entries, and what is denied at the end. guarded is a request that no entry
// names and that something is asked for all the same, with Permissive.
//
// [ErrTooMany]: the paths cannot be compared.
func (c *Source) Conditions() (conditions []Condition, guarded string, err error) {
	methods := c.methods()
	j := c.judge(methods)
	regions, unmatched, err := j.regions()
	if err != nil {
		return nil, "", err
	}
	if c.Permissive && slices.ContainsFunc(j.all(unmatched.examples), func(asked demand) bool { return asked.kind > demandToken }) {
		guarded = unmatched.guarded(j)
	}
	c.noteEntries(j)
	slices.SortStableFunc(regions, func(a, b *region) int { return a.owner(len(c.Entries)) - b.owner(len(c.Entries)) })
	for _, r := range regions {
		conditions = append(conditions, c.ofRegion(j, r, methods)...)
	}
	return conditions, guarded, nil
}

// guarded is a request that something is asked for.
func (r *region) guarded(j *judge) string {
	for _, outcome := range slices.Sorted(maps.Keys(r.examples)) {
		if slices.ContainsFunc(j.demands(outcome), func(asked demand) bool { return asked.kind > demandToken }) {
			return r.examples[outcome]
		}
	}
	return ""
}

// owner is the first entry that is taken for the region's requests.
func (r *region) owner(none int) int {
	for _, outcome := range slices.Sorted(maps.Keys(r.examples)) {
		if outcome >= 0 {
			return outcome
		}
	}
	return none
}

// noteEntries notes the endings.
func (c *Source) noteEntries(j *judge) {
	for i, e := range c.Entries {
		if len(j.endings[i]) > 0 {
			c.Notes.Narrowed(e.Place+".path", "%q is an ending at Keycloak, of whatever path: here it is told apart down to %d segments below another path", e.Path, j.deepest)
		}
	}
}

func (c *Source) ofRegion(j *judge, r *region, methods []string) (out []Condition) {
	asked := j.all(r.examples, r.slashed)
	place := c.Place + "paths"
	var of *Entry
	if owner := r.owner(-1); owner >= 0 {
		of = c.Entries[owner]
		place = of.Place
	}
	c.noteRegion(j, r, place, asked)
	for _, g := range grouped(asked, methods, c.Loaded) {
		condition := Condition{Place: place, Of: of, Path: r.outline.template(), Methods: g.methods}
		switch {
		case g.asked.kind == demandNothing:
			condition.Public = true
			if of != nil {
				condition.Resource = of.Resource
			}
		case g.asked.kind == demandScopes:
			condition.Resource, condition.Scopes = g.asked.resource, g.asked.need
		case g.asked.kind == demandPermission && c.Loaded:
			condition.Resource, condition.Permission = g.asked.resource, true
		default:
			condition.Deny = true
		}
		out = append(out, condition)
	}
	return out
}

// group are methods that ask for the same.
type group struct {
	methods []string // none for all
	asked   demand
}

// grouped joins the methods that ask for the same. A method that nobody may use
// needs no word where another has one: but HEAD, which GET speaks for.
func grouped(asked []demand, methods []string, permission bool) []group {
	asks := func(d demand) bool { return d.asks() || permission && d.kind == demandPermission }
	first := asked[0].key()
	if !slices.ContainsFunc(asked, func(d demand) bool { return d.key() != first }) {
		return []group{{asked: asked[0]}}
	}
	var out []group
	index := map[string]int{}
	for i, m := range methods {
		if m == "" || !asks(asked[i]) {
			continue
		}
		key := asked[i].key()
		at, ok := index[key]
		if !ok {
			at = len(out)
			index[key], out = at, append(out, group{asked: asked[i]})
		}
		out[at].methods = append(out[at].methods, m)
	}
	if len(out) == 0 {
		return []group{{asked: demand{kind: demandNever}}}
	}
	get, head := asked[slices.Index(methods, "GET")], asked[slices.Index(methods, "HEAD")]
	if asks(get) && !asks(head) && head.and(get).key() != get.key() {
		out = append(out, group{methods: []string{"HEAD"}, asked: demand{kind: demandNever}})
	}
	return out
}

// noteRegion notes what the enforcer tells apart and a template does not.
func (c *Source) noteRegion(j *judge, r *region, place string, asked []demand) {
	together := keyOf(asked)
	for _, of := range []map[int]string{r.examples, r.slashed} {
		for _, outcome := range slices.Sorted(maps.Keys(of)) {
			own := j.demands(outcome)
			if keyOf(own) == together || outcome >= 0 && j.never[outcome] {
				continue
			}
			for i := range own {
				if own[i].key() != asked[i].key() {
					c.Notes.Narrowed(place, "a request such as %s is %s at Keycloak; by %s it is %s here", strconv.Quote(of[outcome]), c.say(own[i]), r.outline.template(), c.say(asked[i]))
					break
				}
			}
		}
	}
}

// say says a demand to a reader.
func (c *Source) say(d demand) string {
	name := d.resource
	for _, e := range c.Entries {
		if e.Resource == d.resource {
			name = e.Name
			break
		}
	}
	switch d.kind {
	case demandNothing:
		return "public"
	case demandToken:
		return "open to every authenticated caller"
	case demandPermission:
		return "any permission on " + strconv.Quote(name)
	case demandScopes:
		var alternatives []string
		for _, all := range d.need {
			alternatives = append(alternatives, strings.Join(all, " and "))
		}
		return strings.Join(alternatives, " or ") + " on " + strconv.Quote(name)
	case demandNever:
	}
	return "denied"
}
