package scope

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLeast(t *testing.T) {
	one, err := OneOf([]string{"view", "all"})
	require.NoError(t, err)
	require.Equal(t, []string{"view"}, one.Least())
	require.Empty(t, new(Requirement).Least())
	for _, tt := range []struct {
		rule string
		want []string
	}{
		{`{"var":1}`, []string{"b"}},
		{`{"or":[{"var":0},{"var":1}]}`, []string{"a"}},
		{`{"and":[{"var":2},{"or":[{"var":0},{"var":1}]}]}`, []string{"a", "c"}},
		{`{"and":[{"var":0},{"!":{"var":1}}]}`, []string{"a"}},
		{`{"or":[{"and":[{"var":0},{"!":{"var":0}}]},{"and":[{"var":1},{"var":2}]}]}`, []string{"b", "c"}},
		{`{"!":{"var":0}}`, nil},
		{`{"and":[{"var":0},{"!":{"var":0}}]}`, nil},
	} {
		r, err := Compile([]byte(tt.rule), []string{"a", "b", "c"})
		require.NoError(t, err)
		least := r.Least()
		require.Equal(t, tt.want, least, tt.rule)
		var set Set
		for _, s := range least {
			set = r.Add(set, s)
		}
		require.Equal(t, r.CanHold(), r.Satisfied(set), tt.rule)
	}
}
