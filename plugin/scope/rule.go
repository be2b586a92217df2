package scope

import (
	"math"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

const (
	maxDepth = 32
	maxOps   = 1024
)

type code uint8

const (
	opLiteral code = iota
	opVar
	opAnd
	opOr
	opNot
	opTruth // !!
	opEqual
	opUnequal
	opIf
)

// op is one node of a rule; its operands follow it, each with its own operands.
// size is how many ops the node spans, itself included, so that a branch not
// taken is stepped over.
type op struct {
	code    code
	index   uint8 // opVar
	size    uint16
	literal float64 // opLiteral; null is NaN, true and false are 1 and 0
}

func compile(rule []byte, scopes int) ([]op, error) {
	if !strictjson.Valid(rule) {
		return nil, ErrRuleJSON
	}
	return appendOp(nil, gjson.ParseBytes(rule), scopes, maxDepth)
}

func appendOp(ops []op, v gjson.Result, scopes, depth int) ([]op, error) {
	if depth == 0 || len(ops) >= maxOps {
		return nil, ErrTooDeep
	}
	switch v.Type {
	case gjson.True:
		return append(ops, op{literal: 1, size: 1}), nil
	case gjson.False:
		return append(ops, op{size: 1}), nil
	case gjson.Null:
		return append(ops, op{literal: math.NaN(), size: 1}), nil
	case gjson.Number:
		if math.IsInf(v.Num, 0) || math.IsNaN(v.Num) {
			return nil, ErrLiteral
		}
		return append(ops, op{literal: v.Num, size: 1}), nil
	case gjson.String, gjson.JSON:
	}
	if !v.IsObject() {
		return nil, ErrLiteral
	}
	var name string
	var operand gjson.Result
	members := 0
	v.ForEach(func(key, value gjson.Result) bool {
		name, operand = key.Str, value
		members++
		return true
	})
	if members != 1 {
		return nil, ErrOperator
	}
	operands := []gjson.Result{operand}
	if operand.IsArray() {
		operands = operand.Array()
	}
	if name == "var" {
		return appendVar(ops, operands, scopes)
	}
	c, fits := operator(name, len(operands))
	if c == opLiteral {
		return nil, ErrOperator
	}
	if !fits {
		return nil, ErrOperands
	}
	at := len(ops)
	ops = append(ops, op{code: c})
	var err error
	for _, o := range operands {
		if ops, err = appendOp(ops, o, scopes, depth-1); err != nil {
			return nil, err
		}
	}
	ops[at].size = uint16(len(ops) - at) //nolint:gosec // at most maxOps + 1
	return ops, nil
}

// operator returns the code of a name, and whether it takes n operands.
func operator(name string, n int) (c code, fits bool) {
	switch name {
	case "and":
		return opAnd, n >= 1
	case "or":
		return opOr, n >= 1
	case "!":
		return opNot, n == 1
	case "!!":
		return opTruth, n == 1
	case "==":
		return opEqual, n == 2
	case "!=":
		return opUnequal, n == 2
	case "if":
		return opIf, n >= 2
	}
	return opLiteral, false
}

func appendVar(ops []op, operands []gjson.Result, scopes int) ([]op, error) {
	if len(operands) != 1 {
		return nil, ErrIndex
	}
	text := operands[0].Raw
	if operands[0].Type == gjson.String { // JsonLogic's paths are strings
		text = operands[0].Str
	}
	i, err := strconv.ParseUint(text, 10, 8)
	if err != nil || int(i) >= scopes {
		return nil, ErrIndex
	}
	return append(ops, op{code: opVar, index: uint8(i), size: 1}), nil
}

func eval(ops []op, set Set) bool { return truthy(value(ops, set)) }

func truthy(v float64) bool { return v != 0 && !math.IsNaN(v) }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// value evaluates the first op of ops. As in JsonLogic, and, or and if return
// one of their operands.
func value(ops []op, set Set) float64 {
	o := ops[0]
	rest := ops[1:o.size]
	switch o.code {
	case opLiteral:
		return o.literal
	case opVar:
		return number(set&(1<<o.index) != 0)
	case opAnd, opOr:
		var v float64
		for len(rest) > 0 {
			v = value(rest, set)
			if truthy(v) == (o.code == opOr) {
				return v
			}
			rest = rest[rest[0].size:]
		}
		return v
	case opNot:
		return number(!truthy(value(rest, set)))
	case opTruth:
		return number(truthy(value(rest, set)))
	case opEqual, opUnequal:
		a, b := value(rest, set), value(rest[rest[0].size:], set)
		same := a == b || math.IsNaN(a) && math.IsNaN(b) // null == null
		return number(same == (o.code == opEqual))
	case opIf:
		return valueIf(rest, set)
	}
	return 0
}

// valueIf evaluates condition, value, condition, value, …, else.
func valueIf(rest []op, set Set) float64 {
	for len(rest) > 0 {
		v := value(rest, set)
		next := rest[rest[0].size:]
		if len(next) == 0 { // the else branch
			return v
		}
		if truthy(v) {
			return value(next, set)
		}
		rest = next[next[0].size:]
	}
	return math.NaN() // no branch: null
}
