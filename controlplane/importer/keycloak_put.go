package importer

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// deniedResource has the paths that nobody may have, so that no wider one has them.
const deniedResource = "denied"

// putKeycloak makes conditions of a source. nothing is what it lacks where there is
// none, place where it has its resources.
func (d *Draft) putKeycloak(c *keycloakSource, nothing, place string) (*Draft, error) {
	methods := c.methods()
	j := d.judge(c, methods)
	regions, unmatched, err := j.regions()
	if err != nil {
		return nil, err
	}
	if c.permissive && slices.ContainsFunc(j.all(unmatched.examples), func(asked demand) bool { return asked.kind > demandToken }) {
		d.Unmatched = ""
		d.noteNarrowed(c.place+"enforcement-mode", "what no path names is denied after all: Keycloak guards some of it, such as %q", unmatched.guarded(j))
	}
	d.noteEntries(c, j)
	// In the order of the source, and what is denied at the end.
	slices.SortStableFunc(regions, func(a, b *region) int { return a.owner(len(c.entries)) - b.owner(len(c.entries)) })
	for _, r := range regions {
		d.putRegion(c, j, r, methods)
	}
	for i := range d.Resources {
		d.Resources[i].joinPaths()
	}
	// The resource of what is denied stands last.
	denied := slices.DeleteFunc(slices.Clone(d.Resources), func(r Resource) bool { return !r.denies() })
	d.Resources = append(slices.DeleteFunc(d.Resources, func(r Resource) bool { return r.denies() }), denied...)
	if len(d.Resources) == 0 {
		return nil, fmt.Errorf("%w: %s%s", ErrNothing, nothing, d.reasons())
	}
	if d.ClientID != "" {
		d.note(place, "resources of these names that client %q has at Keycloak already are not touched: umagate plan calls them conflicts; write their id: to use them as they are, or adopt: true", d.ClientID)
	}
	return d, nil
}

// denies reports whether nobody passes by the resource.
func (r *Resource) denies() bool {
	return !slices.ContainsFunc(r.Conditions, func(c Condition) bool { return !c.Deny })
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

// noteEntries notes the endings, and the parameters: a resource of Keycloak that has
// one value of them in its URI is asked for in place of the path's.
func (d *Draft) noteEntries(c *keycloakSource, j *judge) {
	for i, e := range c.entries {
		if len(j.endings[i]) > 0 {
			d.noteNarrowed(e.place+".path", "%q is an ending at Keycloak, of whatever path: here it is told apart down to %d segments below another path", e.path, j.deepest)
		}
	}
	for _, e := range c.entries {
		if strings.Contains(e.path, "{") && !e.disabled && !e.denied {
			d.noteChanged(e.place+".path", "if Keycloak has a resource for one value of %q (by its URI), a permission on that one is needed there; here it is %q for all values, unless its name has the variable", e.path, e.name)
		}
	}
}

func (d *Draft) putRegion(c *keycloakSource, j *judge, r *region, methods []string) {
	asked := j.all(r.examples, r.slashed)
	place, comment, name := c.place+"paths", "", deniedResource
	if owner := r.owner(-1); owner >= 0 {
		e := c.entries[owner]
		place, name = e.place, e.name
		if e.disabled {
			comment = "enforcement-mode: DISABLED"
		}
	}
	if c.untrusted && strings.HasPrefix(comment, "enforcement-mode") {
		comment = "TODO: enforcement-mode is DISABLED: public: true, once no resource of Keycloak has this path"
	}
	d.noteRegion(j, r, place, asked)
	template := r.outline.template()
	put := func(resource string, condition Condition) {
		condition.Place, condition.Paths = place, []string{template}
		to := d.resource(resource)
		for _, e := range c.entries {
			if e.name == resource && to.Type == "" {
				to.Type = e.kind
			}
		}
		to.Conditions = append(to.Conditions, condition)
	}
	for _, g := range grouped(asked, methods) {
		condition := Condition{Methods: g.methods}
		resource := g.asked.resource
		switch g.asked.kind {
		case demandNothing:
			condition.Public, condition.Comment, resource = true, comment, name
		case demandScopes:
			needs(g.asked.need...).into(&condition)
		case demandToken, demandPermission, demandNever:
			condition.Deny, resource = true, d.deniedName(c)
			if strings.HasPrefix(comment, "TODO") {
				condition.Comment = comment
			}
		}
		put(resource, condition)
	}
}

// deniedName is a name that no entry has.
func (d *Draft) deniedName(c *keycloakSource) string {
	name := deniedResource
	for slices.ContainsFunc(c.entries, func(e *keycloakEntry) bool { return e.name == name }) {
		name += "'"
	}
	return name
}

// group are methods that ask for the same.
type group struct {
	methods []string // none for all
	asked   demand
}

// grouped joins the methods that ask for the same. A method that nobody may use
// needs no word where another has one: but HEAD, which GET speaks for.
func grouped(asked []demand, methods []string) []group {
	first := asked[0].key()
	if !slices.ContainsFunc(asked, func(d demand) bool { return d.key() != first }) {
		return []group{{asked: asked[0]}}
	}
	var out []group
	index := map[string]int{}
	for i, m := range methods {
		if m == "" || !asked[i].asks() {
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
	if get.asks() && !head.asks() && head.and(get).key() != get.key() {
		out = append(out, group{methods: []string{"HEAD"}, asked: demand{kind: demandNever}})
	}
	return out
}

// noteRegion notes what the enforcer tells apart and a template does not.
func (d *Draft) noteRegion(j *judge, r *region, place string, asked []demand) {
	together := keyOf(asked)
	for _, of := range []map[int]string{r.examples, r.slashed} {
		for _, outcome := range slices.Sorted(maps.Keys(of)) {
			own := j.demands(outcome)
			if keyOf(own) == together || outcome >= 0 && j.never[outcome] {
				continue
			}
			for i := range own {
				if own[i].key() != asked[i].key() {
					d.noteNarrowed(place, "a request such as %s is %s at Keycloak; by %s it is %s here", strconv.Quote(of[outcome]), own[i], r.outline.template(), asked[i])
					break
				}
			}
		}
	}
}
