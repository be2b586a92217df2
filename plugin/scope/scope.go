// Package scope decides whether the scopes a token has are enough: "one of
// these", or a scope_expression, which is a JsonLogic rule over indexes into a
// list of scopes ("data", in the words of oxd).
//
// A rule is compiled once, with every fault found then, and evaluated without
// allocation. The operators are and, or, !, !!, ==, !=, if and var; their
// meaning is JsonLogic's, where "var" is true when the token has the scope.
// Every other operator, and an index that data has not, is a fault.
package scope

import (
	"errors"
	"strconv"
)

// MaxScopes bounds the scopes of one requirement.
const MaxScopes = 64

// Errors of a requirement, for errors.Is.
var (
	ErrNoScopes      = errors.New("at least one scope is needed")
	ErrTooManyScopes = errors.New("at most " + strconv.Itoa(MaxScopes) + " scopes are possible")
	ErrBlankScope    = errors.New("a scope must not be empty, nor have a space, quote, backslash or control character in it (RFC 6749 section 3.3)")
	ErrRuleJSON      = errors.New("the rule is not valid JSON, or nested too deep")
	ErrOperator      = errors.New(`the operators of a rule are "and", "or", "!", "!!", "==", "!=", "if" and "var"`)
	ErrOperands      = errors.New("wrong number of operands")
	ErrIndex         = errors.New(`"var" takes one index into data, counted from 0`)
	ErrLiteral       = errors.New("a rule's literals are true, false, null and numbers")
	ErrTooDeep       = errors.New("the rule is too large: at most 32 levels and 1024 operands")
)

// Set is the scopes of a requirement that a token has: bit i stands for
// Requirement.Scopes()[i].
type Set uint64

// Requirement is what some scopes must satisfy. The zero value is satisfied by
// nothing. It is immutable, and safe for concurrent use.
type Requirement struct {
	scopes []string
	rule   []op // nil: one of scopes
}

// OneOf is the requirement that the token has at least one of the scopes.
func OneOf(scopes []string) (Requirement, error) {
	if err := checkScopes(scopes); err != nil {
		return Requirement{}, err
	}
	return Requirement{scopes: scopes}, nil
}

// Compile reads a rule and its data.
func Compile(rule []byte, data []string) (Requirement, error) {
	if err := checkScopes(data); err != nil {
		return Requirement{}, err
	}
	ops, err := compile(rule, len(data))
	if err != nil {
		return Requirement{}, err
	}
	return Requirement{scopes: data, rule: ops}, nil
}

// Scopes returns the scopes that bits of a [Set] stand for. The caller must not
// change them.
func (r *Requirement) Scopes() []string { return r.scopes }

// Add sets the bit of a scope, if the requirement has it.
func (r *Requirement) Add(set Set, scope string) Set {
	for i, s := range r.scopes {
		if s == scope {
			set |= 1 << i
		}
	}
	return set
}

// Satisfied tells whether a token with these scopes has what is required.
func (r *Requirement) Satisfied(set Set) bool {
	if r.rule == nil {
		return set != 0
	}
	return eval(r.rule, set)
}

// HasAll tells that a set has every scope of the requirement.
func (r *Requirement) HasAll(set Set) bool { return set == 1<<len(r.scopes)-1 }

// Negates tells that a token with more scopes may not have what is required, where one
// with fewer has. A rule with an operator that can is one.
func (r *Requirement) Negates() bool {
	for i := range r.rule {
		switch r.rule[i].code {
		case opNot, opEqual, opUnequal, opIf:
			return true
		case opLiteral, opVar, opAnd, opOr, opTruth:
		}
	}
	return false
}

// SatisfiedByNone tells that a token with none of the scopes has what is
// required, which is rarely meant.
func (r *Requirement) SatisfiedByNone() bool { return r.Satisfied(0) }

func checkScopes(scopes []string) error {
	switch {
	case len(scopes) == 0:
		return ErrNoScopes
	case len(scopes) > MaxScopes:
		return ErrTooManyScopes
	}
	for _, s := range scopes {
		if !IsToken(s) {
			return ErrBlankScope
		}
	}
	return nil
}

// IsToken tells that s is a scope-token (RFC 6749 section 3.3).
func IsToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}
