package route

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTableMatchPatterns(t *testing.T) {
	tests := []struct {
		name      string
		templates []string
		fold      bool
		path      string
		want      string
		others    []string
	}{
		{name: "suffix", templates: []string{"/{id}.json"}, path: "/1.json", want: "/{id}.json"},
		{name: "a variable is not empty", templates: []string{"/{id}.json", "/**"}, path: "/.json", want: "/**"},
		{name: "nor between two literals", templates: []string{"/a{id}a"}, path: "/aa"},
		{name: "whole segment", templates: []string{"/{id}.json"}, path: "/1.json.gz"},
		{name: "not two segments", templates: []string{"/a{id}b"}, path: "/a/b"},
		{name: "prefix", templates: []string{"/v{n}/a"}, path: "/v1/a", want: "/v{n}/a"},
		{name: "star", templates: []string{"/docs/*.pdf"}, path: "/docs/a.b.pdf", want: "/docs/*.pdf"},
		{name: "verb before a name", templates: []string{"/albums/{id}", "/albums/{id}:export"}, path: "/albums/1:export", want: "/albums/{id}:export"},
		{name: "verb encoded", templates: []string{"/albums/{id}", "/albums/{id}:export"}, path: "/albums/1%3Aexport", want: "/albums/{id}:export"},
		{name: "other verb", templates: []string{"/albums/{id}", "/albums/{id}:export"}, path: "/albums/1:import", want: "/albums/{id}"},
		{name: "parentheses", templates: []string{"/People({id})", "/{x}"}, path: "/People(1)", want: "/People({id})"},
		{name: "compare", templates: []string{"/compare/{a}...{b}", "/compare/*"}, path: "/compare/v1...v2", want: "/compare/{a}...{b}"},
		{name: "compare without an end", templates: []string{"/compare/{a}...{b}", "/compare/*"}, path: "/compare/v1...", want: "/compare/*"},
		{name: "literal first", templates: []string{"/a.json", "/{id}.json", "/*", "/{x}", "/**"}, path: "/a.json", want: "/a.json"},
		{name: "then literals around", templates: []string{"/a.json", "/{id}.json", "/*", "/{x}", "/**"}, path: "/b.json", want: "/{id}.json"},
		{name: "more specific", templates: []string{"/{id}.json", "/{id}.min.json"}, path: "/a.min.json", want: "/{id}.min.json"},
		{name: "more specific by a middle", templates: []string{"/{a}.json", "/{a}-{b}.json"}, path: "/a-b.json", want: "/{a}-{b}.json"},
		{name: "back to the less specific one", templates: []string{"/{id}.json/a", "/{id}.min.json/b"}, path: "/a.min.json/a", want: "/{id}.json/a"},
		{name: "back to a name", templates: []string{"/{id}.json/a", "/{id}/b"}, path: "/a.json/b", want: "/{id}/b"},
		{name: "neither is more specific", templates: []string{"/{id}.json", "/export-{id}"}, path: "/export-1.json", want: "/export-{id}", others: []string{"/{id}.json"}},
		{name: "but only one goes on so", templates: []string{"/{id}.json/a", "/export-{id}/b"}, path: "/export-1.json/a", want: "/{id}.json/a"},
		{name: "a third is more specific than both", templates: []string{"/{id}.json", "/export-{id}", "/export-{id}.json"}, path: "/export-1.json", want: "/export-{id}.json"},
		{name: "what is less specific than another does not count", templates: []string{"/{id}.json", "/{id}n", "/e{id}"}, path: "/e1.json", want: "/{id}.json", others: []string{"/e{id}"}},
		{name: "readings below", templates: []string{"/a{x}", "/a{x}/**", "/{x}b"}, path: "/acb/", want: "/a{x}", others: []string{"/a{x}/**", "/{x}b"}},
		{name: "trailing slash", templates: []string{"/{id}.json"}, path: "/a.json/", want: "/{id}.json"},
		{name: "case counts", templates: []string{"/{id}.JSON"}, path: "/a.json"},
		{name: "case does not count", templates: []string{"/{id}.JSON"}, fold: true, path: "/A.json", want: "/{id}.JSON"},
		{name: "above ASCII", templates: []string{"/é{id}"}, path: "/%C3%A91", want: "/é{id}"},
		{name: "a star in the path is a character", templates: []string{"/{id}%2A"}, path: "/a*", want: "/{id}%2A"},
		{name: "an encoded brace is no variable", templates: []string{"/%7Bid%7D.json"}, path: "/1.json"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, reversed := range []bool{false, true} { // the order of Add does not matter
				table := NewTable(tt.fold)
				for i := range tt.templates {
					if reversed {
						i = len(tt.templates) - 1 - i
					}
					template, err := ParseTemplate(tt.templates[i])
					require.NoError(t, err)
					_, added := table.Add(template, i)
					require.True(t, added)
				}
				p, err := ParsePath(tt.path, "h", false)
				require.NoError(t, err)
				value, others := table.Match(p, nil)
				require.Equal(t, tt.want, nameOf(tt.templates, value))
				var names []string
				for _, other := range others {
					names = append(names, nameOf(tt.templates, other.Value))
				}
				require.ElementsMatch(t, tt.others, names)
			}
		})
	}
}

