package decision_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// telling has the API told claims.
func telling(c *config.Config) {
	c.Sites[0].ClaimHeaders = []config.ClaimHeader{
		{Name: "x-uma-groups", Path: []string{"groups"}},
		{Name: "x-uma-roles", Path: []string{"realm_access", "roles"}},
		{Name: "x-uma-a", Path: []string{"a"}},
		{Name: "x-uma-b", Path: []string{"b"}},
		{Name: "x-uma-c", Path: []string{"c"}},
	}
}

func TestClaimHeaders(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, claims string
		want         map[string]string
	}{
		{"a text", `"groups":"staff"`, map[string]string{"x-uma-groups": "staff"}},
		{"a list", `"groups":["staff","crew"]`, map[string]string{"x-uma-groups": "staff,crew"}},
		{"nested", `"realm_access":{"roles":["a","b"]}`, map[string]string{"x-uma-roles": "a,b"}},
		{"commas", `"groups":["a,b","c"],"a":"d,e"`, map[string]string{"x-uma-groups": "a%2Cb,c", "x-uma-a": "d%2Ce"}},
		{"line ends", `"groups":["a\r\nx-uma-subject: root","b\u0000"]`, map[string]string{"x-uma-groups": "a%0D%0Ax-uma-subject: root,b%00"}},
		{"percent and letters", `"groups":"100%2C ö"`, map[string]string{"x-uma-groups": "100%252C %C3%B6"}},
		{"ends", `"groups":[" a "," "]`, map[string]string{"x-uma-groups": "%20a%20,%20"}},
		{"empty texts", `"groups":["","a",""],"a":""`, map[string]string{"x-uma-groups": "a"}},
		{"numbers and truth", `"groups":[1,-7,"x"],"a":true,"b":9007199254740993`, map[string]string{"x-uma-groups": "1,-7,x", "x-uma-a": "true", "x-uma-b": "9007199254740993"}},
		{"no text", `"groups":1.5,"a":{},"b":["x",1e3],"c":null`, nil},
		{"twice", `"groups":"a","groups":"a"`, nil},
		{"as long as can be", `"a":"` + long(4096) + `"`, map[string]string{"x-uma-a": long(4096)}},
		{"too long", `"a":"` + long(4097) + `","b":"x"`, map[string]string{"x-uma-b": "x"}},
		{"too long with its escapes", `"a":"` + long(4090) + `,,,","b":"x"`, map[string]string{"x-uma-b": "x"}},
		{"too long as a list", `"a":["` + long(4090) + `","` + long(10) + `"]`, nil},
		{
			"too long together", `"groups":"` + long(4096) + `","realm_access":{"roles":"` + long(4096) + `"},"a":"` + long(4096) + `","b":"` + long(4095) + `","c":"xx"`,
			map[string]string{"x-uma-groups": long(4096), "x-uma-roles": long(4096), "x-uma-a": long(4096), "x-uma-b": long(4095)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, telling)
			r := ask("GET", "/albums/1", "token", "x-uma-groups", "forged", "X_Uma.Roles", "forged")
			_, step := h.decide(r, withMembers(tt.claims))
			require.Equal(t, decision.KindAllow, step.Kind)
			for _, name := range []string{"x-uma-groups", "x-uma-roles", "x-uma-a", "x-uma-b", "x-uma-c"} {
				require.Equal(t, tt.want[name], value(t, step.Allow.Set, name), name)
			}
			require.Subset(t, step.Allow.Remove, []string{"x-uma-groups", "X_Uma.Roles"})
			require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
		})
	}
	h := newHarness(t, telling, siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }))
	x, step := h.decide(ask("GET", "/albums/1", "token"), `{"active":true,"groups":"staff"}`)
	require.Equal(t, "monitor insufficient_permission", outcome(x, step))
	require.Empty(t, step.Allow.Set, "nobody is told of who would be denied")
}

func TestCompileClaimHeaders(t *testing.T) {
	for name, tt := range map[string]struct {
		h  config.ClaimHeader
		at string
	}{
		"of the client":    {config.ClaimHeader{Name: "x-user", Path: []string{"sub"}}, "name"},
		"in capitals":      {config.ClaimHeader{Name: "x-uma-User", Path: []string{"sub"}}, "name"},
		"with a low line":  {config.ClaimHeader{Name: "x-uma-a_b", Path: []string{"sub"}}, "name"},
		"no name":          {config.ClaimHeader{Name: "x-uma-", Path: []string{"sub"}}, "name"},
		"with a line end":  {config.ClaimHeader{Name: "x-uma-a\n", Path: []string{"sub"}}, "name"},
		"another's":        {config.ClaimHeader{Name: "x-uma-subject", Path: []string{"sub"}}, "name"},
		"twice":            {config.ClaimHeader{Name: "x-uma-groups", Path: []string{"sub"}}, "name"},
		"of no claim":      {config.ClaimHeader{Name: "x-uma-z"}, "path"},
		"of an empty name": {config.ClaimHeader{Name: "x-uma-z", Path: []string{""}}, "path"},
	} {
		t.Run(name, func(t *testing.T) {
			c := photos()
			telling(c)
			c.Sites[0].ClaimHeaders = append(c.Sites[0].ClaimHeaders, tt.h)
			_, err := decision.Compile(c)
			require.ErrorContains(t, err, "sites[0].claim_headers[5]."+tt.at)
		})
	}
}
