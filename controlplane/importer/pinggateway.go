package importer

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// PingGateway reads the UmaService of a PingGateway (ForgeRock IG, OpenIG), wherever it is
// in a route or in config.json: patterns of resources, and by the request's method the
// scopes that are needed together.
func PingGateway(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := readDocument(source, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	var services []*value
	var search func(v *value, depth int)
	search = func(v *value, depth int) {
		if v == nil || depth > maxDepth {
			return
		}
		if v.string("type") == "UmaService" {
			services = append(services, v)
		}
		for _, item := range v.items {
			search(item, depth+1)
		}
	}
	search(document.root, 0)
	if len(services) != 1 {
		return nil, fmt.Errorf("%w: it has %d objects of the type UmaService, and one is imported: is it a route of PingGateway?", ErrSource, len(services))
	}
	d := newDraft(settings, source)
	cs := newClaims()
	cs.unranked, cs.byMethod, cs.ofResource = true, true, true
	m := members{of: services[0]}
	of := members{of: m.object("config")}
	for i, one := range of.list("resources") {
		place := d.at("UmaService.resources["+strconv.Itoa(i)+"]", one)
		if err := d.pingResource(cs, place, one); err != nil {
			return nil, err
		}
	}
	for _, fault := range []error{m.err, of.err} {
		if fault != nil {
			return nil, fault
		}
	}
	if len(cs.origins) == 0 {
		return nil, fmt.Errorf("%w: the UmaService has no resources%s", ErrNothing, d.reasons())
	}
	if known := of.of.string("wellKnownEndpoint"); d.Issuer == "" && known != "" && !strings.Contains(known, "{") {
		d.Issuer, _, _ = strings.Cut(known, "/.well-known/")
	}
	d.noteNarrowed("UmaService", "PingGateway registers a resource for each share, by its REST interface and with its owner's PAT; here each pattern is one resource, which umagate registers. Shares are not carried over: who has one asks for it anew. To have one for each owner, put a variable of the path into the resource's name")
	d.put(cs)
	return d, nil
}

// pingResource reads a pattern, and what its actions ask for. PingGateway takes any of the
// patterns that match, so that what all of them ask for is needed.
func (d *Draft) pingResource(cs *claims, place string, v *value) error {
	if !v.is(isObject) {
		return fmt.Errorf("%w: %s: %s is %s, not an object", ErrSource, v.at(), place, v.kind)
	}
	m := members{of: v}
	text := m.text("pattern")
	if text == "" {
		m.fault(v, "%s has no pattern", place)
	}
	always := []string{}           // scopes that every method needs
	named := map[string][]string{} // by method
	for k, action := range m.list("actions") {
		at := d.at(place+".actions["+strconv.Itoa(k)+"]", action)
		of := members{of: action}
		scopes, condition := of.texts("scopes"), of.text("condition")
		if of.err != nil {
			return of.err
		}
		methods := actionMethods(condition)
		if methods == nil {
			if strings.ReplaceAll(condition, " ", "") != "${true}" {
				d.noteNarrowed(at+".condition", "%q is not checked: its scopes are asked for in any case", condition)
			}
			always = append(always, scopes...)
		}
		for _, method := range methods {
			named[method] = append(named[method], scopes...)
		}
	}
	if m.err != nil {
		return m.err
	}
	named[""] = nil
	forms, inexact := expressionForms(text)
	if inexact {
		d.noteNarrowed(place+".pattern", "the expression %q is not read further than its beginning: whatever begins so needs what it asks for", text)
	}
	for _, f := range forms {
		if err := f.pattern.problem(); err != nil {
			d.noteNarrowed(place+".pattern", "%q is left out: %v. umagate refuses each request for it", f.pattern.template(), err)
			continue
		}
		for _, method := range slices.Sorted(maps.Keys(named)) {
			scopes := enforcer.Unique(slices.Concat(always, named[method]))
			asked := nobody()
			if len(scopes) > 0 {
				asked = needs(scopes)
			}
			if err := asked.problem(); err != nil {
				d.noteNarrowed(place, "what it asks for cannot be written: %v. It is denied now", err)
				asked = nobody()
			}
			if len(scopes) == 0 && method == "" {
				d.noteNarrowed(place, "a method that no action names needs any active RPT at PingGateway; here it is denied")
			}
			cs.add(text, f, nil, method, claim{place: place, resource: text, need: asked})
		}
	}
	return nil
}

// actionMethods are those of a condition such as "${request.method == 'GET' or
// request.method == 'HEAD'}"; nil where it is another one.
func actionMethods(condition string) []string {
	text, opened := strings.CutPrefix(strings.TrimSpace(condition), "${")
	text, closed := strings.CutSuffix(text, "}")
	if !opened || !closed {
		return nil
	}
	var out []string
	one := regexp.MustCompile(`^\s*\(?\s*request\.method\s*(?:==|eq)\s*['"]([A-Z]+)['"]\s*\)?\s*$`)
	for _, term := range regexp.MustCompile(`\|\||\bor\b`).Split(text, -1) {
		found := one.FindStringSubmatch(term)
		if found == nil || !enforcer.IsForwarded(found[1]) {
			return nil
		}
		out = append(out, found[1])
	}
	return out
}

// expressionForms gives the paths of a regular expression that has nothing but text and
// ".*" at its end; of another one, of what begins as its text does.
func expressionForms(text string) (out []form, inexact bool) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "^"), "$")
	plain := regexp.MustCompile(`^(?:[A-Za-z0-9/_~%@!=&,;:' -]|\\[^A-Za-z0-9])*`).FindString(text)
	rest := text[len(plain):]
	prefix := regexp.MustCompile(`\\(.)`).ReplaceAllString(plain, "$1")
	switch {
	case rest == "" && strings.HasPrefix(prefix, "/"):
		out, _ = prefixed(strings.ReplaceAll(prefix, "*", "%2A"))
		return out, false
	case rest == ".*" && (prefix == "" || strings.HasPrefix(prefix, "/")):
		if prefix == "" {
			prefix = "/"
		}
		out, _ = prefixed(strings.ReplaceAll(prefix, "*", "%2A") + "*")
		return out, false
	}
	// The last character may be one that a "?" or "*" behind it takes away.
	prefix = strings.TrimSuffix(prefix[:max(0, len(prefix)-1)], ":")
	if at := strings.LastIndexByte(prefix, '/'); at >= 0 && !strings.ContainsAny(text, "|") {
		prefix = prefix[:at+1]
	} else {
		prefix = "/"
	}
	out, _ = prefixed(strings.ReplaceAll(prefix, "*", "%2A") + "*")
	for i := range out {
		out[i].wide = true
	}
	return out, true
}
