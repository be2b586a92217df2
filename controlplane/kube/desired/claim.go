package desired

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
)

// claim is a host, and the paths below a prefix of it; all of them where it is empty.
type claim struct{ host, prefix string }

// String is how a status has it.
func (c claim) String() string { return c.host + c.prefix }

// every is the host that stands for those that nobody has: to have it takes nothing from
// anybody, and others may take theirs from it.
const every = "*"

// claimsOf reads what a document asks for, also where it has faults: whoever had a host
// before keeps it while it is mended.
func claimsOf(document object) []claim {
	var hosts, prefixes []string
	if json.Unmarshal(document["hosts"], &hosts) != nil {
		return nil // told by package site
	}
	if document["path_prefixes"] != nil && json.Unmarshal(document["path_prefixes"], &prefixes) != nil {
		return nil
	}
	return claims(hosts, prefixes)
}

func claimsOfSite(s *site.Site) []claim { return claims(s.Hosts, s.PathPrefixes) }

func claims(hosts, prefixes []string) (out []claim) {
	if len(prefixes) == 0 {
		prefixes = []string{""}
	}
	for _, h := range hosts {
		for _, p := range prefixes {
			out = append(out, claim{strings.ToLower(strings.TrimSuffix(h, ".")), strings.TrimRight(p, "/")})
		}
	}
	return out
}

// takes reports whether a claim takes something of an older one.
func (c claim) takes(from claim) bool {
	covered := c.host == from.host
	if suffix, ok := strings.CutPrefix(from.host, every); ok && from.host != every {
		covered = covered || strings.HasSuffix(strings.TrimPrefix(c.host, every), suffix)
	}
	return covered && (below(c.prefix, from.prefix) || below(from.prefix, c.prefix))
}

// below reports whether a prefix is below another, or the same; in any case of letters, as
// an API may not mind it.
func below(prefix, other string) bool {
	prefix, other = strings.ToLower(prefix), strings.ToLower(other)
	return other == "" || prefix == other || strings.HasPrefix(prefix, other+"/")
}

// owned are claims by host. Those of a wildcard are found by the names below it.
type owned map[string][]ownedClaim

type ownedClaim struct {
	claim

	namespace, by string
}

func (o owned) add(c claim, namespace, by string) {
	o[c.host] = append(o[c.host], ownedClaim{c, namespace, by})
}

// against finds a claim of another namespace that one would take something of.
func (o owned) against(c claim, namespace string) (ownedClaim, bool) {
	host := c.host
	for {
		for _, other := range o[host] {
			if other.namespace != namespace && c.takes(other.claim) {
				return other, true
			}
		}
		// photos.example.com, then *.example.com, then *.com
		_, rest, ok := strings.Cut(strings.TrimPrefix(host, "*."), ".")
		if !ok {
			return ownedClaim{}, false
		}
		host = "*." + rest
	}
}

// own says whose the hosts are: umagate.yaml's, then of who holds them already, then of the
// oldest. Objects of one namespace may share a host.
func (r *round) own(candidates []candidate) {
	taken := owned{}
	if r.objects.File != nil {
		for i := range r.objects.File.Sites {
			s := &r.objects.File.Sites[i]
			for _, c := range claimsOfSite(s) {
				taken.add(c, "", "site "+s.Name+" of umagate.yaml")
			}
		}
	}
	for _, holding := range []bool{true, false} {
		for i := range candidates {
			c := &candidates[i]
			for _, one := range c.claims {
				if slices.Contains(c.api.Status.Hosts, one.String()) == holding {
					c.claim(one, taken)
				}
			}
		}
	}
}

// claim gives one claim to the candidate, or tells it whose it is.
func (c *candidate) claim(one claim, taken owned) {
	other, found := taken.against(one, c.name.Namespace)
	if !found {
		taken.add(one, c.name.Namespace, v1alpha1.ProtectedAPIKind+" "+c.name.String())
		c.verdict.Claims = append(c.verdict.Claims, one.String())
		return
	}
	c.verdict.Site, c.verdict.Kept = nil, false
	if c.verdict.Accepted() {
		c.verdict.Reason = ""
	}
	c.refuse(v1alpha1.ReasonConflicted, "spec.hosts: %s is of %s, which had it first; take it out, or agree with that namespace", one, other.by)
}

var errTogether = errors.New("cannot be served with them")

// families are the sites that share hosts.
type families struct {
	file *site.File
	of   map[string][]*site.Site
}

func newFamilies(file *site.File) families {
	if file == nil {
		file = &site.File{}
	}
	out := families{file, map[string][]*site.Site{}}
	for i := range file.Sites {
		out.add(&file.Sites[i])
	}
	return out
}

func (f families) add(s *site.Site) {
	for _, h := range s.Hosts {
		f.of[strings.ToLower(h)] = append(f.of[strings.ToLower(h)], s)
	}
}

// join adds a site, if the filter's core takes it together with those of its hosts, and
// every Envoy that has one of them has all.
func (f families) join(s *site.Site) error {
	if _, taken := f.file.Site(s.Name); taken {
		return fmt.Errorf("%w: umagate.yaml has a site %s; give one of them another name", errTogether, s.Name)
	}
	var others []*site.Site
	for _, h := range s.Hosts {
		for _, other := range f.of[strings.ToLower(h)] {
			if !slices.Contains(others, other) {
				others = append(others, other)
			}
		}
	}
	for _, other := range others {
		for _, g := range f.file.Groups {
			if g.HasSite(s.Name) != g.HasSite(other.Name) {
				return fmt.Errorf("%w: Envoys of group %s have one of the sites %s and %s without the other; give both to the same groups", errTogether, g.Name, s.Name, other.Name)
			}
		}
	}
	if len(others) > 0 {
		if err := site.Judge(append(others, s)...); err != nil {
			return err
		}
	}
	f.add(s)
	return nil
}