func TestTableAddPatternTwice(t *testing.T) {
	table := NewTable(true)
	for i, tt := range []struct {
		source  string
		present int
		added   bool
	}{
		{"/{x}.json", 0, true},
		{"/{y}.JSON", 0, false},
		{"/*.json", 0, false},
		{"/{x}.json/", 3, true},
		{"/{x}%2Ejson", 0, false},
		{"/{a}-{b}.json", 5, true},
		{"/{b}-{a}.json", 5, false},
		{"/{x}", 7, true},
	} {
		template, err := ParseTemplate(tt.source)
		require.NoError(t, err)
		present, added := table.Add(template, i)
		require.Equal(t, tt.added, added, tt.source)
		require.Equal(t, tt.present, present, tt.source)
	}
}

func TestValue(t *testing.T) {
	tests := []struct{ name, template, path, variable, want string }{ // "" when it has no place
		{"whole segment", "/a/{id}", "/a/1.json", "id", "1.json"},
		{"before text", "/a/{id}.json", "/a/1.json", "id", "1"},
		{"before text twice", "/a/{id}.json", "/a/1.json.json", "id", "1.json"},
		{"after text", "/a/v{id}/x", "/a/vv/x", "id", "v"},
		{"between text", "/({id})", "/(caf%C3%A9)", "id", "café"},
		{"beside another one", "/{a}-{b}", "/1-2", "a", ""},
		{"beside a star", "/{a}-*", "/1-2", "a", ""},
		{"another name", "/{a}/{b}.x", "/1/2.x", "c", ""},
		{"a star has no name", "/*.x", "/2.x", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template, err := ParseTemplate(tt.template)
			require.NoError(t, err)
			at, ok := template.Place(tt.variable)
			require.Equal(t, tt.want != "", ok)
			p, err := ParsePath(tt.path, "h", false)
			require.NoError(t, err)
			if ok {
				require.Equal(t, tt.want, p.Value(at))
			}
		})
	}
}

// TestPatternsAgainstModel compares the table with regular expressions: which
// templates match, and which of them are more specific than another by all words
// that there are.
func TestPatternsAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	words := words()
	ambiguous := 0
	for range 800 {
		var sources []string
		table := NewTable(false)
		for range 1 + random.IntN(6) {
			source := "/" + randomSegment(random)
			if random.IntN(3) == 0 {
				source += "/" + randomSegment(random)
			}
			template, err := ParseTemplate(strings.Replace(source, "{x}", "{y}", 1))
			require.NoError(t, err, source)
			if _, added := table.Add(template, len(sources)); added {
				sources = append(sources, source)
			}
		}
		for range 10 {
			path := "/" + words[random.IntN(len(words))]
			if random.IntN(3) == 0 {
				path += "/" + words[random.IntN(len(words))]
			}
			p, err := ParsePath(path, "h", false)
			require.NoError(t, err)
			value, others := table.Match(p, nil)
			got := []string{nameOf(sources, value)}
			for _, other := range others {
				got = append(got, nameOf(sources, other.Value))
			}
			want := model(sources, strings.Split(path[1:], "/"), words)
			require.ElementsMatch(t, want, got, "%q of %q", path, sources)
			if len(want) > 1 {
				ambiguous++
			}
		}
	}
	require.Greater(t, ambiguous, 100, "the model had little to say")
}

func words() []string {
	list := []string{""}
	for from := 0; len(list[len(list)-1]) < 6; {
		to := len(list)
		for _, w := range list[from:to] {
			list = append(list, w+"a", w+"b", w+"c")
		}
		from = to
	}
	return list[1:]
}

func randomSegment(random *rand.Rand) string {
	switch random.IntN(8) {
	case 0:
		return "*"
	case 1:
		return "{x}"
	}
	literal := func(least int) string {
		var b strings.Builder
		for range least + random.IntN(2) {
			b.WriteByte("ab"[random.IntN(2)])
		}
		return b.String()
	}
	s := literal(0)
	for i := range random.IntN(3) {
		if i > 0 {
			s += literal(1)
		}
		s += "*"
	}
	if s += literal(0); strings.Trim(s, "*") == "" {
		return "a*"
	}
	return s
}

