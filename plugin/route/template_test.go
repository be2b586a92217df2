package route

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseTemplate(t *testing.T) {
	tests := []struct {
		name, source string
		err          error
		names        []string
	}{
		{name: "root", source: "/"},
		{name: "everything", source: "/**"},
		{name: "literal", source: "/a/b-c_d~e.f"},
		{name: "trailing slash", source: "/a/"},
		{name: "names", source: "/albums/{id}/photos/{photo-2}/*/**", names: []string{"id", "photo-2"}},
		{name: "decoded literal", source: "/café"},
		{name: "encoded literal", source: "/caf%C3%A9"},
		{name: "literal star", source: "/a%2Ab"},
		{name: "literal braces", source: "/%7Ba%7D"},
		{name: "needless escape", source: "/%61"},
		{name: "suffix", source: "/*.pdf"},
		{name: "prefix", source: "/a*"},
		{name: "name before text", source: "/{id}:export", names: []string{"id"}},
		{name: "name in parentheses", source: "/({id})", names: []string{"id"}},
		{name: "names apart", source: "/{a}...{b}/{c}-*", names: []string{"a", "b", "c"}},
		{name: "dots beside a name", source: "/..{id}", names: []string{"id"}},
		{name: "encoded text beside a name", source: "/{id}%2Acaf%C3%A9", names: []string{"id"}},

		{name: "empty", source: "", err: ErrTemplateSlash},
		{name: "no slash", source: "a/b", err: ErrTemplateSlash},
		{name: "rest is not last", source: "/**/a", err: ErrTemplateRest},
		{name: "rest with a slash", source: "/a/**/", err: ErrTemplateRest},
		{name: "rest twice", source: "/**/**", err: ErrTemplateRest},
		{name: "three stars", source: "/***", err: ErrTemplateApart},
		{name: "rest of a segment", source: "/a**", err: ErrTemplateApart},
		{name: "two names with nothing between", source: "/{a}{b}", err: ErrTemplateApart},
		{name: "name and star", source: "/a{b}*", err: ErrTemplateApart},
		{name: "open brace", source: "/{id", err: ErrTemplateName},
		{name: "closing brace", source: "/id}", err: ErrTemplateName},
		{name: "open brace after text", source: "/a{id", err: ErrTemplateName},
		{name: "closing brace after a name", source: "/{id}}", err: ErrTemplateName},
		{name: "braces in braces", source: "/a{{id}}", err: ErrTemplateName},
		{name: "no name beside text", source: "/a{}", err: ErrTemplateName},
		{name: "name twice in a segment", source: "/{id}-{id}", err: ErrTemplateName},
		{name: "name twice, beside text", source: "/{id}/{id}.json", err: ErrTemplateName},
		{name: "encoded slash beside a name", source: "/{id}%2Fb", err: ErrTemplateLiteral},
		{name: "matrix parameter beside a name", source: "/{id};v=1", err: ErrTemplateLiteral},
		{name: "backslash beside a name", source: `/{id}\b`, err: ErrTemplateLiteral},
		{name: "space beside a name", source: "/{id} b", err: ErrTemplateLiteral},
		{name: "escape cut by a name", source: "/%2{id}", err: ErrTemplateLiteral},
		{name: "full-width slash beside a name", source: "/{id}／b", err: ErrTemplateLiteral},
		{name: "no name", source: "/{}", err: ErrTemplateName},
		{name: "name of a pattern", source: "/{id:[0-9]+}", err: ErrTemplateName},
		{name: "name begins with a digit", source: "/{1}", err: ErrTemplateName},
		{name: "name twice", source: "/{id}/{id}", err: ErrTemplateName},
		{name: "empty segment", source: "/a//b", err: ErrTemplateLiteral},
		{name: "two slashes", source: "//", err: ErrTemplateLiteral},
		{name: "dot segment", source: "/a/../b", err: ErrTemplateLiteral},
		{name: "encoded dot segment", source: "/a/%2e%2e", err: ErrTemplateLiteral},
		{name: "encoded slash", source: "/a%2Fb", err: ErrTemplateLiteral},
		{name: "backslash", source: `/a\b`, err: ErrTemplateLiteral},
		{name: "matrix parameter", source: "/a;b", err: ErrTemplateLiteral},
		{name: "encoded semicolon", source: "/a%3Bb", err: ErrTemplateLiteral},
		{name: "space", source: "/a b", err: ErrTemplateLiteral},
		{name: "NUL", source: "/a%00", err: ErrTemplateLiteral},
		{name: "bad escape", source: "/a%zz", err: ErrTemplateLiteral},
		{name: "double encoding", source: "/a%2541", err: ErrTemplateLiteral},
		{name: "bad UTF-8", source: "/\xff", err: ErrTemplateLiteral},
		{name: "full-width slash", source: "/a／b", err: ErrTemplateLiteral},
		{name: "query", source: "/a?b", err: ErrTemplateQuery},
		{name: "fragment", source: "/a#b", err: ErrTemplateQuery},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			template, err := ParseTemplate(tt.source)
			require.ErrorIs(t, err, tt.err)
			if tt.err == nil {
				require.Equal(t, tt.source, template.String())
				require.Equal(t, tt.names, template.Names())
			}
		})
	}
}

