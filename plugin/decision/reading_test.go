package decision_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

// mixed has public paths beside guarded ones.
func mixed(s *config.Site) {
	s.Resources = []config.Resource{
		{Name: "open", Conditions: []config.Condition{
			{Paths: []string{"/{page}", "/docs/{page}", "/static/**", "/wiki/**", "/Япония", "/Япония/{x}", "/album/v{n}/{x}"}, Public: true},
		}},
		{Name: "guarded", ID: "r1", Conditions: []config.Condition{
			{Paths: []string{"/admin/**", "/docs/secret", "/docs/secret/**", "/albums", "/albums/{id}/**", "/wiki/private/**", "/пония", "/{x}/{y}/{z}"}, Scopes: []string{"view"}},
			{Paths: []string{"/albums/{id}"}, Scopes: []string{"edit"}},
		}},
	}
}

// TestSecondReading has paths that are canonical and that some server reads as the
// path of another condition.
func TestSecondReading(t *testing.T) {
	unmatched := func(s *config.Site) {
		mixed(s)
		s.Unmatched = config.UnmatchedAllow
		s.Resources[0].Conditions[0].Paths = s.Resources[0].Conditions[0].Paths[1:]
	}
	authenticated := func(s *config.Site) {
		unmatched(s)
		s.Unmatched = config.UnmatchedAuthenticated
	}
	tests := []struct {
		name, path string
		change     func(*config.Site)
		want       string // of "passes" and "refused"
	}{
		{name: "low byte is a slash", path: "/adminįpanel", want: "refused"},
		{name: "Cyrillic", path: "/adminЯpanel", want: "refused"},
		{name: "at the end", path: "/adminЯ", want: "refused"},
		{name: "below a parameter", path: "/albumsЯ42", want: "refused"},
		{name: "beyond 16 bits, low half", path: "/admin\U0001F42Fpanel", want: "refused"},
		{name: "beyond 16 bits, high half", path: "/admin\U0001BC00panel", want: "refused"},
		{name: "low bytes are dots", path: "/static/ĮĮ/admin/x", want: "refused"},
		{name: "one of two dots", path: "/static/.Ю/admin/x", want: "refused"},
		{name: "low byte is a backslash", path: "/adminќpanel", want: "refused"},
		{name: "low byte is a semicolon", path: "/adminлx", want: "refused"},
		{name: "dots before a semicolon", path: "/static/..л/admin", want: "refused"},
		{name: "low byte is a question mark", path: "/adminп.css", want: "refused"},
		{name: "low byte is a number sign", path: "/adminУ.css", want: "refused"},
		{name: "low byte is a line end", path: "/adminĊ.css", want: "refused"},
		{name: "low byte is a blank", path: "/adminĠx", want: "refused"},
		{name: "low byte is NUL", path: "/adminĀ.css", want: "refused"},
		{name: "low bytes are an escape", path: "/adminХ2fx", want: "refused"},
		{name: "low bytes are the digits, too", path: "/adminХвцx", want: "refused"},
		{name: "blank at the end", path: "/admin ", want: "refused"},
		{name: "blank at the beginning", path: "/ admin", want: "refused"},
		{name: "blank inside a path", path: "/wiki/ private/x", want: "refused"},
		{name: "other blank", path: "/admin\u00a0", want: "refused"},
		{name: "blank and nothing", path: "/albums/ ", want: "refused"},
		{name: "dot at the end", path: "/admin.", want: "refused"},
		{name: "dots and blanks", path: "/admin. .", want: "refused"},
		{name: "stream", path: "/docs/secret::$DATA", want: "refused"},
		{name: "stream of a directory", path: "/admin:$i30:$INDEX_ALLOCATION", want: "refused"},
		{name: "two dots after a prefix", path: "/static../admin/x", want: "refused"},
		{name: "two dots after a part of the path", path: "/wiki/x../private/b", want: "refused"},
		{name: "a slash nobody has", path: "/docs/aЯb/c", want: "401"},
		{name: "nothing names the other reading, and the path is public", path: "/docs/aЯbЯc", want: "refused"},
		{name: "guarded, by the same condition", path: "/albums/1/aЯb", want: "401"},
		{name: "guarded, by another condition", path: "/albums/aЯb", want: "refused"},
		{name: "nothing names the path, which passes", path: "/adminЯpanel", change: unmatched, want: "refused"},
		{name: "nothing names the path, which any token passes", path: "/adminЯpanel", change: authenticated, want: "refused"},
		{name: "nothing names either, and any token passes", path: "/xЯy", change: authenticated, want: "401"},
		{name: "nothing names the other, which any token passes", path: "/docs/aЯbЯc", change: authenticated, want: "refused"},
		{name: "nothing names either", path: "/xЯy", change: unmatched, want: "passes"},
		{name: "nothing names the other, which passes", path: "/docs/aЯbЯc", change: unmatched, want: "passes"},

		{name: "no delimiter", path: "/café", want: "passes"},
		{name: "Cyrillic words", path: "/wiki/Яблоко/план/лев", want: "passes"},
		{name: "Cyrillic words of one segment", path: "/docs/план", want: "passes"},
		{name: "Chinese", path: "/wiki/技术文档", want: "passes"},
		{name: "blanks inside", path: "/docs/a b", want: "passes"},
		{name: "dots inside", path: "/docs/a..b", want: "passes"},
		{name: "dots at the end", path: "/wiki/a../b./...", want: "passes"},
		{name: "dots at the beginning", path: "/..well-known", want: "passes"},
		{name: "colon and dollar", path: "/docs/a:$b", want: "passes"},
		{name: "what the file writes itself", path: "/Япония", want: "passes"},
		{name: "what follows it", path: "/Япония/x", want: "passes"},
		{name: "guarded word", path: "/albums/1/Яблоко", want: "401"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			change := mixed
			if tt.change != nil {
				change = tt.change
			}
			h := newHarness(t, siteOf(change))
			target := (&url.URL{Path: tt.path}).EscapedPath()
			x, step := h.start(ask("GET", target, "token"))
			switch tt.want {
			case "passes":
				require.True(t, strings.HasPrefix(outcome(x, step), "allow "), "%s: %s", target, outcome(x, step))
			case "401":
				require.Equal(t, 1, h.asked, "the token is asked for")
			default:
				require.Equal(t, "400 ambiguous_path", outcome(x, step), target)
				require.EqualValues(t, "second_reading", x.Decision().Problem)
			}
		})
	}
}

