package protection

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/scope"
)

// The faults of a document, in the order in which they are looked for. Compare with
// errors.Is; the text says where and what to do.
var (
	// ErrNothing: there is nothing to protect in it.
	ErrNothing = errors.New("resources has nothing in it to protect")
	// ErrMethodNotUnique: a method stands twice for a path.
	ErrMethodNotUnique = errors.New("an HTTP method may stand only once for a path")
	// ErrExpression: a scope_expression that means nothing.
	ErrExpression = errors.New("the scope_expression is not valid")
	// ErrMethod: an HTTP method that is none.
	ErrMethod = errors.New("this is no HTTP method")
	// ErrPath: a path that no request can have.
	ErrPath = errors.New("this path cannot be protected")
	// ErrScopes: scopes that no token can have, or none at all.
	ErrScopes = errors.New("the scopes cannot be asked for")
	// ErrTooMuch: more than one application may keep.
	ErrTooMuch = errors.New("too many conditions")
)

// MaxConditions bounds one application.
const MaxConditions = 10_000

// Validate returns the first fault, in oxd's order: nothing to protect, methods,
// expressions; then what oxd took and what cannot be enforced.
func (d Document) Validate() error {
	if err := d.validateContent(); err != nil {
		return err
	}
	if err := d.validateMethods(); err != nil {
		return err
	}
	for i := range d {
		for j := range d[i].Conditions {
			if e := d[i].Conditions[j].Expression; e != nil {
				if err := e.validate(); err != nil {
					return fmt.Errorf("%w: %s of %q: %w", ErrExpression, d[i].Conditions[j].Methods, d[i].Path, err)
				}
			}
		}
	}
	return d.validateRest()
}

func (d Document) validateContent() error {
	conditions := 0
	for i := range d {
		conditions += len(d[i].Conditions)
		if len(d[i].Conditions) == 0 {
			return fmt.Errorf("%w: %q has no conditions", ErrNothing, d[i].Path)
		}
		for j := range d[i].Conditions {
			if len(d[i].Conditions[j].Methods) == 0 {
				return fmt.Errorf("%w: a condition of %q has no httpMethods", ErrNothing, d[i].Path)
			}
		}
	}
	switch {
	case conditions == 0:
		return ErrNothing
	case conditions > MaxConditions:
		return fmt.Errorf("%w: %d, at most %d are possible", ErrTooMuch, conditions, MaxConditions)
	}
	return nil
}

// validateMethods finds a method that stands twice for a path, where two paths are
// the same if a request could be for either: the case of letters and the names in
// braces do not tell them apart.
func (d Document) validateMethods() error {
	table := route.NewTable(true)
	added := 0
	seen := map[string]bool{}
	for i := range d {
		var same []string
		for _, text := range templates(d[i].Path) {
			key := strings.ToLower(text)
			if template, err := route.ParseTemplate(text); err == nil {
				index, _ := table.Add(template, added)
				key = strconv.Itoa(index)
			}
			same, added = append(same, key), added+1
		}
		for _, c := range d[i].Conditions {
			for _, m := range c.Methods {
				for _, path := range same {
					key := path + " " + strings.ToUpper(m)
					if seen[key] {
						return fmt.Errorf("%w: %s of %q", ErrMethodNotUnique, m, d[i].Path)
					}
					seen[key] = true
				}
			}
		}
	}
	return nil
}

func (e *Expression) validate() error {
	if len(e.Rule) == 0 || len(e.Data) == 0 {
		return errExpressionForm
	}
	return e.judge()
}

var errNever = errors.New("no token can satisfy the rule, whatever scopes it has")

// judge returns what is wrong with a rule that can be read.
func (e *Expression) judge() error {
	need, err := scope.Compile(e.Rule, e.Data)
	if err == nil && !need.CanHold() {
		err = errNever
	}
	return err
}

// validateRest lets the filter's own core judge what is left, so that nothing is
// stored that an Envoy would refuse.
func (d Document) validateRest() error {
	for i := range d {
		for _, text := range templates(d[i].Path) {
			if _, err := route.ParseTemplate(text); err != nil {
				return fmt.Errorf("%w: %q: %w", ErrPath, d[i].Path, err)
			}
		}
		for _, c := range d[i].Conditions {
			for _, m := range c.Methods {
				if !isMethod(m) {
					return fmt.Errorf("%w: %q of %q", ErrMethod, m, d[i].Path)
				}
			}
			if err := c.validateScopes(); err != nil {
				return fmt.Errorf("%w: %s of %q: %w", ErrScopes, c.Methods, d[i].Path, err)
			}
		}
	}
	s := d.Site("oxd", site.New().AuthorizationServer)
	s.Hosts = []string{"*"}
	if err := site.Judge(&s); err != nil {
		return fmt.Errorf("%w: %w", ErrPath, err)
	}
	return nil
}

func (c Condition) validateScopes() error {
	if c.Expression == nil || len(c.Scopes) > 0 {
		if _, err := scope.OneOf(c.Scopes); err != nil {
			return err
		}
	}
	if len(c.TicketScopes) > 0 {
		if _, err := scope.OneOf(c.TicketScopes); err != nil {
			return fmt.Errorf("ticketScopes: %w", err)
		}
	}
	if need := c.expression(); need != nil {
		return need.judge() // with scopes beside it, it may contradict them
	}
	return nil
}

func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && !strings.EqualFold(s, "CONNECT")
}