func TestTableMatch(t *testing.T) {
	tests := []struct {
		name      string
		templates []string
		fold      bool
		path      string
		want      string // the template; "" is none
		other     string // the other reading
	}{
		{name: "nothing", templates: []string{"/a"}, path: "/b"},
		{name: "empty table", path: "/"},
		{name: "root", templates: []string{"/", "/**"}, path: "/", want: "/"},
		{name: "rest of the root", templates: []string{"/**"}, path: "/", want: "/**"},
		{name: "rest is everything", templates: []string{"/**"}, path: "/a/b/c", want: "/**"},
		{name: "rest may be nothing", templates: []string{"/a/**"}, path: "/a", want: "/a/**"},
		{name: "rest may be a slash", templates: []string{"/a/**"}, path: "/a/", want: "/a/**"},
		{name: "rest matches whole segments", templates: []string{"/a/**"}, path: "/ab"},
		{name: "one segment", templates: []string{"/a/*"}, path: "/a/b", want: "/a/*"},
		{name: "one segment is not two", templates: []string{"/a/*"}, path: "/a/b/c"},
		{name: "one segment is not none", templates: []string{"/a/*"}, path: "/a/"},
		{name: "a name is one segment", templates: []string{"/a/{x}"}, path: "/a/b/c"},
		{name: "literal first", templates: []string{"/**", "/*", "/{x}", "/a"}, path: "/a", want: "/a"},
		{name: "then a name", templates: []string{"/**", "/*", "/{x}", "/a"}, path: "/b", want: "/{x}"},
		{name: "then one segment", templates: []string{"/**", "/*", "/a"}, path: "/b", want: "/*"},
		{name: "then the rest", templates: []string{"/**", "/*", "/a"}, path: "/b/c", want: "/**"},
		{name: "from left to right", templates: []string{"/a/**", "/{x}/b"}, path: "/a/b", want: "/a/**"},
		{name: "back to a name", templates: []string{"/a/b", "/{x}/c"}, path: "/a/c", want: "/{x}/c"},
		{name: "back to the rest", templates: []string{"/a/b/c", "/**"}, path: "/a/b/d", want: "/**"},
		{name: "back over a trailing slash", templates: []string{"/a/", "/{x}/c"}, path: "/a/c", want: "/{x}/c"},
		{name: "decoded", templates: []string{"/café"}, path: "/caf%C3%A9", want: "/café"},
		{name: "encoded template", templates: []string{"/a%26b"}, path: "/a&b", want: "/a%26b"},
		{name: "a star in the path is a character", templates: []string{"/a/*", "/a/%2A"}, path: "/a/*", want: "/a/%2A"},
		{name: "braces in the path are characters", templates: []string{"/a/{x}"}, path: "/a/{x}/b"},
		{name: "case counts", templates: []string{"/Admin"}, path: "/admin"},
		{name: "case does not count", templates: []string{"/Admin/{x}"}, fold: true, path: "/aDMIN/X", want: "/Admin/{x}"},
		{name: "case of ASCII only", templates: []string{"/É"}, fold: true, path: "/%C3%A9"},
		{name: "slash in the path only", templates: []string{"/a"}, path: "/a/", want: "/a"},
		{name: "slash in the template only", templates: []string{"/a/"}, path: "/a", want: "/a/"},
		{name: "slash in both", templates: []string{"/a", "/a/"}, path: "/a/", want: "/a/"},
		{name: "slash in neither", templates: []string{"/a", "/a/"}, path: "/a", want: "/a"},
		{name: "slash after a name", templates: []string{"/{x}"}, path: "/a/", want: "/{x}"},
		{name: "two readings", templates: []string{"/a", "/a/**"}, path: "/a/", want: "/a", other: "/a/**"},
		{name: "one reading", templates: []string{"/a", "/a/**"}, path: "/a", want: "/a"},
		{name: "two readings, other way", templates: []string{"/a/", "/a/**"}, path: "/a", want: "/a/", other: "/a/**"},
		{name: "decided by a template of its own", templates: []string{"/a", "/a/", "/a/**"}, path: "/a/", want: "/a/"},
		{name: "two readings below a name", templates: []string{"/{x}", "/{x}/**"}, path: "/b/", want: "/{x}", other: "/{x}/**"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, order := range []int{1, -1} { // the order of Add does not matter
				table := NewTable(tt.fold)
				for i := range tt.templates {
					at := i
					if order < 0 {
						at = len(tt.templates) - 1 - i
					}
					template, err := ParseTemplate(tt.templates[at])
					require.NoError(t, err)
					present, added := table.Add(template, at)
					require.True(t, added)
					require.Equal(t, at, present)
				}
				p, err := ParsePath(tt.path, "h", false)
				require.NoError(t, err)
				value, others := table.Match(p, nil)
				require.Equal(t, tt.want, nameOf(tt.templates, value))
				require.Equal(t, tt.other, otherName(tt.templates, others))
			}
		})
	}
}

