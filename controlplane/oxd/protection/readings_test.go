package protection_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/plugin/route"
)

func FuzzReadings(f *testing.F) {
	for _, s := range []string{"/a", "//a", "/a/../b", "/a;x/b", "/a%2Fb", "/%252e", "/%", "a", "http://h/a", "/a?b=%2F", "/%00", "", "*", `\a`, "/a%3Fb/../c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		paths, ok := protection.Readings(target)
		for _, p := range paths {
			parsed, err := route.ParsePath(p, "", false)
			require.NoError(t, err, "a reading has one reading")
			require.Equal(t, p, parsed.Target)
		}
		if !ok {
			return
		}
		require.NotEmpty(t, paths)
		// What the filter would rewrite it to is among them.
		if parsed, err := route.ParsePath(target, "", true); err == nil {
			canonical, err := route.ParsePath(parsed.Target, "", false)
			require.NoError(t, err)
			require.Contains(t, withoutQuery(paths), withoutQuery([]string{canonical.Target})[0])
		}
	})
}

func withoutQuery(targets []string) []string {
	var out []string
	for _, s := range targets {
		for i := range len(s) {
			if s[i] == '?' {
				s = s[:i]
				break
			}
		}
		out = append(out, s)
	}
	return out
}
