package site

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

const (
	// orphanedName is the site that denies the hosts of sites that are gone.
	orphanedName = "umagate-withdrawn"
	// noneName is the site that stands where there is none.
	noneName = "oxd-none"
)

// Effective returns the file as the Envoys of a group enforce it, nil for all Envoys.
// A site without hosts is left out. Hosts that nobody would deny are denied: those
// that are orphaned and, where unknown hosts pass, those of sites of other groups.
// There is one site at least: a filter takes no configuration without, and would keep
// the one before. protected maps the hosts that sites have protected to their sites.
func (f *File) Effective(group *Group, protected map[string]string) *File {
	out := *f
	out.Sites = nil
	denied := map[string]bool{} // hosts; several sites may have one
	deny := func(s *Site) {
		hosts := slices.DeleteFunc(slices.Clone(s.Hosts), func(host string) bool { return denied[strings.ToLower(host)] })
		for _, host := range hosts {
			denied[strings.ToLower(host)] = true
		}
		if len(hosts) > 0 {
			out.Sites = append(out.Sites, closed(s.Name, hosts))
		}
	}
	add := func(s Site) {
		if len(s.Hosts) > 0 {
			out.Sites = append(out.Sites, s)
		}
	}
	for i := range f.Sites {
		switch s := &f.Sites[i]; {
		case group == nil || group.HasSite(s.Name):
			add(*s)
		case f.UnknownHosts == config.VerdictAllow:
			deny(s)
		}
	}
	add(closed(orphanedName, f.Orphaned(protected)))
	if len(out.Sites) == 0 {
		add(closed(noneName, []string{"*"}))
	}
	return &out
}

// closed is a site that denies every request for its hosts. No AS is known of it.
func closed(name string, hosts []string) Site {
	var s Site
	s.setDefaults()
	s.Name, s.Hosts, s.Require = name, hosts, config.RequireOAuthScopes
	return s
}

// Orphaned lists the hosts that a site has protected once, that none covers any more,
// and that the file would let pass: unknown_hosts is allow, and released_hosts does
// not name them.
func (f *File) Orphaned(protected map[string]string) []string {
	if f.UnknownHosts != config.VerdictAllow {
		return nil
	}
	var out []string
	for host := range protected {
		if !f.Released(host) && !slices.ContainsFunc(f.Sites, func(s Site) bool {
			return slices.ContainsFunc(s.Hosts, func(pattern string) bool { return covers(pattern, host) })
		}) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// Released reports whether the file gives up a host that a site has protected.
func (f *File) Released(host string) bool {
	return slices.ContainsFunc(f.ReleasedHosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// covers reports whether whatever host matches, pattern matches too. Both are exact,
// "*.suffix" or "*".
func covers(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, ok := strings.CutPrefix(pattern, "*")
	return ok && strings.HasSuffix(host, suffix) && host != suffix
}
