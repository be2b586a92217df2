package route

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParsePath looks for a path that is accepted and that another parser reads
// as another one.
func FuzzParsePath(f *testing.F) {
	for _, seed := range []string{
		"/", "/a/b?c#d", "/a/../b", "//a", "/a;x=%2f..;/b", "/%61%2e%2E%2F", "/%25%32%65", "/%c3%a9", "/é", "/%EF%BC%8F",
		"http://h/a", `/a\b`, "/a/.", "/..;/", "/%", "/%u002e", "/*", "/{x}", "/a%3Bb", "/a?%00",
	} {
		f.Add(seed, "h")
	}
	f.Fuzz(func(t *testing.T, target, authority string) {
		strict, strictErr := ParsePath(target, authority, false)
		mended, mendErr := ParsePath(target, authority, true)
		if strictErr == nil {
			require.Equal(t, target, strict.Target)
			require.False(t, strict.Rewritten)
			require.NoError(t, mendErr)
			require.Equal(t, strict, mended, "normalize changed what is canonical")
			requireOneReading(t, strict)
		}
		if mendErr != nil {
			return
		}
		again, err := ParsePath(mended.Target, authority, false)
		require.NoError(t, err, "normalize wrote what reject refuses: %q", mended.Target)
		require.Equal(t, mended.decoded, again.decoded)
		require.Equal(t, mended.slash, again.slash)
		requireOneReading(t, mended)
	})
}

// requireOneReading compares what is judged with what others make of what is
// forwarded.
func requireOneReading(t *testing.T, p Path) {
	t.Helper()
	judged := "/" + p.decoded
	if p.slash {
		judged += "/"
	}
	// net/url and with it every Go server.
	u, err := url.ParseRequestURI(p.Target)
	require.NoError(t, err)
	require.Equal(t, judged, u.Path)
	// A parser that decodes once more.
	if twice, err := url.PathUnescape(judged); err == nil {
		require.Equal(t, judged, twice)
	}
	// A parser that splits before it decodes.
	raw, _, _ := strings.Cut(p.Target, "?")
	require.Equal(t, strings.Count(raw, "/"), strings.Count(judged, "/"))
	// A parser that cleans the path, before or after it decodes.
	for _, form := range []string{raw, judged} {
		cleaned := path.Clean(form)
		if p.slash {
			cleaned += "/"
		}
		require.Equal(t, form, cleaned)
	}
	// A servlet container, which cuts path parameters before or after it decodes;
	// Windows, where a backslash is a slash; C, where NUL ends the name.
	require.NotContains(t, raw, ";")
	require.False(t, strings.ContainsAny(judged, ";\\\x00\r\n#?"), judged)
}

// TestGoMuxReadsTheSame sends every path that is accepted through net/http's own
// router, which cleans and redirects what it finds unclean.
func TestGoMuxReadsTheSame(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	for _, target := range []string{"/a/b", "/a/b/", "/a%20b", "/caf%C3%A9", "/a%26b/..c", "/100%25", "/*", "/a:b@c", "/"} {
		t.Run(target, func(t *testing.T) {
			p, err := ParsePath(target, "h", false)
			require.NoError(t, err)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h"+p.Target, nil)
			require.NoError(t, err)
			_, pattern := mux.Handler(request)
			require.Equal(t, "/", pattern, "net/http would redirect")
			require.Equal(t, strings.TrimSuffix(request.URL.Path, "/"), strings.TrimSuffix("/"+p.decoded, "/"))
		})
	}
}
