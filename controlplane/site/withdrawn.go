package site

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

// Withdrawn lists the hosts that a site has guarded once, that none covers any more,
// and that the file would let pass: unknown_hosts is allow, and released_hosts does
// not name them. guarded maps a host to its site.
func (f *File) Withdrawn(guarded map[string]string) []string {
	if f.UnknownHosts != config.VerdictAllow {
		return nil
	}
	var out []string
	for host := range guarded {
		if !f.Released(host) && !slices.ContainsFunc(f.Sites, func(s Site) bool {
			return slices.ContainsFunc(s.Hosts, func(pattern string) bool { return covers(pattern, host) })
		}) {
			out = append(out, host)
		}
	}
	slices.Sort(out)
	return out
}

// Released reports that the file gives up a host that a site has guarded.
func (f *File) Released(host string) bool {
	return slices.ContainsFunc(f.ReleasedHosts, func(h string) bool { return strings.EqualFold(h, host) })
}

// covers reports that whatever host matches, pattern matches too. Both are exact,
// "*.suffix" or "*".
func covers(pattern, host string) bool {
	pattern, host = strings.ToLower(pattern), strings.ToLower(host)
	if pattern == "*" || pattern == host {
		return true
	}
	suffix, ok := strings.CutPrefix(pattern, "*")
	return ok && strings.HasSuffix(host, suffix) && host != suffix
}
