package server

import (
	"fmt"
	"net"
	"strings"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
)

// front is what the file says of listeners, routes and bootstraps, as far as an Envoy
// may not follow it.
type front struct {
	// bootstrap is what a bootstrap that is rendered now says of itself.
	bootstrap string
	// What the file says that an Envoy with a listener or routes of its own does not
	// follow.
	listener, upstream bool
	// unrouted are the sites without an upstream.
	unrouted []string
}

// frontOf is that of a group with these sites.
func frontOf(file *site.File, sites []string, bootstrap string) front {
	out := front{bootstrap: bootstrap, listener: file.Says("envoy.listener")}
	for _, name := range sites {
		s, ok := file.Site(name)
		switch {
		case !ok || len(s.Hosts) == 0 || s.ByIssuer():
		case s.Upstream == "":
			out.unrouted = append(out.unrouted, name)
		default:
			out.upstream = true
		}
	}
	return out
}

// bootstrap is the digest of what "umagate render bootstrap" prints for the file. A
// listen.xds with port 0 stands for the port that was found.
func (p *publisher) bootstrap(file *site.File) (string, error) {
	if _, port, err := net.SplitHostPort(file.Listen.XDS); err == nil && port == "0" {
		out := *file
		out.Listen.XDS = p.address
		file = &out
	}
	return envoyconf.Digest(file)
}

// mismatch is what an Envoy does not follow.
type mismatch struct {
	kind health.Kind
	what string
}

// mismatches tells what an Envoy does not follow of what the file says.
func (f front) mismatches(e *xds.Envoy) []mismatch {
	var out []mismatch
	takes := func(kind xds.Type) bool { _, ok := e.Types[kind]; return ok }
	switch {
	case e.Bootstrap == "":
		var own []string
		if f.upstream && !takes(xds.RDS) {
			own = append(own, "upstream")
		}
		if f.listener && !takes(xds.LDS) {
			own = append(own, "envoy.listener")
		}
		if len(own) > 0 {
			out = append(out, mismatch{health.EnvoyNotFollowing, "does not follow " + strings.Join(own, " and ")})
		}
	case e.Bootstrap != f.bootstrap:
		out = append(out, mismatch{health.EnvoyBootstrapOutdated, fmt.Sprintf("has bootstrap %s and not %s", e.Bootstrap, f.bootstrap)})
	}
	if !takes(xds.RDS) {
		return out
	}
	// One that was rendered asks for routes and filter at once.
	if !takes(xds.ECDS) && e.Bootstrap == "" {
		out = append(out, mismatch{health.EnvoyUnfiltered, "takes no filter"})
	}
	if len(f.unrouted) > 0 {
		out = append(out, mismatch{health.SiteUnrouted, "has no route for " + strings.Join(f.unrouted, ", ")})
	}
	return out
}
