package route

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestParsePath has every problem, as it is refused and as it is mended.
func TestParsePath(t *testing.T) {
	long := "/" + strings.Repeat("a", MaxPath)
	tests := []struct {
		name, target string
		problem      Problem // with reject; "" is accepted
		normalized   string  // with normalize; "" is refused
		refused      Problem // with normalize, when it is not problem
	}{
		{name: "root", target: "/", normalized: "/"},
		{name: "plain", target: "/albums/1", normalized: "/albums/1"},
		{name: "trailing slash", target: "/albums/", normalized: "/albums/"},
		{name: "query is not judged", target: "/a?x=../..;//%2e%zz", normalized: "/a?x=../..;//%2e%zz"},
		{name: "empty query", target: "/a?", normalized: "/a?"},
		{name: "second question mark", target: "/a?b?c", normalized: "/a?b?c"},
		{name: "encoded reserved", target: "/a%20b%26c%3D%25", normalized: "/a%20b%26c%3D%25"},
		{name: "lower-case hex", target: "/caf%c3%a9", normalized: "/caf%c3%a9"},
		{name: "four-byte character", target: "/%F0%9F%8E%89", normalized: "/%F0%9F%8E%89"},
		{name: "dots in a name", target: "/a..b/.well-known/...", normalized: "/a..b/.well-known/..."},
		{name: "percent before one digit", target: "/100%25", normalized: "/100%25"},
		{name: "longest", target: long[:MaxPath], normalized: long[:MaxPath]},

		{name: "too long", target: long, problem: ProblemTooLong},
		{name: "empty", target: "", problem: ProblemForm},
		{name: "asterisk", target: "*", problem: ProblemForm},
		{name: "no slash", target: "admin", problem: ProblemForm},
		{name: "authority form", target: "h.example:443", problem: ProblemForm},
		{name: "absolute form", target: "http://h.example/a/../b?q", problem: ProblemForm, normalized: "/b?q"},
		{name: "absolute form, other case", target: "HTTPS://H.Example/a", problem: ProblemForm, normalized: "/a"},
		{name: "absolute form without path", target: "http://h.example", problem: ProblemForm, normalized: "/"},
		{name: "absolute form of another host", target: "http://other.example/a", problem: ProblemForm},
		{name: "absolute form of another port", target: "http://h.example:81/a", problem: ProblemForm},
		{name: "absolute form with userinfo", target: "http://u@h.example/a", problem: ProblemForm},
		{name: "absolute form of another scheme", target: "file://h.example/a", problem: ProblemForm},
		{name: "fragment", target: "/a#b", problem: ProblemFragment, normalized: "/a"},
		{name: "fragment hides a query", target: "/a#?b", problem: ProblemFragment, normalized: "/a"},
		{name: "fragment in the query", target: "/a?b#c", problem: ProblemFragment, normalized: "/a?b"},
		{name: "raw NUL", target: "/a\x00", problem: ProblemControl},
		{name: "raw line end", target: "/a\nb", problem: ProblemControl},
		{name: "raw space", target: "/a b", problem: ProblemControl},
		{name: "raw DEL", target: "/a\x7f", problem: ProblemControl},
		{name: "control byte in the query", target: "/a?b\r\nX: y", problem: ProblemControl},
		{name: "encoded NUL", target: "/a%00.jpg", problem: ProblemControl},
		{name: "encoded line end", target: "/a%0d%0a", problem: ProblemControl},
		{name: "encoded DEL", target: "/a%7F", problem: ProblemControl},
		{name: "encoded C1", target: "/a%C2%85", problem: ProblemControl},
		{name: "line separator", target: "/a%E2%80%A8", problem: ProblemControl},
		{name: "percent at the end", target: "/a%", problem: ProblemEscape},
		{name: "percent and one digit", target: "/a%2", problem: ProblemEscape},
		{name: "not hexadecimal", target: "/a%zz", problem: ProblemEscape},
		{name: "IIS unicode escape", target: "/a%u002e%u002e", problem: ProblemEscape},
		{name: "escape in an escape", target: "/%2%65", problem: ProblemEscape},
		{name: "double encoded dot", target: "/%252e%252e/b", problem: ProblemDoubleEncoding},
		{name: "double encoded slash", target: "/a%252Fb", problem: ProblemDoubleEncoding},
		{name: "double encoded by parts", target: "/a%25%32%65", problem: ProblemEncUnreserved, refused: ProblemDoubleEncoding},
		{name: "triple encoded", target: "/%25252e", problem: ProblemDoubleEncoding},
		{name: "overlong slash", target: "/a%c0%afb", problem: ProblemUTF8},
		{name: "overlong dot", target: "/%c0%ae%c0%ae/", problem: ProblemUTF8},
		{name: "overlong of three bytes", target: "/%e0%80%af", problem: ProblemUTF8},
		{name: "lone continuation", target: "/%80", problem: ProblemUTF8},
		{name: "latin-1", target: "/caf%E9", problem: ProblemUTF8},
		{name: "surrogate", target: "/%ED%A0%80", problem: ProblemUTF8},
		{name: "cut character", target: "/%E2%80/x", problem: ProblemUTF8},
		{name: "raw UTF-8", target: "/café", problem: ProblemRawNonASCII, normalized: "/caf%C3%A9"},
		{name: "raw byte", target: "/caf\xe9", problem: ProblemRawNonASCII, refused: ProblemUTF8},
		{name: "raw full-width slash", target: "/a／b", problem: ProblemRawNonASCII, refused: ProblemConfusable},
		{name: "full-width slash", target: "/a%EF%BC%8Fb", problem: ProblemConfusable},
		{name: "full-width dots", target: "/%EF%BC%8E%EF%BC%8E/", problem: ProblemConfusable},
		{name: "two dot leader", target: "/%E2%80%A5/b", problem: ProblemConfusable},
		{name: "division slash", target: "/a%E2%88%95b", problem: ProblemConfusable},
		{name: "one dot", target: "/a/./b", problem: ProblemDotSegment, normalized: "/a/b"},
		{name: "one dot at the end", target: "/a/.", problem: ProblemDotSegment, normalized: "/a/"},
		{name: "two dots", target: "/a/../b", problem: ProblemDotSegment, normalized: "/b"},
		{name: "two dots at the end", target: "/a/b/..", problem: ProblemDotSegment, normalized: "/a/"},
		{name: "above the root", target: "/../../b", problem: ProblemDotSegment, normalized: "/b"},
		{name: "empty segment", target: "/a//b", problem: ProblemEmptySegment, normalized: "/a/b"},
		{name: "leading empty segment", target: "//a", problem: ProblemEmptySegment, normalized: "/a"},
		{name: "empty segments at the end", target: "/a//", problem: ProblemEmptySegment, normalized: "/a/"},
		{name: "only slashes", target: "//", problem: ProblemEmptySegment, normalized: "/"},
		{name: "matrix parameter", target: "/a;v=1/b", problem: ProblemMatrix, normalized: "/a/b"},
		{name: "matrix parameter hides dots", target: "/a/..;/b", problem: ProblemMatrix, normalized: "/b"},
		{name: "matrix parameter with a slash", target: "/a;x=%2fb", problem: ProblemMatrix, normalized: "/a/b"},
		{name: "matrix parameter with dots", target: "/a;x=%2f..%2f/b", problem: ProblemMatrix, normalized: "/b"},
		{name: "empty matrix parameter", target: "/a;", problem: ProblemMatrix, normalized: "/a"},
		{name: "nothing but a parameter", target: "/;jsessionid=1", problem: ProblemMatrix, normalized: "/"},
		{name: "backslash", target: `/a\..\b`, problem: ProblemBackslash, normalized: "/b"},
		{name: "encoded slash", target: "/a%2Fb", problem: ProblemEncSlash, normalized: "/a/b"},
		{name: "encoded slash, lower case", target: "/a%2f..%2fb", problem: ProblemEncSlash, normalized: "/b"},
		{name: "encoded backslash", target: "/a%5C..%5cb", problem: ProblemEncBackslash, normalized: "/b"},
		{name: "encoded dots", target: "/a/%2e%2E/b", problem: ProblemEncDot, normalized: "/b"},
		{name: "half encoded dots", target: "/a/.%2e/b", problem: ProblemEncDot, normalized: "/b"},
		{name: "encoded dots and a parameter", target: "/a/%2e%2e;/b", problem: ProblemEncDot, normalized: "/b"},
		{name: "encoded letter", target: "/%61dmin", problem: ProblemEncUnreserved, normalized: "/admin"},
		{name: "encoded tilde", target: "/%7Eu", problem: ProblemEncUnreserved, normalized: "/~u"},
		{name: "encoded semicolon", target: "/a%3Bv=1", problem: ProblemEncDelimiter},
		{name: "encoded semicolon after dots", target: "/a/..%3B/b", problem: ProblemEncDelimiter},
		{name: "encoded question mark", target: "/a%3fb", problem: ProblemEncDelimiter},
		{name: "encoded number sign", target: "/a%23b", problem: ProblemEncDelimiter},
		{name: "encoded semicolon in a parameter", target: "/a;x=%3b/b", problem: ProblemMatrix, refused: ProblemEncDelimiter},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParsePath(tt.target, "h.example", false)
			if tt.problem == "" {
				require.NoError(t, err)
				require.Equal(t, tt.target, p.Target)
				require.False(t, p.Rewritten)
			} else {
				requireProblem(t, tt.problem, err)
			}

			p, err = ParsePath(tt.target, "h.example", true)
			if tt.normalized != "" {
				require.NoError(t, err)
				require.Equal(t, tt.normalized, p.Target)
				require.Equal(t, tt.normalized != tt.target, p.Rewritten)
				return
			}
			want := tt.refused
			if want == "" {
				want = tt.problem
			}
			requireProblem(t, want, err)
		})
	}
}