func nameOf(templates []string, value int) string {
	if value < 0 {
		return ""
	}
	return templates[value]
}

func otherName(templates []string, others []Other) string {
	if len(others) == 0 {
		return ""
	}
	return nameOf(templates, others[0].Value)
}

func TestTableAddTwice(t *testing.T) {
	table := NewTable(true)
	for i, tt := range []struct {
		source  string
		present int
		added   bool
	}{
		{"/a/{x}", 0, true},
		{"/A/{y}", 0, false},
		{"/a/*", 2, true},
		{"/a/{x}/", 3, true},
		{"/a/{x}/**", 4, true},
		{"/caf%C3%A9", 5, true},
		{"/café", 5, false},
	} {
		template, err := ParseTemplate(tt.source)
		require.NoError(t, err)
		present, added := table.Add(template, i)
		require.Equal(t, tt.added, added, tt.source)
		require.Equal(t, tt.present, present, tt.source)
	}
}

func TestPrefix(t *testing.T) {
	for _, source := range []string{"", "/", "a", "/a/", "/a//b", "/a/../b", "/.", "/a.", "/{x}", "/a/*", "/**", "/caf%C3%A9", "/caf\u00e9", "/%61", "/a;b", "/a b", "/a?b", "/a+b"} {
		_, err := ParsePrefix(source)
		require.ErrorIs(t, err, ErrPrefix, source)
	}
	template, err := ParsePrefix("/tenants/a.b-c_~1")
	require.NoError(t, err)
	table := NewTable(false)
	table.Add(template, 7)
	for path, want := range map[string]int{
		"/tenants/a.b-c_~1": 7, "/tenants/a.b-c_~1/": 7, "/tenants/a.b-c_~1/x/y": 7,
		"/tenants/a.b-c_~12": -1, "/tenants": -1, "/tenants/a": -1, "/Tenants/a.b-c_~1": -1, "/x/tenants/a.b-c_~1": -1,
	} {
		p, err := ParsePath(path, "", false)
		require.NoError(t, err)
		got, others := table.Match(p, nil)
		require.Equal(t, want, got, path)
		require.Empty(t, others)
	}
}
