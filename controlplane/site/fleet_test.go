package site_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

func TestMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		match site.Match
		fits  bool
	}{
		{"everything", site.Match{}, true},
		{"exact", site.Match{ID: "edge-7.eu"}, true},
		{"exact is not a beginning", site.Match{ID: "edge-7"}, false},
		{"beginning", site.Match{ID: "edge-*"}, true},
		{"end", site.Match{ID: "*.eu"}, true},
		{"middle", site.Match{ID: "e*-*u"}, true},
		{"parts do not overlap", site.Match{Cluster: "edg*dge"}, false},
		{"all of it", site.Match{ID: "edge-*", Cluster: "edge", Metadata: map[string]string{"zone": "*"}, SAN: []string{"spiffe://x/*"}}, true},
		{"one thing differs", site.Match{ID: "edge-*", Cluster: "inner"}, false},
		{"metadata differs", site.Match{Metadata: map[string]string{"zone": "b"}}, false},
		{"metadata that is not there", site.Match{Metadata: map[string]string{"region": "*"}}, false},
		{"one name of several", site.Match{SAN: []string{"other", "dns.example.com"}}, true},
		{"no such name", site.Match{SAN: []string{"example.com"}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.fits, tt.match.Fits("edge-7.eu", "edge", map[string]string{"zone": "a"}, []string{"dns.example.com", "spiffe://x/edge/7"}))
		})
	}
	require.False(t, site.Match{SAN: []string{"*"}}.Fits("", "", nil, nil), "who has no certificate has no name")
}

// TestGroupDeniesTheOthersHosts: where unknown hosts pass, a host of a site that
// another group serves does not.
func TestGroupDeniesTheOthersHosts(t *testing.T) {
	t.Parallel()
	f, err := site.Parse("umagate.yaml", []byte(photos+"\n- {name: files, hosts: [files.example.com], authorization_server: {issuer: \"https://as\", client: {register: {}}}, resources: [{name: r, conditions: [{paths: [\"/**\"], public: true}]}]}\n"),
		environment(map[string]string{"SECRET": "s"}))
	require.NoError(t, err)
	group := site.Group{Name: "a", Sites: []string{"photos"}}
	require.Len(t, f.Effective(&group, nil).Sites, 1)
	f.UnknownHosts = config.VerdictAllow
	part := f.Effective(&group, nil)
	c, err := site.Compile(part, nil)
	require.ErrorIs(t, err, site.ErrIncomplete)
	gate, err := decision.Compile(&c)
	require.NoError(t, err)
	_ = gate
	require.Equal(t, []string{"files.example.com"}, c.Sites[1].Hosts)
	require.Empty(t, c.Sites[1].Resources)
	require.Equal(t, config.UnmatchedDeny, c.Sites[1].Unmatched)
}

// TestEffective: no host that was protected passes, and a filter is never given
// nothing.
func TestEffective(t *testing.T) {
	t.Parallel()
	names := func(f *site.File) (out []string) {
		for i := range f.Sites {
			out = append(out, f.Sites[i].Name)
		}
		return out
	}
	f := &site.File{UnknownHosts: config.VerdictAllow, Sites: []site.Site{{Name: "photos", Hosts: []string{"photos.example.com"}}, {Name: "hostless"}, {Name: "files", Hosts: []string{"*.files.example.com"}}}}
	protected := map[string]string{"gone.example.com": "gone", "a.files.example.com": "files", "free.example.com": "gone"}
	f.ReleasedHosts = []string{"FREE.example.com"}
	whole := f.Effective(nil, protected)
	require.Equal(t, []string{"photos", "files", "umagate-withdrawn"}, names(whole))
	require.Equal(t, []string{"gone.example.com"}, whole.Sites[2].Hosts)
	require.Len(t, f.Sites, 3, "the file stays")

	part := f.Effective(&site.Group{Sites: []string{"photos"}}, protected)
	require.Equal(t, []string{"photos", "files", "umagate-withdrawn"}, names(part))
	require.Equal(t, config.RequireOAuthScopes, part.Sites[1].Require, "another group's host is denied")

	f.UnknownHosts = config.VerdictDeny
	require.Equal(t, []string{"photos"}, names(f.Effective(&site.Group{Sites: []string{"photos"}}, protected)))
	none := f.Effective(&site.Group{Sites: []string{"hostless"}}, nil)
	require.Equal(t, []string{"oxd-none"}, names(none))
	require.Equal(t, []string{"*"}, none.Sites[0].Hosts)
}
