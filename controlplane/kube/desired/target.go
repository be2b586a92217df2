package desired

import (
	"fmt"
	"slices"
	"strings"

	gateway "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
)

// target is what comes of an object's targetRefs.
type target struct {
	hosts []string
	// prefixes are those of the paths, none for all paths.
	prefixes []string
}

// maxAncestors is how many a status may have (GEP-713).
const maxAncestors = 16

// targets takes hosts and paths from what the object is attached to.
func (r *round) targets(c *candidate) target {
	var out target
	whole := false
	for i, ref := range c.api.Spec.TargetRefs {
		at := fmt.Sprintf("spec.targetRefs[%d]", i)
		name := Name{Namespace: c.api.Namespace, Name: ref.Name}
		var one target
		switch ref.Kind {
		case "Gateway":
			one.hosts = r.gatewayHosts(c, at, name, ref.SectionName)
		case "HTTPRoute":
			one = r.route(c, at, name)
		default:
			one.hosts = r.service(c, at, name)
		}
		if c.verdict.Reason != "" {
			return out
		}
		out.hosts = appendNew(out.hosts, one.hosts...)
		out.prefixes = appendNew(out.prefixes, one.prefixes...)
		whole = whole || len(one.prefixes) == 0
	}
	if whole {
		out.prefixes = nil
	}
	return out
}

func appendNew(list []string, more ...string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// attach notes what the object is attached to.
func (c *candidate) attach(group, kind string, name Name, section string) {
	ref := gateway.ParentReference{Group: new(gateway.Group(group)), Kind: new(gateway.Kind(kind)), Namespace: new(gateway.Namespace(name.Namespace)), Name: gateway.ObjectName(name.Name)}
	if section != "" {
		ref.SectionName = new(gateway.SectionName(section))
	}
	if len(c.verdict.Ancestors) < maxAncestors {
		c.verdict.Ancestors = append(c.verdict.Ancestors, ref)
	}
}

// gatewayHosts are those of a Gateway's listeners, or of one.
func (r *round) gatewayHosts(c *candidate, at string, name Name, section string) []string {
	c.attach(gateway.GroupName, "Gateway", name, section)
	hosts, found := r.listeners(name, section)
	switch {
	case !found && section != "":
		c.refuse(v1alpha1.ReasonTargetNotFound, "%s: there is no Gateway %s with a listener %s for HTTP; create it, or write another name", at, name.Name, section)
	case !found:
		c.refuse(v1alpha1.ReasonTargetNotFound, "%s: there is no Gateway %s with a listener for HTTP; create it, or write another name", at, name.Name)
	}
	return hosts
}

// listeners are the hosts of a Gateway's listeners that take HTTP; "*" for one without.
func (r *round) listeners(name Name, section string) (hosts []string, found bool) {
	g, ok := r.objects.Gateways[name]
	if !ok {
		return nil, false
	}
	for _, l := range g.Spec.Listeners {
		if section != "" && string(l.Name) != section || l.Protocol != gateway.HTTPProtocolType && l.Protocol != gateway.HTTPSProtocolType {
			continue
		}
		found = true
		if l.Hostname == nil || *l.Hostname == "" {
			hosts = appendNew(hosts, "*")
		} else {
			hosts = appendNew(hosts, string(*l.Hostname))
		}
	}
	return hosts, found
}

// route takes an HTTPRoute's hosts, those of its Gateways where it has none, and its paths.
func (r *round) route(c *candidate, at string, name Name) (out target) {
	route, ok := r.objects.Routes[name]
	if !ok {
		c.attach(gateway.GroupName, "HTTPRoute", name, "")
		c.refuse(v1alpha1.ReasonTargetNotFound, "%s: there is no HTTPRoute %s; create it, or write another name", at, name.Name)
		return out
	}
	for _, h := range route.Spec.Hostnames {
		out.hosts = appendNew(out.hosts, string(h))
	}
	own := len(out.hosts) > 0
	for _, p := range route.Spec.ParentRefs {
		parent := Name{Namespace: name.Namespace, Name: string(p.Name)}
		if p.Namespace != nil {
			parent.Namespace = string(*p.Namespace)
		}
		if p.Kind != nil && *p.Kind != "Gateway" {
			continue
		}
		section := ""
		if p.SectionName != nil {
			section = string(*p.SectionName)
		}
		c.attach(gateway.GroupName, "Gateway", parent, section)
		if !own {
			hosts, _ := r.listeners(parent, section)
			out.hosts = appendNew(out.hosts, hosts...)
		}
	}
	if len(out.hosts) == 0 {
		c.refuse(v1alpha1.ReasonTargetNotFound, "%s: HTTPRoute %s has no hostnames, and none of its Gateways is seen; write hostnames there, or spec.hosts here", at, name.Name)
	}
	out.prefixes = r.paths(c, at, route)
	return out
}

// paths are the prefixes of a route's rules; none where one of them takes every path, or
// where the object says its own.
func (r *round) paths(c *candidate, at string, route *gateway.HTTPRoute) []string {
	if strings.Contains(string(c.api.Spec.Site), `"path_prefixes"`) {
		return nil
	}
	var out []string
	for _, rule := range route.Spec.Rules {
		if len(rule.Matches) == 0 {
			return nil
		}
		for _, m := range rule.Matches {
			if m.Path == nil || m.Path.Value == nil {
				return nil
			}
			if m.Path.Type != nil && *m.Path.Type == gateway.PathMatchRegularExpression {
				c.refuse(v1alpha1.ReasonInvalid, "%s: HTTPRoute %s matches paths by a regular expression, and which those are is not said; write spec.path_prefixes", at, route.Name)
				return nil
			}
			prefix := strings.TrimRight(*m.Path.Value, "/")
			if prefix == "" {
				return nil
			}
			out = appendNew(out, prefix)
		}
	}
	return out
}

// service has the names that a Service is called by in other namespaces and in its own,
// but for the shortest: that is another one in each namespace.
func (r *round) service(c *candidate, at string, name Name) []string {
	c.attach("", "Service", name, "")
	if !r.objects.Services[name] {
		c.refuse(v1alpha1.ReasonTargetNotFound, "%s: there is no Service %s; create it, or write another name", at, name.Name)
	}
	short := name.Name + "." + name.Namespace
	return []string{short, short + ".svc", short + ".svc." + r.options.ClusterDomain}
}
