package scope_test

import (
	"encoding/json"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/scope"
)

// naive evaluates JsonLogic as its page describes it, over decoded JSON. ok is
// false for what is no rule here.
func naive(rule any, has []bool) (value any, ok bool) {
	switch rule := rule.(type) {
	case nil, bool, float64:
		return rule, true
	case map[string]any:
		if len(rule) != 1 {
			return nil, false
		}
		for name, operand := range rule {
			operands, isList := operand.([]any)
			if !isList {
				operands = []any{operand}
			}
			return naiveOperation(name, operands, has)
		}
	}
	return nil, false
}

func naiveOperation(name string, operands []any, has []bool) (any, bool) {
	if name == "var" {
		text := ""
		switch v := operands[0].(type) {
		case string:
			text = v
		case float64:
			text = strconv.FormatFloat(v, 'f', -1, 64)
		}
		i, err := strconv.Atoi(text)
		if err != nil {
			return nil, false
		}
		return has[i], true
	}
	values := make([]any, len(operands))
	for i, o := range operands {
		v, ok := naive(o, has)
		if !ok {
			return nil, false
		}
		values[i] = v
	}
	switch name {
	case "!":
		return !naiveTruth(values[0]), true
	case "!!":
		return naiveTruth(values[0]), true
	case "==":
		return naiveEqual(values[0], values[1]), true
	case "!=":
		return !naiveEqual(values[0], values[1]), true
	case "and", "or":
		for _, v := range values {
			if naiveTruth(v) == (name == "or") {
				return v, true
			}
		}
		return values[len(values)-1], true
	case "if":
		for len(values) > 1 {
			if naiveTruth(values[0]) {
				return values[1], true
			}
			values = values[2:]
		}
		if len(values) == 1 {
			return values[0], true
		}
		return nil, true
	}
	return nil, false
}

func naiveTruth(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		return v != 0
	}
	return false
}

// naiveEqual is JavaScript's == for null, booleans and numbers.
func naiveEqual(a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return naiveNumber(a) == naiveNumber(b)
}

func naiveNumber(v any) float64 {
	if f, isNumber := v.(float64); isNumber {
		return f
	}
	if naiveTruth(v) {
		return 1
	}
	return 0
}

var naiveData = []string{"a", "b", "c", "d"}

// requireSame compares both over every subset of the scopes.
func requireSame(t *testing.T, rule string) {
	t.Helper()
	r, err := scope.Compile([]byte(rule), naiveData)
	if err != nil {
		return
	}
	var decoded any
	require.NoError(t, json.Unmarshal([]byte(rule), &decoded), rule)
	holds := false
	for subset := range 1 << len(naiveData) {
		var set scope.Set
		has := make([]bool, len(naiveData))
		for i, s := range naiveData {
			if has[i] = subset&(1<<i) != 0; has[i] {
				set = r.Add(set, s)
			}
		}
		value, ok := naive(decoded, has)
		require.True(t, ok, rule)
		require.Equal(t, naiveTruth(value), r.Satisfied(set), "%s with %v", rule, has)
		holds = holds || naiveTruth(value)
	}
	require.Equal(t, holds, r.CanHold(), rule)
}

// FuzzRule compares the compiled rule with the naive evaluation.
func FuzzRule(f *testing.F) {
	for _, seed := range []string{
		`{"and":[{"or":[{"var":0},{"var":1}]},{"var":2}]}`, `{"if":[{"var":0},{"var":1},{"!":{"var":2}},null,1]}`, `{"==":[{"var":"3"},null]}`,
		`{"!=":[{"and":[1,{"var":0}]},{"or":[0,false]}]}`, `{"!!":[0.5]}`, `true`, `{"or":[]}`, `[[`, `{"v\u0061r":0}`, `{"var":1e0}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, rule string) { requireSame(t, rule) })
}

// TestRandomRules: rules that are well-formed, which a fuzzer seldom finds.
func TestRandomRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		rule := randomRule(random, 4)
		_, err := scope.Compile([]byte(rule), naiveData)
		require.NoError(t, err, rule)
		requireSame(t, rule)
	}
}

func randomRule(random *rand.Rand, depth int) string {
	if depth == 0 || random.IntN(5) == 0 {
		leaves := []string{`{"var":0}`, `{"var":1}`, `{"var":[2]}`, `{"var":"3"}`, "true", "false", "null", "0", "1", "2.5"}
		return leaves[random.IntN(len(leaves))]
	}
	operators := []struct {
		name     string
		from, to int
	}{{"and", 1, 4}, {"or", 1, 4}, {"!", 1, 1}, {"!!", 1, 1}, {"==", 2, 2}, {"!=", 2, 2}, {"if", 2, 5}}
	o := operators[random.IntN(len(operators))]
	operands := make([]string, o.from+random.IntN(o.to-o.from+1))
	for i := range operands {
		operands[i] = randomRule(random, depth-1)
	}
	return `{"` + o.name + `":[` + strings.Join(operands, ",") + `]}`
}
