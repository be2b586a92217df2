package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/route"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	var texts route.Texts
	for i, s := range []string{"*", "delete_*", "delete_all", "*_all", "delete_*_now", "a*b*c"} {
		v, added, err := texts.Add(s, i)
		require.NoError(t, err)
		require.True(t, added)
		require.Equal(t, i, v)
	}
	v, added, err := texts.Add("delete_*", 9)
	require.NoError(t, err)
	require.False(t, added)
	require.Equal(t, 1, v)
	v, added, err = texts.Add("delete_all", 9)
	require.NoError(t, err)
	require.False(t, added)
	require.Equal(t, 2, v)
	for _, tt := range []struct {
		text         string
		value, clash int
	}{
		{"search", 0, -1},
		{"delete_all", 2, -1},
		{"delete_x", 1, -1},
		{"delete_", 0, -1},
		{"Delete_x", 0, -1},
		{"drop_all", 3, -1},
		{"delete_x_now", 4, -1},
		{"delete_x_all", 1, 3},
		{"a/b/c", 5, -1},
		{"a/bc", 0, -1},
		{"", -1, -1},
	} {
		value, by, clash := texts.Match(tt.text)
		require.Equal(t, tt.value, value, tt.text)
		require.Equal(t, value < 0, by == "", tt.text)
		require.Equal(t, tt.clash, clash, tt.text)
	}
}

func TestTextsRefuse(t *testing.T) {
	t.Parallel()
	var texts route.Texts
	for text, want := range map[string]error{
		"": route.ErrTextEmpty, "file:///{id}": route.ErrTextBraces, "a**": route.ErrTextStars, "a\x00b": route.ErrTextBraces,
	} {
		_, _, err := texts.Add(text, 0)
		require.ErrorIs(t, err, want, text)
	}
	value, _, clash := texts.Match("a")
	require.Equal(t, [2]int{-1, -1}, [2]int{value, clash})
}
