package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReading(t *testing.T) {
	tests := []struct {
		name, path string
		fixed      uint64
		want       []string // each once
	}{
		{name: "ordinary", path: "/a/b-c.d/..e/f:g"},
		{name: "ordinary escapes", path: "/caf%C3%A9/a%20b/%25"},
		{name: "slash", path: "/a%C4%AFb", want: []string{"/a/b"}},
		{name: "slash at the end", path: "/a%C4%AF", want: []string{"/a/"}},
		{name: "slash and a slash", path: "/a%C4%AF/b", want: []string{"/a/b"}},
		{name: "dots", path: "/a/%C4%AE%C4%AE/b", want: []string{"/b"}},
		{name: "above the root", path: "/%C4%AE%C4%AE/b", want: []string{"/b"}},
		{name: "everything gone", path: "/%C4%AE/", want: []string{"/"}},
		{name: "cut", path: "/a%C4%BFb/c/", want: []string{"/a"}},
		{name: "not cut at the beginning", path: "/%C4%BFb"},
		{name: "parameter", path: "/a%C4%BBb%C4%AFc/d", want: []string{"/a/c/d", "/aĻb/c/d"}},
		{name: "escape", path: "/a%C4%A5%32", want: nil},
		{name: "escaped slash", path: "/a%C4%A52fb", want: []string{"/a/b"}},
		{name: "blanks", path: "/%20a%20/b", want: []string{"/a/b", "/ a/b"}},
		{name: "dots at the end", path: "/a/b../c.", want: []string{"/a/b/c", "/a/c."}},
		{name: "only dots", path: "/a/...", want: []string{"/a/"}},
		{name: "stream", path: "/a::$DATA/b:$c", want: []string{"/a/b"}},
		{name: "several", path: "/a%C4%AFb.", want: []string{"/a/b.", "/a/b", "/aįb"}},
		{name: "fixed", path: "/a%C4%AF/b%C4%AF./c%C4%AF", fixed: 1<<0 | 1<<1, want: []string{"/aį/bį./c/"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePath(tt.path, "h", false)
			if tt.name == "escape" {
				requireProblem(t, ProblemEncUnreserved, err)
				return
			}
			require.NoError(t, err)
			var got []string
			for n := range Readings {
				other, _, ok := p.Reading(n, tt.fixed, nil)
				text := "/" + other.decoded
				if other.slash {
					text += "/"
				}
				if ok && !slices.Contains(got, text) {
					got = append(got, text)
				}
			}
			require.ElementsMatch(t, tt.want, got)
		})
	}
}

// FuzzReading looks for a path that has another reading and is not odd, and for a
// reading that is no path.
func FuzzReading(f *testing.F) {
	for _, seed := range []string{
		"/a/b", "/a%C4%AFb", "/%D0%AE%D0%AE/x", "/a./b..", "/a:$b", "/%20a%20", "/%F0%9B%B0%80", "/%C4%A5%D0%B2%D1%86", "/...", "/%E2%80%80", "/a%C4%BB/%C4%AF",
	} {
		f.Add(seed, uint64(1))
	}
	f.Fuzz(func(t *testing.T, target string, fixed uint64) {
		p, err := ParsePath(target, "h", false)
		if err != nil {
			return
		}
		for n := range Readings {
			other, moved, ok := p.Reading(n, fixed, []Place{{Segment: 0}})
			require.False(t, ok && !p.Odd(), "%q is odd", target)
			if !ok {
				require.False(t, moved && p.decoded != "", "nothing differs")
				require.Equal(t, p.decoded, other.decoded)
				continue
			}
			require.NotContains(t, "/"+other.decoded+"/", "//../", target)
			for segment := range strings.SplitSeq(other.decoded, "/") {
				require.True(t, other.decoded == "" || segmentProblem(segment) == "", "%q became %q", target, other.decoded)
			}
			require.False(t, other.slash && other.decoded == "")
		}
	})
}

// TestReadingFromAnotherSegment: where a reading takes a segment from elsewhere, it
// says so; a part of the segment itself stays in its place.
func TestReadingFromAnotherSegment(t *testing.T) {
	tests := []struct {
		name, path, other string
		moved             bool
	}{
		{"up and down", "/a/1/%C4%AE%C4%AE/2", "/a/2", true},
		{"up and down to the same text", "/a/1/%C4%AE%C4%AE/1", "/a/1", true},
		{"one before it splits", "/a%D0%AF2/1", "/a/2/1", true},
		{"it splits", "/a/1%D0%AF2", "/a/1/2", false},
		{"its part before is empty", "/a/%D0%AF2", "/a/2", false},
		{"one behind it", "/a/1/b%D0%AFc", "/a/1/b/c", false},
		{"it has gone", "/a/1/%C4%AE%C4%AE", "/a/", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePath(tt.path, "h", false)
			require.NoError(t, err)
			found := false
			for n := range Readings {
				other, moved, ok := p.Reading(n, 0, []Place{{Segment: 1}})
				text := "/" + other.decoded
				if other.slash {
					text += "/"
				}
				if ok && text == tt.other {
					found = true
					require.Equal(t, tt.moved, moved)
				}
			}
			require.True(t, found)
		})
	}
}

// TestOrdinaryPathsAreNotOdd: what most requests have costs no second look.
func TestOrdinaryPathsAreNotOdd(t *testing.T) {
	for _, path := range []string{"/", "/albums/1", "/a.b/..c/.d", "/a:b@c$d", "/a/?x=%20"} {
		p, err := ParsePath(path, "h", false)
		require.NoError(t, err)
		require.False(t, p.Odd(), path)
	}
}
