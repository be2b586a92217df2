package importer

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// matchClaims reads expressions of which claims of every token must have one.
func (r *gatekeeperReading) matchClaims(m *members) error {
	of := m.object("match-claims")
	for i, name := range of.keysOf() {
		place := r.at("match-claims."+name, of.items[i])
		if !of.items[i].is(isText) || name == "" {
			return fmt.Errorf("%w: %s: %s is %s, not an expression", ErrSource, of.items[i].at(), place, of.items[i].kind)
		}
		if _, err := regexp.Compile(of.items[i].text); err != nil {
			return fmt.Errorf("%w: %s: %s is no regular expression: %w", ErrSource, of.items[i].at(), place, err)
		}
		values, exact := textsOf(of.items[i].text)
		if len(values) == 0 {
			r.deny = "match-claims"
			r.noteNarrowed(place, "%q cannot be written as values of the claim: what needs a token is denied. Write token.claims, and the conditions", of.items[i].text)
			continue
		}
		if !exact {
			r.noteNarrowed(place, "%q is found anywhere in the claim by Gatekeeper: here the claim must be %q", of.items[i].text, values)
		}
		r.Claims = append(r.Claims, Claim{Name: claimName(name), Values: values})
	}
	return nil
}

// roles reads roles: all of them are needed, or one. "client:role" is a client's, any
// other one the realm's.
func (r *gatekeeperReading) roles(place string, roles []string, anyRole bool) []Claim {
	var out []Claim
	for _, text := range roles {
		name, role := claimRoles, text
		if client, of, ok := r.clientRole(place, text); ok {
			name, role = claimName("resource_access", client, "roles"), of
		}
		at := slices.IndexFunc(out, func(c Claim) bool { return c.Name == name })
		switch {
		case role == "" && anyRole:
		case role == "":
			out = append(out, Claim{Name: name}) // nobody has it
		case anyRole && at >= 0:
			out[at].Values = append(out[at].Values, role)
		default:
			out = append(out, Claim{Name: name, Values: []string{role}})
		}
	}
	if !anyRole || len(roles) == 0 {
		return out
	}
	if len(out) == 0 {
		return []Claim{{Name: claimRoles}}
	}
	// One claim can be asked for one of several values, and not one of several claims.
	most := slices.MaxFunc(out, func(a, b Claim) int { return cmp.Compare(len(a.Values), len(b.Values)) })
	for _, one := range out {
		if one.Name != most.Name {
			r.noteNarrowed(place, "the roles %q of %s are left out: one of several claims is enough for Gatekeeper, and here it has to be %s", one.Values, one.Name, most.Name)
		}
	}
	return []Claim{most}
}

// clientRole takes apart the role of a client. The client may be named by a URI.
func (r *gatekeeperReading) clientRole(place, text string) (client, role string, ok bool) {
	at := strings.IndexByte(text, ':')
	if strings.Contains(text, "://") {
		at = strings.LastIndexByte(text, ':')
		if strings.HasPrefix(text[at:], "://") {
			return "", "", false
		}
	}
	if at <= 0 || at == len(text)-1 {
		return "", "", false
	}
	if strings.Count(text, ":") > 1 {
		r.noteNarrowed(place, "role %q is taken for %q of the client %q: to Gatekeeper it may be another client's, too", text, text[at+1:], text[:at])
	}
	return text[:at], text[at+1:], true
}