func requireProblem(t *testing.T, want Problem, err error) {
	t.Helper()
	var pathError *PathError
	require.ErrorAs(t, err, &pathError)
	require.Equal(t, want, pathError.Problem)
	require.Contains(t, err.Error(), string(want))
}

// TestPathErrorOffset shows where a problem begins, for `umagate check`.
func TestPathErrorOffset(t *testing.T) {
	tests := []struct {
		name, target string
		offset       int
	}{
		{"dot segment", "/abc/../d", 5},
		{"escape", "/ab%2fc", 3},
		{"fragment in the query", "/a?b#c", 4},
		{"last segment", "/a/..", 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParsePath(tt.target, "h", false)
			var pathError *PathError
			require.True(t, errors.As(err, &pathError)) //nolint:testifylint // the value is what is looked at
			require.Equal(t, tt.offset, pathError.Offset)
		})
	}
}

// TestParsePathAllocates: an ordinary path costs no memory.
func TestParsePathAllocates(t *testing.T) {
	table := NewTable(false)
	template, err := ParseTemplate("/albums/{id}/photos/**")
	require.NoError(t, err)
	table.Add(template, 0)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		p, err := ParsePath("/albums/1/photos/2?size=3", "h", true)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := table.Match(p, nil); v != 0 {
			t.Fatal(v)
		}
	}))
}
