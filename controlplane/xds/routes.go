package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"google.golang.org/protobuf/proto"
)

// changing names the virtual host of hosts that are between two sites. No site has
// such a name.
const changing = "umagate/changing"

// hosts says which site a host's requests are led to: the name of the virtual host,
// by each of its domains; [changing] where they are led nowhere.
type hosts map[string]string

func hostsOf(routes *routev3.RouteConfiguration) hosts {
	out := hosts{}
	for _, v := range routes.GetVirtualHosts() {
		for _, domain := range v.GetDomains() {
			out[domain] = v.GetName()
		}
	}
	return out
}

// unknown are the hosts of routes that an Envoy has from before, of which nothing is
// known here.
func unknown() hosts { return hosts{"*": ""} }

// fit reports whether routes with these hosts may stay while a filter that knows
// those of next comes into force: whatever they lead anywhere, next leads to the
// same site. A host that only next has may not be led elsewhere by a pattern.
func (h hosts) fit(next hosts) bool {
	patterns := false
	for domain, site := range h {
		if now, ok := next[domain]; site != changing && (!ok || now != site) {
			return false
		}
		patterns = patterns || strings.Contains(domain, "*")
	}
	if patterns {
		for domain := range next {
			if _, ok := h[domain]; !ok {
				return false
			}
		}
	}
	return true
}

// with are the hosts of an Envoy of several streams: where they differ, nothing is
// known.
func (h hosts) with(other hosts) hosts {
	if h == nil {
		return other
	}
	out := maps.Clone(h)
	for domain, site := range other {
		if mine, ok := h[domain]; ok && mine != site {
			site = ""
		}
		out[domain] = site
	}
	return out
}

// digest stands at the beginning of the routes' version: an Envoy that comes back
// says by it where its routes lead.
func (h hosts) digest() string {
	sum := sha256.New()
	for _, domain := range slices.Sorted(maps.Keys(h)) {
		writePart(sum, []byte(domain))
		writePart(sum, []byte(h[domain]))
	}
	return hex.EncodeToString(sum.Sum(nil)[:4]) + "-"
}

func routesContent(routes *routev3.RouteConfiguration, h hosts) (*content, error) {
	var items []types.Resource
	if routes != nil {
		items = append(items, routes)
	}
	out, err := contentOf(h.digest(), sha256.New(), items)
	if err != nil {
		return nil, err
	}
	out.hosts = h
	return out, nil
}

// between are routes for the time between two filters, of which one knows the hosts
// of before and one those of next: what both have at the same site stays, everything
// else is answered 503.
func between(before hosts, next *routev3.RouteConfiguration) *routev3.RouteConfiguration {
	after := hostsOf(next)
	closed := map[string]bool{}
	for domain, site := range before {
		if now, ok := after[domain]; !ok || now != site {
			closed[domain] = true
		}
	}
	out := &routev3.RouteConfiguration{Name: next.GetName(), IgnorePortInHostMatching: next.GetIgnorePortInHostMatching()}
	for _, v := range next.GetVirtualHosts() {
		var kept []string
		for _, domain := range v.GetDomains() {
			if _, ok := before[domain]; ok && !closed[domain] {
				kept = append(kept, domain)
			} else {
				closed[domain] = true
			}
		}
		if len(kept) > 0 {
			v = proto.CloneOf(v)
			v.Domains = kept
			out.VirtualHosts = append(out.VirtualHosts, v)
		}
	}
	if len(closed) > 0 {
		out.VirtualHosts = append(out.VirtualHosts, &routev3.VirtualHost{
			Name: changing, Domains: slices.Sorted(maps.Keys(closed)),
			Routes: []*routev3.Route{{
				Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: http.StatusServiceUnavailable}},
			}},
		})
	}
	return out
}
