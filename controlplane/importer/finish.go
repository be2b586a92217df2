package importer

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
)

// Finish makes what umagate would refuse deny, and notes it with the refusal's own
// words. ErrNothing: there is nothing to protect.
func (d *Draft) Finish() error {
	d.nameOnce()
	if len(d.Resources) == 0 && d.Unmatched != unmatchedAuthenticated {
		return fmt.Errorf("%w%s", ErrNothing, d.reasons())
	}
	for { // a fault can hide another
		faults, err := d.faults()
		if err != nil || len(faults) == 0 {
			return err
		}
		if !d.denyAtFault(faults) {
			return fmt.Errorf("%w: %s: %s", ErrSource, faults[0].Path, faults[0].Problem)
		}
	}
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

// denyAtFault makes conditions whose requirement is at fault deny: without them, their
// paths would fall to others that ask for less. It is false when something else is.
func (d *Draft) denyAtFault(faults []site.Fault) bool {
	place := regexp.MustCompile(`^sites\[0\]\.resources\[(\d+)\]\.conditions\[(\d+)\]`)
	problems := map[*Condition]string{}
	for _, f := range faults {
		at := place.FindStringSubmatch(f.Path)
		if at == nil {
			return false
		}
		c := &d.Resources[atoi(at[1])].Conditions[atoi(at[2])]
		if c.Public || c.Deny {
			return false
		}
		problems[c] = strings.TrimSuffix(f.Problem, ".")
	}
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			if problem, ok := problems[c]; ok {
				c.Deny, c.Scopes, c.Rule, c.Data, c.TicketScopes = true, nil, "", nil, nil
				c.ACR, c.Roles, c.Groups, c.Claims = nil, nil, nil, nil
				d.noteNarrowed(c.Place, "what it asks for cannot be written: %s. It is denied now", problem)
			}
		}
	}
	return true
}

func atoi(digits string) int {
	n, _ := strconv.Atoi(digits) // a match of \d+ in a path that the validator made
	return n
}
