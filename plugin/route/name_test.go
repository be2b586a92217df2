package route_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/route"
)

func TestName(t *testing.T) {
	tests := []struct {
		name, source string
		variables    []string
		values       []string
		expanded     string
		err          error
	}{
		{name: "no variable", source: "albums", expanded: "albums"},
		{name: "one", source: "album-{id}", variables: []string{"id"}, values: []string{"1"}, expanded: "album-1"},
		{name: "unreserved stays", source: "album-{id}", variables: []string{"id"}, values: []string{"a-B_c.d~9"}, expanded: "album-a-B_c.d~9"},
		{name: "the rest is encoded", source: "album-{id}", variables: []string{"id"}, values: []string{"é %/:{}"}, expanded: "album-%C3%A9%20%25%2F%3A%7B%7D"},
		{name: "a value cannot be an encoded one", source: "album-{id}", variables: []string{"id"}, values: []string{"%20"}, expanded: "album-%2520"},
		{name: "two", source: "album-{id}/photo-{n}", variables: []string{"id", "n"}, values: []string{"1-photo-2", "3"}, expanded: "album-1-photo-2/photo-3"},
		{name: "two that run into each other", source: "album-{id}-photo-{n}", err: route.ErrNameApart},
		{name: "two with nothing between", source: "{a}{b}", err: route.ErrNameApart},
		{name: "one that stands twice", source: "{a}/{a}", err: route.ErrNameBraces},
		{name: "no end", source: "album-{id", err: route.ErrNameBraces},
		{name: "no beginning", source: "album-id}", err: route.ErrNameBraces},
		{name: "no beginning before one", source: "a}-{id}", err: route.ErrNameBraces},
		{name: "empty", source: "album-{}", err: route.ErrNameBraces},
		{name: "braces in braces", source: "album-{{id}}", err: route.ErrNameBraces},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n, err := route.ParseName(tt.source)
			require.ErrorIs(t, err, tt.err)
			if err != nil {
				return
			}
			require.Equal(t, tt.variables, n.Variables())
			require.Equal(t, tt.expanded, n.Expand(tt.values))
		})
	}
}

func TestNameOverlaps(t *testing.T) {
	tests := []struct {
		a, b string
		want bool
	}{
		{"album-{id}", "album-1", true},
		{"album-{id}", "album-", false},
		{"album-{id}", "albums", false},
		{"album-{id}", "album-{id}-x", true},
		{"album-{id}", "{x}/{y}", false},
		{"album-{id}", "photo-{id}", false},
		{"album-{id}", "album/{id}", false},
		{"album-{id}", "album-{a}/{b}", false},
		{"album-{id}", "album-a b", false},
		{"a/{x}/b", "a/{x}/{y}", true},
		{"{x}b", "a{x}", true},
		{"{x}b", "a{x}c", false},
		{"same", "same", true},
	}
	for _, tt := range tests {
		a, errA := route.ParseName(tt.a)
		b, errB := route.ParseName(tt.b)
		if errA != nil || errB != nil {
			continue // not a name, so no overlap to judge
		}
		require.Equal(t, tt.want, a.Overlaps(b), "%s and %s", tt.a, tt.b)
		require.Equal(t, tt.want, b.Overlaps(a), "%s and %s", tt.b, tt.a)
	}
}

// FuzzNameExpand: different values never give one name.
func FuzzNameExpand(f *testing.F) {
	f.Add("1", "2", "1/", "2")
	f.Add("a:b", "c", "a", "b:c")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		n, err := route.ParseName("x-{a}:y-{b}")
		require.NoError(t, err)
		if a == "" || b == "" || c == "" || d == "" {
			return
		}
		require.Equal(t, a == c && b == d, n.Expand([]string{a, b}) == n.Expand([]string{c, d}))
	})
}

func TestSegment(t *testing.T) {
	p, err := route.ParsePath("/albums/caf%C3%A9/photos/", "h", false)
	require.NoError(t, err)
	for i, want := range []string{"albums", "café", "photos", ""} {
		text, last := p.Segment(i)
		require.Equal(t, want, text)
		require.Equal(t, i == 2, last)
	}
}