// model gives the templates that decide a path: what is preferred at the first
// segment, and so on to the right.
func model(sources []string, path, words []string) []string {
	matching := slices.DeleteFunc(slices.Clone(sources), func(source string) bool {
		segments := strings.Split(source[1:], "/")
		if len(segments) != len(path) {
			return true
		}
		for i, s := range segments {
			if !segmentExpression(s).MatchString(path[i]) {
				return true
			}
		}
		return false
	})
	if len(matching) == 0 {
		return []string{""}
	}
	for i := range path {
		at := func(source string) string { return strings.Split(source[1:], "/")[i] }
		// A segment goes when another one of those that match is preferred, among
		// templates that are the same so far.
		matching = slices.DeleteFunc(slices.Clone(matching), func(source string) bool {
			return slices.ContainsFunc(matching, func(other string) bool {
				return slices.Equal(strings.Split(other, "/")[:i+1], strings.Split(source, "/")[:i+1]) && preferred(at(other), at(source), words)
			})
		})
	}
	return matching
}

func preferred(a, b string, words []string) bool {
	if kindOf(a) != kindOf(b) {
		return kindOf(a) < kindOf(b)
	}
	if kindOf(a) != 1 || a == b {
		return false
	}
	all, same := true, true
	for _, w := range words {
		x, y := segmentExpression(a).MatchString(w), segmentExpression(b).MatchString(w)
		all, same = all && (!x || y), same && x == y
	}
	return all && !same
}

func kindOf(segment string) int {
	switch {
	case segment == "*":
		return 3
	case segment == "{x}":
		return 2
	case strings.Contains(segment, "*"):
		return 1
	}
	return 0
}

var expressions = map[string]*regexp.Regexp{}

func segmentExpression(segment string) *regexp.Regexp {
	if expressions[segment] == nil {
		text := strings.NewReplacer("*", "[^/]+", "{x}", "[^/]+").Replace(segment)
		expressions[segment] = regexp.MustCompile("^(?:" + text + ")$")
	}
	return expressions[segment]
}

// FuzzPattern compares a pattern with a regular expression.
func FuzzPattern(f *testing.F) {
	for _, seed := range [][2]string{
		{"{id}.json", "1.json"},
		{"({id})", "(1)"},
		{"{a}...{b}", "v1....v2"},
		{"{id}:export", ":export"},
		{"*.pdf", "a.pdf.pdf"},
		{"a{x}b{y}a", "abababa"},
		{"{x}%25*", "%25%25"},
		{"{x}é", "%C3%A9%C3%A9"},
		{"{a}aa{b}aa{c}", "aaaaaaaaa"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, segment, path string) {
		template, err := ParseTemplate("/" + segment)
		if err != nil || len(template.segments) != 1 || template.segments[0].kind != mixed {
			return
		}
		p, err := ParsePath("/"+path, "h", false)
		if err != nil || strings.Contains(p.decoded, "/") {
			return
		}
		s := template.segments[0]
		text := strings.ReplaceAll(regexp.QuoteMeta(s.text), variable, "(.+)")
		expression := regexp.MustCompile("(?s)^" + text + "$")
		table := NewTable(false)
		table.Add(template, 0)
		value, others := table.Match(p, nil)
		require.Empty(t, others)
		// Literals are whole characters, so bytes and characters match alike.
		require.Equal(t, expression.MatchString(p.decoded), value == 0, "%q of %q", p.decoded, segment)
		if at, ok := template.Place(s.names[0]); ok && value == 0 {
			require.Equal(t, expression.FindStringSubmatch(p.decoded)[1], p.Value(at))
		}
	})
}

// TestPatternsAllocate: a segment among thousands of patterns costs no memory.
func TestPatternsAllocate(t *testing.T) {
	table := manyPatterns(t)
	p, err := ParsePath("/albums/"+strings.Repeat("7", 100)+":verb9999", "h", false)
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if v, others := table.Match(p, nil); v != 9999 || len(others) > 0 {
			t.Fatal(v, others)
		}
	}))
}

func manyPatterns(tb testing.TB) *Table {
	tb.Helper()
	table := NewTable(false)
	for i := range 10_000 {
		template, err := ParseTemplate(fmt.Sprintf("/albums/{id}:verb%d", i))
		require.NoError(tb, err)
		table.Add(template, i)
	}
	return table
}

func BenchmarkMatchPatterns(b *testing.B) {
	many := manyPatterns(b)
	hard := NewTable(false) // finds its literals everywhere, and the end nowhere
	template, err := ParseTemplate("/" + strings.Repeat("*a", 40) + "*b")
	require.NoError(b, err)
	hard.Add(template, 0)
	for _, bb := range []struct {
		name  string
		table *Table
		path  string
	}{
		{"10k", many, "/albums/1:verb777"},
		{"hard", hard, "/" + strings.Repeat("a", MaxPath-2) + "c"},
		{"harder", hard, "/" + strings.Repeat("a", MaxPath-2) + "b"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			p, err := ParsePath(bb.path, "h", false)
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				bb.table.Match(p, nil)
			}
		})
	}
}
