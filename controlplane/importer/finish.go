package importer

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/route"
)

// maxRounds bounds how often the draft is judged. A fault can hide another of the
// same condition, not more than a few times.
const maxRounds = 20

// Finish takes out what umagate would refuse, and notes it with the refusal's own
// words. ErrNothing: nothing is left.
func (d *Draft) Finish() error {
	d.splitTemplates()
	if !d.resolved {
		d.closeLax()
	}
	d.nameOnce()
	for range maxRounds {
		d.prune()
		if len(d.Resources) == 0 && d.Unmatched != unmatchedAuthenticated {
			return fmt.Errorf("%w%s", ErrNothing, d.reasons())
		}
		faults, err := d.faults()
		if err != nil {
			return err
		}
		if len(faults) == 0 {
			return nil
		}
		if !d.takeOut(faults) {
			return fmt.Errorf("%w: %s: %s", ErrSource, faults[0].Path, faults[0].Problem)
		}
	}
	return fmt.Errorf("%w: it has too many faults", ErrSource)
}

// reasons are the first notes, for an error.
func (d *Draft) reasons() string {
	var out strings.Builder
	for i, n := range d.Notes {
		if i == 3 {
			fmt.Fprintf(&out, "; and %d more", len(d.Notes)-i)
			break
		}
		fmt.Fprintf(&out, "; %s: %s", n.Place, n.Text)
	}
	return out.String()
}

// splitTemplates takes out paths that are no templates, one by one, so that the
// others of the same condition stay.
func (d *Draft) splitTemplates() {
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			c.Paths = slices.DeleteFunc(unique(c.Paths), func(p string) bool {
				_, err := route.ParseTemplate(p)
				if err != nil {
					d.leftOut(c.Place, p, err.Error())
				}
				return err != nil
			})
		}
	}
}

// nameOnce takes braces out of names: in umagate.yaml they would make one
// registration for each value, and the source has one for all.
func (d *Draft) nameOnce() {
	taken := make(map[string]bool, len(d.Resources))
	for _, r := range d.Resources {
		taken[r.Name] = true
	}
	for i := range d.Resources {
		r := &d.Resources[i]
		if !strings.ContainsAny(r.Name, "{}") {
			continue
		}
		name := strings.NewReplacer("{", "(", "}", ")").Replace(r.Name)
		for taken[name] {
			name += "'"
		}
		taken[name] = true
		d.note(r.Name, "is named %q now, since braces in a name make one registration for each value: what the authorization server has under the old name is not taken over", name)
		r.Name = name
	}
}

// leftOut notes that a path is not protected as the source says. It must not pass
// for unmatched then.
func (d *Draft) leftOut(place, path, why string) {
	if d.Unmatched == "allow" {
		d.Unmatched = ""
		d.noteNarrowed("unmatched", "denied after all: a path is left out, and would pass without a token")
	}
	wider := d.wider(path)
	if wider == "" {
		d.noteNarrowed(place, "%s is left out: %s. It is denied now", strconv.Quote(path), why)
		return
	}
	d.noteChanged(place, "%s is left out: %s. What covers it now: %s", strconv.Quote(path), why, wider)
}

// wider names the templates that requests for a path that is left out may fall under.
func (d *Draft) wider(path string) string {
	var found []string
	fold := d.Case == "insensitive"
	left := patternOf(path, fold)
	for i := range d.Resources {
		for _, c := range d.Resources[i].Conditions {
			for _, p := range c.Paths {
				if p == path || p == "" {
					continue
				}
				other := patternOf(p, fold)
				if _, some, _ := left.meet(&other); !some {
					continue
				}
				what := "asks for scopes"
				switch {
				case c.Public:
					what = "is PUBLIC"
				case c.Deny:
					what = "is denied"
				}
				found = append(found, p+", which "+what)
			}
		}
	}
	found = unique(found)
	const most = 5 // the note of each path names them
	if more := len(found) - most; more > 0 {
		found = append(found[:most:most], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(found, "; ")
}

// prune takes out what is empty.
func (d *Draft) prune() {
	for i := range d.Resources {
		r := &d.Resources[i]
		r.Conditions = slices.DeleteFunc(r.Conditions, func(c Condition) bool {
			return len(c.Paths) == 0
		})
	}
	d.Resources = slices.DeleteFunc(d.Resources, func(r Resource) bool { return len(r.Conditions) == 0 })
}

// faults are those of what would be printed.
func (d *Draft) faults() ([]site.Fault, error) {
	var text bytes.Buffer
	if _, err := d.WriteTo(&text); err != nil {
		return nil, err
	}
	_, err := site.Parse("import", text.Bytes(), site.Environment{SkipSecrets: true})
	faults := site.Faults(err)
	if err != nil && len(faults) == 0 {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	return faults, nil
}

// takeOut removes the conditions that have a fault; it reports whether there was
// one to remove for each.
func (d *Draft) takeOut(faults []site.Fault) bool {
	place := regexp.MustCompile(`^sites\[0\]\.resources\[(\d+)\](?:\.conditions\[(\d+)\](?:\.paths\[(\d+)\])?)?`)
	removed := map[[2]int]bool{}
	for _, f := range faults {
		at := place.FindStringSubmatch(f.Path)
		if at == nil {
			return false
		}
		i := atoi(at[1])
		r := &d.Resources[i]
		// Where everything has its place, nothing that is guarded may go: its paths would
		// fall to another condition.
		if guarded := func(c Condition) bool { return !c.Public }; d.resolved && (at[2] == "" && slices.ContainsFunc(r.Conditions, guarded) ||
			at[3] != "" && guarded(r.Conditions[atoi(at[2])])) {
			return false
		}
		if at[2] != "" && at[3] == "" && r.Conditions[atoi(at[2])].replace(d, f) {
			continue
		}
		if at[2] == "" { // the resource itself: its name, its type
			for j := range r.Conditions {
				d.remove(r, i, j, "", f, removed)
			}
			continue
		}
		j := atoi(at[2])
		path := ""
		if at[3] != "" {
			path = r.Conditions[j].Paths[atoi(at[3])]
		}
		d.remove(r, i, j, path, f, removed)
	}
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			c.Paths = slices.DeleteFunc(c.Paths, func(p string) bool { return p == "" })
		}
	}
	return true
}

// replace makes a condition whose requirement is at fault one that denies:
// without it, its paths would fall to another that asks for less.
func (c *Condition) replace(d *Draft, f site.Fault) bool {
	if c.Public || c.Deny {
		return false
	}
	c.Deny, c.Scopes, c.Rule, c.Data, c.TicketScopes = true, nil, "", nil, nil
	d.noteNarrowed(c.Place, "what it asks for cannot be written: %s. It is denied now", strings.TrimSuffix(f.Problem, "."))
	return true
}

func atoi(digits string) int {
	n, _ := strconv.Atoi(digits) // a match of \d+ in a path that the validator made
	return n
}

// remove empties a condition's paths, or the one at fault; prune does the rest.
func (d *Draft) remove(r *Resource, i, j int, path string, f site.Fault, removed map[[2]int]bool) {
	if removed[[2]int{i, j}] {
		return
	}
	c := &r.Conditions[j]
	for k, p := range c.Paths {
		if p == "" || path != "" && p != path {
			continue
		}
		c.Paths[k] = ""
		d.leftOut(c.Place, p, strings.TrimSuffix(f.Problem, "."))
	}
	removed[[2]int{i, j}] = path == ""
}
