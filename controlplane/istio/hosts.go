package istio

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// host is an authorization server as a host of the mesh.
type host struct {
	name    string // as the mesh knows it
	address string // where the URL has an IP address in place of a name
	ports   []port
	subsets []subset
}

type port struct {
	number uint32
	tls    bool
}

// subset is what one kind of call to a host is: another cluster for each credential.
type subset struct {
	name    string
	port    uint32
	site    *site.Site
	cluster string // as the control plane names it for an Envoy of its own
}

// meshName is the name of the cluster that Istio makes for it.
func (h *host) meshName(s subset) string {
	return fmt.Sprintf("outbound|%d|%s|%s", s.port, s.name, h.name)
}

// inside reports whether it is a service of the cluster, which Istio knows already.
func (h *host) inside() bool { return strings.HasSuffix(h.name, ".svc.cluster.local") }

// label is the host's name as part of an object's.
func (h *host) label() string { return strings.ReplaceAll(h.name, ".", "-") }

// hosts are the hosts of the mesh, in the order of their names.
type hosts struct{ list []*host }

// at returns the host of a name or an IP address.
func (h *hosts) at(name string) *host {
	address := ""
	if ip := net.ParseIP(name); ip != nil {
		// A host of the mesh has a name.
		address, name = name, strings.NewReplacer(".", "-", ":", "-").Replace(name)+".umagate.internal"
	}
	name = strings.ToLower(name)
	i, found := slices.BinarySearchFunc(h.list, name, func(other *host, name string) int { return cmp.Compare(other.name, name) })
	if !found {
		h.list = slices.Insert(h.list, i, &host{name: name, address: address})
	}
	return h.list[i]
}

// lead has an endpoint lead to a subset of its host.
func (h *hosts) lead(s *site.Site, e *config.Endpoint) error {
	name, number, err := hostPort(*e)
	if err != nil {
		return err
	}
	at := h.at(name)
	p := port{number: number, tls: e.Scheme != "http"}
	if !slices.Contains(at.ports, p) {
		if slices.ContainsFunc(at.ports, func(other port) bool { return other.number == number }) {
			return fmt.Errorf("%w: %s is http and https at once", ErrOptions, e.Authority)
		}
		at.ports = append(at.ports, p)
	}
	sub := subset{
		name: subsetName(e.Cluster), port: number, site: s, cluster: e.Cluster,
	}
	if !slices.ContainsFunc(at.subsets, func(other subset) bool { return other.name == sub.name && other.port == number }) {
		at.subsets = append(at.subsets, sub)
	}
	e.Cluster = at.meshName(sub)
	return nil
}

// subsetName makes a label of "umagate/photos/introspection".
func subsetName(cluster string) string {
	return strings.NewReplacer("/", "-", "_", "-").Replace(strings.TrimPrefix(cluster, "umagate/"))
}

func hostPort(e config.Endpoint) (string, uint32, error) {
	name, number := e.Authority, "443"
	if e.Scheme == "http" {
		number = "80"
	}
	if h, p, err := net.SplitHostPort(e.Authority); err == nil {
		name, number = h, p
	}
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s has no port that is a number", ErrOptions, e.Authority)
	}
	return strings.Trim(name, "[]"), uint32(n), nil
}

// connect has every endpoint of a configuration lead to a host of the mesh, and returns
// both. The configuration given stays as it is.
func connect(in envoyconf.Input) (config.Config, []*host, error) {
	out := in.Config
	out.Sites = slices.Clone(out.Sites)
	var all hosts
	for i := range out.Sites {
		c := &out.Sites[i]
		s, ok := in.File.Site(c.Name)
		if !ok {
			return out, nil, fmt.Errorf("%w: site %q is compiled but not in the file", ErrOptions, c.Name)
		}
		if c.AuthorizationServer.Unknown {
			return out, nil, fmt.Errorf("%w: site %s: its authorization server is not known", ErrOptions, c.Name)
		}
		for _, e := range endpoints(c) {
			if err := all.lead(s, e); err != nil {
				return out, nil, fmt.Errorf("site %s: %w", c.Name, err)
			}
		}
	}
	return out, all.list, nil
}

// endpoints are those of a site's authorization server, each a copy of the site's own.
func endpoints(c *config.Site) []*config.Endpoint {
	server := &c.AuthorizationServer
	out := []*config.Endpoint{&server.Introspection.Endpoint}
	if server.Permission != nil {
		permission := *server.Permission
		server.Permission = &permission
		out = append(out, server.Permission)
	}
	if server.Evaluation == nil {
		return out
	}
	evaluation := *server.Evaluation
	server.Evaluation = &evaluation
	out = append(out, &evaluation.Endpoint)
	if evaluation.TokenIntrospection != nil {
		tokens := *evaluation.TokenIntrospection
		evaluation.TokenIntrospection = &tokens
		out = append(out, &tokens)
	}
	return out
}
