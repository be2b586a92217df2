package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

// ByIssuer reports whether the token's issuer makes a request one of the site.
func (s *Site) ByIssuer() bool { return s.ChosenBy == config.ChosenByIssuer }

// SharesHost reports whether two sites have a host in common.
func (s *Site) SharesHost(other *Site) bool {
	return slices.ContainsFunc(s.Hosts, func(host string) bool {
		return slices.ContainsFunc(other.Hosts, func(theirs string) bool { return strings.EqualFold(host, theirs) })
	})
}

// sharesPrefix reports whether two sites have a prefix of paths in common, which may be
// that of every path.
func (s *Site) sharesPrefix(other *Site) bool {
	if len(s.PathPrefixes) == 0 || len(other.PathPrefixes) == 0 {
		return len(s.PathPrefixes) == len(other.PathPrefixes)
	}
	return slices.ContainsFunc(s.PathPrefixes, func(p string) bool {
		return slices.ContainsFunc(other.PathPrefixes, func(theirs string) bool { return strings.EqualFold(p, theirs) })
	})
}

// choosesByIssuer reports whether the token's issuer chooses between the site and another.
func (f *File) choosesByIssuer(s *Site) bool {
	return s.ByIssuer() || slices.ContainsFunc(f.Sites, func(other Site) bool {
		return other.ByIssuer() && s.SharesHost(&other) && s.sharesPrefix(&other)
	})
}

// sharedHosts judges what the filter's core does not see of sites that have a host
// together.
func (v *validator) sharedHosts() {
	f := v.file
	for i := range f.Sites {
		s, path := &f.Sites[i], config.Index("sites", i)
		if s.ByIssuer() && s.Upstream != "" {
			v.fault(path+".upstream", "is of no use: a request is led by its host and its path, whatever its token", "write it for the site of the same hosts and paths that has chosen_by: path")
		}
		if s.Token.WithoutIssuer == config.VerdictAllow {
			v.withoutIssuer(path+".token.without_issuer", s)
		}
		v.reachable(path, s)
		for j := range i {
			v.apart(path, s, &f.Sites[j])
		}
	}
}

func (v *validator) withoutIssuer(path string, s *Site) {
	if s.ByIssuer() || !v.file.choosesByIssuer(s) {
		v.warn(path, "has no effect: it is for the site that is chosen by path where others of the same paths have chosen_by: issuer", "take it out")
		return
	}
	v.warn(path, "a token of another authorization server that names no issuer is shown to this one", "write deny, if all of them issue JWTs")
}

// reachable warns of paths that are below none of the site's prefixes, or whose literal
// beginning is below a longer prefix of another site.
func (v *validator) reachable(path string, s *Site) {
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			at := config.Index(config.Index(path+".resources", i)+".conditions", j) + ".paths"
			for k, template := range s.Resources[i].Conditions[j].Paths {
				own := 0 // segments of the longest prefix that the template may be below
				for _, prefix := range s.PathPrefixes {
					if n := strings.Count(prefix, "/"); within(template, prefix, false) && n > own {
						own = n
					}
				}
				if len(s.PathPrefixes) > 0 && own == 0 {
					v.warn(config.Index(at, k), fmt.Sprintf("%q is below none of the site's path_prefixes: no request of this site has such a path", template),
						"write the whole path, with its prefix")
					continue
				}
				if other, prefix := v.file.taken(s, template, own); other != nil {
					v.warn(config.Index(at, k), fmt.Sprintf("%q is below %s, which site %s has: no request of this site has such a path", template, prefix, other.Name),
						"write it in that site")
				}
			}
		}
	}
}

// taken is a site of the same hosts to which all paths of a template belong, and by which
// prefix: one of more segments than own.
func (f *File) taken(s *Site, template string, own int) (*Site, string) {
	for i := range f.Sites {
		other := &f.Sites[i]
		if other.Name == s.Name || !s.SharesHost(other) {
			continue
		}
		for _, prefix := range other.PathPrefixes {
			if strings.Count(prefix, "/") > own && within(template, prefix, true) && !slices.Contains(s.PathPrefixes, prefix) {
				return other, prefix
			}
		}
	}
	return nil, ""
}

// within reports whether a template's paths can be below a prefix; with all, whether all
// of them are.
func within(template, prefix string, all bool) bool {
	segments := strings.Split(template, "/")
	for i, want := range strings.Split(prefix, "/") {
		switch {
		case i >= len(segments):
			return false
		case segments[i] == "**":
			return !all
		case strings.ContainsAny(segments[i], "{*"):
			if all {
				return false
			}
		case !strings.EqualFold(segments[i], want):
			return false
		}
	}
	return true
}

// apart checks that no Envoy has one of two sites without the other, where they have a host
// together: what is the other's would fall to the one.
func (v *validator) apart(path string, s, other *Site) {
	if !s.SharesHost(other) {
		return
	}
	for i := range v.file.Groups {
		if g := &v.file.Groups[i]; g.HasSite(s.Name) != g.HasSite(other.Name) {
			v.fault(path+".hosts", fmt.Sprintf("site %s has a host in common, and group %s has only one of both: requests of the other would be judged by it", other.Name, g.Name),
				"name both in the group, or neither")
		}
	}
}
