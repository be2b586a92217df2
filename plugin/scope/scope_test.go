package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/scope"
)

// TestTruth has every operator over every subset of three scopes. The table's
// bits are the subsets, none first, "a" being 1, "b" 2 and "c" 4.
func TestTruth(t *testing.T) {
	tests := []struct {
		name, rule string
		want       string // of the subsets 0 1 2 3 4 5 6 7
	}{
		{"var", `{"var":0}`, "01010101"},
		{"var of text", `{"var":"1"}`, "00110011"},
		{"var of a list", `{"var":[2]}`, "00001111"},
		{"and", `{"and":[{"var":0},{"var":1}]}`, "00010001"},
		{"and of three", `{"and":[{"var":0},{"var":1},{"var":2}]}`, "00000001"},
		{"and of one", `{"and":[{"var":1}]}`, "00110011"},
		{"and without a list", `{"and":{"var":1}}`, "00110011"},
		{"or", `{"or":[{"var":0},{"var":1}]}`, "01110111"},
		{"or of three", `{"or":[{"var":0},{"var":1},{"var":2}]}`, "01111111"},
		{"not", `{"!":{"var":0}}`, "10101010"},
		{"not of a list", `{"!":[{"var":0}]}`, "10101010"},
		{"truth", `{"!!":[{"var":0}]}`, "01010101"},
		{"not not", `{"!":{"!":{"var":0}}}`, "01010101"},
		{"equal", `{"==":[{"var":0},{"var":1}]}`, "10011001"},
		{"unequal", `{"!=":[{"var":0},{"var":1}]}`, "01100110"},
		{"equal to true", `{"==":[{"var":0},true]}`, "01010101"},
		{"equal to one", `{"==":[{"var":0},1]}`, "01010101"},
		{"equal to two", `{"==":[{"var":0},2]}`, "00000000"},
		{"equal to false", `{"==":[{"var":0},false]}`, "10101010"},
		{"equal to zero", `{"==":[{"var":0},-0.0]}`, "10101010"},
		{"equal to null", `{"==":[{"var":0},null]}`, "00000000"},
		{"unequal to null", `{"!=":[{"var":0},null]}`, "11111111"},
		{"null is null", `{"==":[null,null]}`, "11111111"},
		{"if", `{"if":[{"var":0},{"var":1},{"var":2}]}`, "00011011"},
		{"if without else", `{"if":[{"var":0},{"var":1}]}`, "00010001"},
		{"else if", `{"if":[{"var":0},{"var":1},{"var":1},false,true]}`, "10011001"},
		{"else if without else", `{"if":[{"var":0},false,{"var":1},true]}`, "00100010"},
		{"and or", `{"or":[{"and":[{"var":0},{"var":1}]},{"var":2}]}`, "00011111"},
		{"or and", `{"and":[{"or":[{"var":0},{"var":1}]},{"!":{"var":2}}]}`, "01110000"},
		{"or of one and its and", `{"and":[{"or":[{"var":0},{"var":1}]},{"var":2}]}`, "00000111"},
		{"true", `true`, "11111111"},
		{"false", `false`, "00000000"},
		{"null", `null`, "00000000"},
		{"zero", `0`, "00000000"},
		{"a number", `-2.5`, "11111111"},
		{"and returns an operand", `{"==":[{"and":[{"var":0},2]},2]}`, "01010101"},
		{"or returns an operand", `{"==":[{"or":[{"var":0},2]},2]}`, "10101010"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := scope.Compile([]byte(tt.rule), []string{"a", "b", "c"})
			require.NoError(t, err)
			require.Equal(t, tt.want, truth(&r))
			require.Equal(t, tt.want[0] == '1', r.SatisfiedByNone())
		})
	}
	t.Run("one of", func(t *testing.T) {
		r, err := scope.OneOf([]string{"a", "b", "c"})
		require.NoError(t, err)
		require.Equal(t, "01111111", truth(&r))
	})
	t.Run("zero value", func(t *testing.T) {
		var r scope.Requirement
		require.Zero(t, r.Add(0, "a"))
		require.False(t, r.Satisfied(0))
	})
}

