package scope_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/scope"
)

func TestCanHold(t *testing.T) {
	many := make([]string, scope.MaxScopes)
	pairs, chain := []string{}, `{"var":0}`
	for i := range many {
		many[i] = fmt.Sprint("s", i)
		pairs = append(pairs, fmt.Sprintf(`{"or":[{"var":%d},{"var":%d}]}`, i, (i+1)%len(many)))
		if i > 0 && i < 30 {
			chain = fmt.Sprintf(`{"==":[{"var":%d},%s]}`, i, chain)
		}
	}
	tests := []struct {
		name, rule string
		want       bool
	}{
		{"true", `true`, true},
		{"a number", `2`, true},
		{"null", `null`, false},
		{"zero", `0`, false},
		{"false", `false`, false},
		{"not true", `{"!":true}`, false},
		{"a scope", `{"var":0}`, true},
		{"the last scope", `{"var":63}`, true},
		{"without a scope", `{"!":{"var":0}}`, true},
		{"with and without it", `{"and":[{"var":0},{"!":{"var":0}}]}`, false},
		{"with or without it", `{"or":[{"var":0},{"!":{"var":0}}]}`, true},
		{"and null", `{"and":[{"var":0},null]}`, false},
		{"or null", `{"or":[null,{"var":0}]}`, true},
		{"a scope that is two", `{"==":[{"var":0},2]}`, false},
		{"a scope that is null", `{"==":[{"var":0},null]}`, false},
		{"a scope that is not two", `{"!=":[{"var":0},2]}`, true},
		{"a scope that is one", `{"==":[{"var":0},1]}`, true},
		{"either that is two", `{"==":[{"or":[{"var":0},2]},2]}`, true},
		{"a scope that is another than itself", `{"!=":[{"var":7},{"var":7}]}`, false},
		{"if without else", `{"if":[{"var":0},false]}`, false},
		{"if with else", `{"if":[{"var":0},false,{"var":1}]}`, true},
		{"if either way", `{"if":[{"var":0},0,null]}`, false},
		{"if whose else contradicts", `{"if":[{"var":0},{"!":{"var":0}},{"var":0}]}`, false},
		{"64 scopes", `{"and":[` + strings.Join(pairs, ",") + `]}`, true},
		{"64 scopes and null", `{"and":[` + strings.Join(pairs, ",") + `,null]}`, false},
		{"64 scopes and none of them", `{"and":[` + strings.Join(pairs, ",") + `,{"!":{"or":[{"var":0},{"var":1}]}}]}`, false},
		{"parity", chain, true},
		{"what takes too long to know", `{"and":[` + chain + `,{"!":` + chain + `}]}`, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := scope.Compile([]byte(tt.rule), many)
			require.NoError(t, err)
			require.Equal(t, tt.want, r.CanHold())
		})
	}
	one, err := scope.OneOf([]string{"a"})
	require.NoError(t, err)
	require.True(t, one.CanHold())
	require.False(t, (&scope.Requirement{}).CanHold(), "the zero value is satisfied by nothing")
}
