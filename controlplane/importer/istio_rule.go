package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// istioNeed is what one source of a rule, with what "when" says, is about.
type istioNeed struct {
	// has is what a request must have to be the rule's; exact unless something of it cannot
	// be said.
	has   need
	exact bool
	// not is something that no request of the rule's has, if there is any.
	not *need
}

// rule reads a rule: one of its sources, one of its operations, and all that "when" says.
func (p *istioPolicy) rule(place string, rule *value) error {
	if !rule.is(isObject) {
		return fmt.Errorf("%w: %s: %s is %s, not an object", ErrSource, rule.at(), place, rule.kind)
	}
	m := members{of: rule}
	m.once()
	when := istioNeed{has: need{public: true}, exact: true}
	for i, condition := range m.list("when") {
		if err := p.when(place+".when["+strconv.Itoa(i)+"]", condition, &when); err != nil {
			return err
		}
	}
	sources := []istioNeed{when}
	if rule.has("from") {
		sources = nil
		for i, from := range m.list("from") {
			one := when
			if err := p.source(place+".from["+strconv.Itoa(i)+"]", from.get("source"), &one); err != nil {
				return err
			}
			sources = append(sources, one)
		}
	}
	for i := range sources {
		if s := &sources[i]; len(p.reading.issuers) == 0 && (!s.has.public || s.not != nil) {
			s.exact, s.not = false, nil
			p.noteNarrowed(place, "no RequestAuthentication of the file takes tokens, so that nobody has a claim")
		}
	}
	operations := m.list("to")
	if m.err != nil {
		return m.err
	}
	for _, key := range rule.keysOf() {
		if !slices.Contains([]string{"from", "to", "when"}, key) || rule.get(key) != nil && len(rule.get(key).items) == 0 {
			return fmt.Errorf("%w: %s: %s.%s is unknown, or empty", ErrSource, rule.at(), place, key)
		}
	}
	if !rule.has("to") {
		return p.operation(place, nil, sources)
	}
	for i, to := range operations {
		at := place + ".to[" + strconv.Itoa(i) + "]"
		if !to.get("operation").is(isObject) || len(to.get("operation").keys) == 0 {
			return fmt.Errorf("%w: %s: %s has no operation", ErrSource, to.at(), at)
		}
		if err := p.operation(at, to.get("operation"), sources); err != nil {
			return err
		}
	}
	return nil
}

// unsaid is a part of a rule that no condition can say.
func (p *istioPolicy) unsaid(place, what string, n *istioNeed) {
	n.exact = false
	if p.allow {
		p.noteNarrowed(place, "%s cannot be asked for here: what the rule allows by it is denied", what)
	} else {
		p.noteNarrowed(place, "%s is not looked at: what the rule may deny is denied, unless something else of it keeps that off", what)
	}
}

// require adds what a request of the rule's has; not is for what it has not.
func (n *istioNeed) require(claims []Claim, positive bool) {
	what := authenticated()
	what.claims = claims
	if positive {
		n.has = n.has.and(what)
	} else if n.not == nil {
		n.not = &what
	}
}

// source reads who sends a request.
func (p *istioPolicy) source(place string, source *value, n *istioNeed) error {
	if !source.is(isObject) || len(source.keys) == 0 {
		return fmt.Errorf("%w: %s: %s has no source", ErrSource, source.at(), place)
	}
	m := members{of: source}
	m.once()
	for _, key := range source.keys {
		at := p.at(place+"."+key, source.get(key))
		switch key {
		case "requestPrincipals":
			p.principals(at, m.texts(key), true, n)
		case "notRequestPrincipals":
			p.principals(at, m.texts(key), false, n)
		default:
			p.unsaid(at, key, n)
		}
	}
	return m.err
}

// principals reads principals of tokens: "*", "ISSUER/*" and "ISSUER/SUBJECT".
func (p *istioPolicy) principals(place string, list []string, positive bool, n *istioNeed) {
	var subjects, issuers, known []string
	for _, text := range list {
		if text == "*" {
			if positive {
				n.require(nil, true)
			} else {
				n.require(nil, false)
				n.exact = false
			}
			return
		}
		for _, issuer := range p.reading.issuers {
			if subject, ok := strings.CutPrefix(text, issuer+"/"); ok && subject != "" && !strings.HasPrefix(text, "*") {
				known = enforcer.Unique(append(known, issuer))
				if subject == "*" {
					issuers = append(issuers, issuer)
				} else if !strings.Contains(subject, "*") {
					subjects = append(subjects, subject)
				}
			}
		}
	}
	switch {
	case len(known) == 1 && len(issuers) == 0 && len(subjects) == len(list):
		n.require([]Claim{{Name: "iss", Values: known}, {Name: "sub", Values: subjects}}, positive)
	case len(known) == 1 && len(issuers) > 0:
		n.require([]Claim{{Name: "iss", Values: known}}, positive)
		if !positive && len(issuers) != len(list) {
			n.not = nil
		}
	default:
		p.unsaid(place, fmt.Sprintf("the principals %q", list), n)
		return
	}
	n.exact = n.exact && positive
}

