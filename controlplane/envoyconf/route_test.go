package envoyconf_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// TestRoutesOfOneHost: each prefix leads to its site's upstream, the longest first, and to
// no other's.
func TestRoutesOfOneHost(t *testing.T) {
	hosts := []string{"api.example.com"}
	below := func(prefixes ...string) config.Settings { return config.Settings{PathPrefixes: prefixes} }
	file := &site.File{Sites: []site.Site{
		{Name: "rest", Hosts: []string{"API.example.com", "own.example.com"}, Upstream: "http://127.0.0.1:1"},
		{Name: "a", Hosts: hosts, Upstream: "http://127.0.0.1:2", Settings: below("/a", "/tenants/a/x")},
		{Name: "b", Hosts: hosts, Upstream: "http://127.0.0.1:3", Settings: below("/tenants/a")},
		{Name: "closed", Hosts: hosts, Settings: below("/c")},
		{Name: "other", Hosts: hosts, Settings: config.Settings{ChosenBy: config.ChosenByIssuer}},
	}}
	routes := envoyconf.Routes(file)
	require.Len(t, routes.GetVirtualHosts(), 2)
	shared, own := routes.GetVirtualHosts()[0], routes.GetVirtualHosts()[1]
	require.Equal(t, []string{"API.example.com"}, shared.GetDomains(), "once, whatever its letters")
	require.Equal(t, []string{"own.example.com"}, own.GetDomains())
	require.Equal(t, "rest", own.GetName())
	var led []string
	for _, r := range shared.GetRoutes() {
		to := r.GetRoute().GetCluster()
		if d := r.GetDirectResponse(); d != nil {
			require.EqualValues(t, 404, d.GetStatus())
			to = "nowhere"
		}
		led = append(led, r.GetMatch().GetPathSeparatedPrefix()+r.GetMatch().GetPrefix()+" "+to)
	}
	require.Equal(t, []string{"/tenants/a/x upstream/a", "/tenants/a upstream/b", "/a upstream/a", "/c nowhere", "/ upstream/rest"}, led)

	// The name tells routes apart that lead elsewhere: between two filters they are closed.
	before := shared.GetName()
	file.Sites[2].PathPrefixes = []string{"/tenants"}
	require.NotEqual(t, before, envoyconf.Routes(file).GetVirtualHosts()[0].GetName())
	file.Sites[2].PathPrefixes, file.Sites[2].Case = []string{"/tenants/a"}, config.CaseInsensitive
	again := envoyconf.Routes(file).GetVirtualHosts()[0]
	require.NotEqual(t, before, again.GetName())
	require.False(t, again.GetRoutes()[1].GetMatch().GetCaseSensitive().GetValue())
}
