package importer

import (
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/plugin/scope"
)

// need is what a request must have. Exactly one of public, deny, alternatives and
// rule is set.
type need struct {
	public bool
	deny   bool // nobody has it
	// alternatives are lists of scopes, each needed together.
	alternatives [][]string
	// rule is a JsonLogic rule over data.
	rule any
	data []string
	// claims of the token are needed beside the scopes, all of them.
	claims []Claim
}

// needs gives the need of alternatives, without those that ask for more than
// another.
func needs(alternatives ...[]string) need {
	out := need{}
	for i, all := range alternatives {
		all = enforcer.Unique(all)
		more := slices.ContainsFunc(alternatives, func(o []string) bool {
			return enforcer.Subset(o, all) && !enforcer.Subset(all, o)
		}) || slices.ContainsFunc(alternatives[:i], func(o []string) bool { return enforcer.Subset(o, all) && enforcer.Subset(all, o) })
		if !more {
			out.alternatives = append(out.alternatives, all)
		}
	}
	return out
}

// nobody is what no token has.
func nobody() need { return need{deny: true} }

// key is the same for needs that are written the same.
func (n need) key() string {
	switch {
	case n.public:
		return "public"
	case n.deny:
		return "deny"
	}
	sorted := make([][]string, len(n.alternatives))
	for i, all := range n.alternatives {
		sorted[i] = slices.Sorted(slices.Values(all))
	}
	slices.SortFunc(sorted, slices.Compare[[]string])
	text, err := json.Marshal([]any{sorted, n.rule, n.data})
	if err != nil {
		return "" // texts and decoded JSON always encode
	}
	return string(text) + claimsKey(n.claims)
}

// withoutClaims is what is needed beside claims.
func (n need) withoutClaims() need {
	n.claims = nil
	return n
}

// implies reports whether whoever has n has o. It may be false where that is so.
func (n need) implies(o need) bool {
	if o.public || n.deny || n.key() == o.key() {
		return true
	}
	if n.public || o.deny || !claimsImply(n.claims, o.claims) {
		return false
	}
	if n.rule != nil || o.rule != nil {
		return n.withoutClaims().key() == o.withoutClaims().key()
	}
	return enforcer.Implies(n.alternatives, o.alternatives)
}

// and is what both ask for. Where that is more than a requirement can hold, nobody
// has it.
func (n need) and(o need) need {
	switch {
	case n.implies(o):
		return n
	case o.implies(n):
		return o
	}
	const most = 8
	out := need{}
	if left, right := n.withoutClaims(), o.withoutClaims(); left.implies(right) {
		out = left
	} else if right.implies(left) {
		out = right
	} else if n.rule == nil && o.rule == nil && len(n.alternatives)*len(o.alternatives) <= most {
		var products [][]string
		for _, a := range n.alternatives {
			for _, b := range o.alternatives {
				products = append(products, slices.Concat(a, b))
			}
		}
		out = needs(products...)
	} else {
		left, right := n.asRule(), o.asRule()
		out.data = enforcer.Unique(slices.Concat(left.data, right.data))
		out.rule = map[string]any{"and": []any{renumber(left.rule, left.data, out.data), renumber(right.rule, right.data, out.data)}}
	}
	out.claims = claimsOfBoth(n.claims, o.claims)
	if out.problem() != nil {
		return nobody()
	}
	return out
}

// problem says why the filter does not take the need, or that nobody can have it.
func (n need) problem() error {
	if n.public || n.deny {
		return nil
	}
	if err := new(Condition).ask(n.claims); err != nil {
		return err
	}
	if list, ok := n.oneOf(); ok {
		_, err := scope.OneOf(list)
		return err
	}
	r := n.asRule()
	encoded, err := json.Marshal(r.rule)
	if err != nil {
		return err
	}
	compiled, err := scope.Compile(encoded, r.data)
	if err == nil && !compiled.CanHold() {
		err = errors.New("no scopes satisfy its rule")
	}
	return err
}

// oneOf gives the scopes of which one is enough.
func (n need) oneOf() (list []string, ok bool) {
	if n.rule != nil || n.public || n.deny {
		return nil, false
	}
	for _, all := range n.alternatives {
		if len(all) != 1 {
			return nil, false
		}
		list = append(list, all[0])
	}
	return enforcer.Unique(list), true
}

// asRule writes alternatives as a rule.
func (n need) asRule() need {
	if n.rule != nil || n.public {
		return n
	}
	out := need{}
	for _, all := range n.alternatives {
		out.data = append(out.data, all...)
	}
	out.data = enforcer.Unique(out.data)
	var terms []any
	for _, all := range n.alternatives {
		var vars []any
		for _, s := range all {
			vars = append(vars, map[string]any{"var": slices.Index(out.data, s)})
		}
		if len(vars) == 1 {
			terms = append(terms, vars[0])
			continue
		}
		terms = append(terms, map[string]any{"and": vars})
	}
	out.rule = map[string]any{"or": terms}
	if len(terms) == 1 {
		out.rule = terms[0]
	}
	return out
}

// renumber writes a rule over other data.
func renumber(rule any, from, to []string) any {
	switch v := rule.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = renumber(v[i], from, to)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for operator, operands := range v {
			if operator == "var" {
				out[operator] = renumberVar(operands, from, to)
			} else {
				out[operator] = renumber(operands, from, to)
			}
		}
		return out
	}
	return rule
}

func renumberVar(operand any, from, to []string) any {
	if list, ok := operand.([]any); ok && len(list) == 1 {
		operand = list[0]
	}
	index := -1
	switch n := operand.(type) {
	case int:
		index = n
	case json.Number:
		index, _ = strconv.Atoi(n.String())
	}
	if index < 0 || index >= len(from) {
		return operand // the rule is not one of from: problem tells
	}
	return slices.Index(to, from[index])
}

// into writes the need into a condition.
func (n need) into(c *Condition) {
	switch {
	case n.public:
		c.Public = true
		return
	case n.deny:
		c.Deny = true
		return
	}
	if c.ask(n.claims) != nil {
		c.Deny = true // readers and and() ask problem() before
		return
	}
	if list, ok := n.oneOf(); ok {
		c.Scopes = list
		return
	}
	r := n.asRule()
	encoded, err := json.Marshal(r.rule)
	if err != nil {
		encoded = []byte("null") // decoded JSON always encodes; null is refused
	}
	c.Rule, c.Data = strings.NewReplacer(`":`, `": `, `,`, `, `).Replace(string(encoded)), r.data
}