// TestSecondReadingIsOfTheSameInstance: who may see one box must not reach another by
// a path of the first that a server reads as one of the second, though the condition
// is the same.
func TestSecondReadingIsOfTheSameInstance(t *testing.T) {
	tests := []struct {
		name, path string
		want       string // the values looked up; "" when it is refused
	}{
		{"low bytes are dots", "/boxes/7/ĮĮ/8", ""},
		{"low bytes are a way up and down", "/boxes/7/xЯ..Я..Я8", ""},
		{"dots and a blank", "/boxes/7/.. /8", ""},
		{"dots and a blank, further down", "/boxes/7/a/.. /.. /8/b", ""},
		{"two dots after a prefix", "/boxes/7/x../..y../8../8", `["7"]`},
		{"a variable before it that splits", "/users/aЯtagsЯ8Ā/tags/7", ""},
		{"the same by the way of another", "/boxes/7/x/.. /y", `["7"]`},
		{"up, and down again", "/boxes/7/x/.. /.. /7/y", ""},
		{"a word", "/boxes/Яблоко", `["Яблоко"]`},
		{"words", "/boxes/лимпопо/техпаспорт", `["лимпопо"]`},
		{"a blank at the end is another instance, which nobody has", "/boxes/8 ", `["8 "]`},
		{"what a server may cut off, too", "/boxes/8Ā7", `["8Ā7"]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, owned())
			target := (&url.URL{Path: tt.path}).EscapedPath()
			x, step := h.start(ask("GET", target, "token"))
			if tt.want == "" {
				require.Equal(t, "400 ambiguous_path", outcome(x, step), target)
				require.EqualValues(t, "second_reading", x.Decision().Problem)
				return
			}
			require.Contains(t, looked(t, step), `"values":`+tt.want)
		})
	}
}

// TestSecondReadingsAreBounded: a path of 16 KiB that has to be read in every way took
// a worker a hundred times as long as any other.
func TestSecondReadingsAreBounded(t *testing.T) {
	h := newHarness(t, siteOf(mixed))
	for _, tt := range []struct{ name, path, want string }{
		{"long", "/wiki/%20" + strings.Repeat("a", route.MaxOddPath-9), "allow public"},
		{"longer", "/wiki/%20" + strings.Repeat("a", route.MaxOddPath-8), "400 ambiguous_path"},
		{"longer, of letters", "/wiki/" + strings.Repeat("%D0%AF", 700), "400 ambiguous_path"},
		{"longer, of segments that end in dots", "/wiki" + strings.Repeat("/a..", 1100), "400 ambiguous_path"},
		{"longer, not odd", "/wiki" + strings.Repeat("/a", 5000), "allow public"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, step := h.start(ask("GET", tt.path, ""))
			require.Equal(t, tt.want, outcome(x, step))
		})
	}
}

// TestSecondReadingOfLetters: no letter is refused where it meets no other rule.
func TestSecondReadingOfLetters(t *testing.T) {
	h := newHarness(t)
	for r := rune(0xA1); r < 0x3000; r++ {
		path := "/open/x" + string(r) + "y"
		x, step := h.start(ask("GET", (&url.URL{Path: path}).EscapedPath(), ""))
		if x.Decision().Problem == "confusable_character" || x.Decision().Problem == "control_byte" || x.Decision().Problem == "invalid_utf8" {
			continue
		}
		require.Equal(t, "allow public", outcome(x, step), "%U", r)
	}
}