// when reads a condition about a claim.
func (p *istioPolicy) when(place string, v *value, n *istioNeed) error {
	m := members{of: v}
	key, values, others := m.text("key"), m.texts("values"), m.texts("notValues")
	p.at(place, v)
	if m.err != nil {
		return m.err
	}
	if len(values)+len(others) == 0 {
		return fmt.Errorf("%w: %s: %s has neither values nor notValues", ErrSource, v.at(), place)
	}
	switch key {
	case "request.auth.principal":
		if len(values) > 0 {
			p.principals(place, values, true, n)
		}
		if len(others) > 0 {
			p.principals(place, others, false, n)
		}
		return nil
	case "request.auth.audiences":
		key = "request.auth.claims[aud]"
	case "request.auth.presenter":
		key = "request.auth.claims[azp]"
	}
	names, ok := strings.CutPrefix(key, "request.auth.claims[")
	names, closed := strings.CutSuffix(names, "]")
	if !ok || !closed || names == "" {
		p.unsaid(place, key, n)
		return nil
	}
	claim := claimName(strings.Split(names, "][")...)
	if len(values) > 0 {
		p.values(place, claim, values, true, n)
	}
	if len(others) > 0 {
		p.values(place, claim, others, false, n)
	}
	return nil
}

// values reads values of a claim. Istio takes a text apart at its spaces, so that one with a
// space is no value.
func (p *istioPolicy) values(place, claim string, list []string, positive bool, n *istioNeed) {
	var exact []string
	for _, text := range list {
		if text != "" && !strings.ContainsAny(text, " \t\r\n") && !strings.HasPrefix(text, "*") && !strings.HasSuffix(text, "*") {
			exact = append(exact, text)
		}
	}
	if len(exact) < len(list) {
		p.noteNarrowed(place, "of the values %q of %s, those with * or a space are left out", list, claim)
	}
	if len(exact) == 0 || strings.Contains("."+claim+".", "..") {
		p.unsaid(place, "the claim "+claim, n)
		return
	}
	n.require([]Claim{{Name: claim, Values: exact}}, positive)
	n.exact = n.exact && positive
}

// operation reads paths and methods, and enters what the rule says of them.
func (p *istioPolicy) operation(place string, operation *value, sources []istioNeed) error {
	m := members{of: operation}
	m.once()
	paths, without, methods := m.texts("paths"), m.texts("notPaths"), m.texts("methods")
	exact := istioNeed{exact: true}
	for _, key := range operation.keysOf() {
		switch at := p.at(place+"."+key, operation.get(key)); key {
		case "paths", "methods":
		case "notPaths":
			if !p.allow {
				p.noteNarrowed(at, "notPaths: what the rule denies is denied there, too")
			}
		default:
			p.unsaid(at, key, &exact)
		}
	}
	if m.err != nil {
		return m.err
	}
	for i, key := range operation.keysOf() {
		if len(operation.items[i].items) == 0 {
			return fmt.Errorf("%w: %s: %s.%s is empty", ErrSource, operation.at(), place, key)
		}
	}
	if len(paths) == 0 {
		paths = []string{"*"}
	}
	switch {
	case slices.Contains(methods, "*"), len(methods) == 0:
		methods = []string{""}
	case slices.ContainsFunc(methods, func(s string) bool { return s == "" || !enforcer.IsForwarded(s) }):
		p.unsaid(place+".methods", fmt.Sprintf("methods %q", methods), &exact)
		methods = []string{""}
	}
	if !p.allow {
		p.denies(place, paths, methods, sources)
		return nil
	}
	for _, s := range sources {
		if s.exact && exact.exact && s.has.problem() == nil && !s.has.deny {
			p.allows(place, paths, without, methods, s.has)
		}
	}
	return nil
}

// denies enters that a request must not be the rule's.
func (p *istioPolicy) denies(place string, paths, methods []string, sources []istioNeed) {
	for _, s := range sources {
		n := nobody()
		if s.not != nil && !p.other && s.not.problem() == nil {
			n = *s.not
		}
		for _, path := range paths {
			forms, ok := istioForms(path)
			if !ok {
				forms = []form{{pattern: pattern{rest: true}}}
				p.noteNarrowed(place, "%q: what the rule denies is denied on every path", path)
			}
			for _, f := range forms {
				f.wide, f.loose = true, true
				own := "deny " + strconv.Itoa(p.reading.claims.count) // by itself, with its methods
				for _, method := range methods {
					p.reading.claims.add(own, f, nil, method, claim{place: place, resource: p.name, need: n})
				}
			}
		}
	}
}