func truth(r *scope.Requirement) string {
	var b strings.Builder
	for subset := range 8 {
		var set scope.Set
		for i, s := range []string{"a", "b", "c"} {
			if subset&(1<<i) != 0 {
				set = r.Add(set, s)
			}
		}
		set = r.Add(set, "other")
		set = r.Add(set, "A")
		if r.Satisfied(set) {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	return b.String()
}

// TestScopeTwice: a scope that data has twice is both indexes.
func TestScopeTwice(t *testing.T) {
	r, err := scope.Compile([]byte(`{"and":[{"var":0},{"var":1}]}`), []string{"a", "a"})
	require.NoError(t, err)
	require.True(t, r.Satisfied(r.Add(0, "a")))
	require.Equal(t, []string{"a", "a"}, r.Scopes())
}

func TestLastScope(t *testing.T) {
	data := make([]string, scope.MaxScopes)
	for i := range data {
		data[i] = fmt.Sprint("s", i)
	}
	r, err := scope.Compile([]byte(`{"and":[{"var":63},{"!":{"var":62}}]}`), data)
	require.NoError(t, err)
	require.True(t, r.Satisfied(r.Add(0, "s63")))
	require.False(t, r.Satisfied(r.Add(r.Add(0, "s63"), "s62")))
}

func TestFaults(t *testing.T) {
	many := make([]string, scope.MaxScopes+1)
	for i := range many {
		many[i] = fmt.Sprint("s", i)
	}
	nest := func(n int) string { return strings.Repeat(`{"!":`, n) + "true" + strings.Repeat("}", n) }
	tests := []struct {
		name, rule string
		data       []string
		err        error
	}{
		{"no data", `true`, nil, scope.ErrNoScopes},
		{"too much data", `true`, many, scope.ErrTooManyScopes},
		{"empty scope", `true`, []string{""}, scope.ErrBlankScope},
		{"scope with a space", `true`, []string{"a b"}, scope.ErrBlankScope},
		{"scope with a quote", `true`, []string{`a"`}, scope.ErrBlankScope},
		{"scope with a backslash", `true`, []string{`a\`}, scope.ErrBlankScope},
		{"scope with a line end", `true`, []string{"a\n"}, scope.ErrBlankScope},
		{"scope not ASCII", `true`, []string{"é"}, scope.ErrBlankScope},
		{"empty rule", ``, []string{"a"}, scope.ErrRuleJSON},
		{"not JSON", `{"and":`, []string{"a"}, scope.ErrRuleJSON},
		{"two rules", `true false`, []string{"a"}, scope.ErrRuleJSON},
		{"nested without end", strings.Repeat("[", 1<<20), []string{"a"}, scope.ErrRuleJSON},
		{"too deep", nest(32), []string{"a"}, scope.ErrTooDeep},
		{"too large", `{"or":[` + strings.Repeat("true,", 1024) + `true]}`, []string{"a"}, scope.ErrTooDeep},
		{"unknown operator", `{"xor":[true,true]}`, []string{"a"}, scope.ErrOperator},
		{"operator of JsonLogic that oxd has not", `{"===":[true,true]}`, []string{"a"}, scope.ErrOperator},
		{"operator in upper case", `{"AND":[true]}`, []string{"a"}, scope.ErrOperator},
		{"two operators", `{"and":[true],"or":[true]}`, []string{"a"}, scope.ErrOperator},
		{"the same operator twice", `{"or":[false],"or":[true]}`, []string{"a"}, scope.ErrOperator},
		{"no operator", `{}`, []string{"a"}, scope.ErrOperator},
		{"and of nothing", `{"and":[]}`, []string{"a"}, scope.ErrOperands},
		{"or of nothing", `{"or":[]}`, []string{"a"}, scope.ErrOperands},
		{"not of two", `{"!":[true,true]}`, []string{"a"}, scope.ErrOperands},
		{"truth of nothing", `{"!!":[]}`, []string{"a"}, scope.ErrOperands},
		{"equal of one", `{"==":[true]}`, []string{"a"}, scope.ErrOperands},
		{"equal of three", `{"==":[true,true,true]}`, []string{"a"}, scope.ErrOperands},
		{"unequal of one", `{"!=":true}`, []string{"a"}, scope.ErrOperands},
		{"if of one", `{"if":[true]}`, []string{"a"}, scope.ErrOperands},
		{"index beyond data", `{"var":1}`, []string{"a"}, scope.ErrIndex},
		{"negative index", `{"var":-1}`, []string{"a"}, scope.ErrIndex},
		{"fraction", `{"var":0.0}`, []string{"a"}, scope.ErrIndex},
		{"index of 2^64", `{"var":18446744073709551616}`, []string{"a"}, scope.ErrIndex},
		{"index of 256", `{"var":256}`, []string{"a"}, scope.ErrIndex},
		{"name", `{"var":"a"}`, []string{"a"}, scope.ErrIndex},
		{"empty name", `{"var":""}`, []string{"a"}, scope.ErrIndex},
		{"var with a default", `{"var":[0,true]}`, []string{"a"}, scope.ErrIndex},
		{"var of nothing", `{"var":[]}`, []string{"a"}, scope.ErrIndex},
		{"var of null", `{"var":null}`, []string{"a"}, scope.ErrIndex},
		{"var of a rule", `{"var":{"var":0}}`, []string{"a"}, scope.ErrIndex},
		{"text", `"a"`, []string{"a"}, scope.ErrLiteral},
		{"text as an operand", `{"or":["a"]}`, []string{"a"}, scope.ErrLiteral},
		{"list", `[true]`, []string{"a"}, scope.ErrLiteral},
		{"list in a list", `{"or":[[true]]}`, []string{"a"}, scope.ErrLiteral},
		{"number beyond numbers", `1e400`, []string{"a"}, scope.ErrLiteral},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := scope.Compile([]byte(tt.rule), tt.data)
			require.ErrorIs(t, err, tt.err)
			require.False(t, r.Satisfied(0))
		})
	}
	t.Run("one of nothing", func(t *testing.T) {
		_, err := scope.OneOf(nil)
		require.ErrorIs(t, err, scope.ErrNoScopes)
	})
	t.Run("deepest", func(t *testing.T) {
		_, err := scope.Compile([]byte(nest(31)), []string{"a"})
		require.NoError(t, err)
	})
}

// TestSatisfiedAllocates: an evaluation costs no memory.
func TestSatisfiedAllocates(t *testing.T) {
	r, err := scope.Compile([]byte(`{"if":[{"and":[{"var":0},{"!":{"var":1}}]},{"or":[{"var":2},{"==":[{"var":1},null]}]},{"!=":[{"var":0},1]}]}`), []string{"a", "b", "c"})
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { r.Satisfied(r.Add(r.Add(0, "a"), "c")) }))
}
