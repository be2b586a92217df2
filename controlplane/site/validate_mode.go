package site

import (
	"fmt"

	"github.com/umagate/umagate/plugin/config"
)

// MonitorsInPart reports whether the site only monitors and a condition of it is
// enforced all the same. The filter then denies, too, what it denies before it knows
// a condition: nobody knows that such a request is not for what is enforced.
func (s *Site) MonitorsInPart() bool { return s.Mode == config.ModeMonitor && s.firstEnforced() != "" }

// firstEnforced is the path, within the site, of its first condition that says
// enforce and asks for something.
func (s *Site) firstEnforced() string {
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			if c := &s.Resources[i].Conditions[j]; c.Mode == config.ModeEnforce && !c.Public {
				return config.Index(config.Index("resources", i)+".conditions", j)
			}
		}
	}
	return ""
}

// siteMode warns of what a site does not enforce.
func (v *validator) siteMode(path string, s *Site) {
	switch {
	case s.Mode == config.ModeOff && s.firstEnforced() != "":
		v.warn(path+".mode", "nothing is enforced at this site, nor what "+s.firstEnforced()+" says: off is for all its conditions",
			"write mode: monitor, which leaves each condition its own mode")
	case s.Mode == config.ModeOff, s.Mode == config.ModeMonitor && !s.MonitorsInPart():
		v.warn(path+".mode", "nothing is enforced at this site", "write mode: enforce when the rollout is over")
	case s.Mode == config.ModeMonitor && s.Unmatched == config.UnmatchedAllow:
		v.warn(path+".mode", fmt.Sprintf("as %s is enforced, ambiguous paths and methods that no condition covers are denied; other conditions are not enforced", s.firstEnforced()),
			"write mode: enforce when the rollout is over")
	case s.Mode == config.ModeMonitor && s.Unmatched == config.UnmatchedAuthenticated:
		v.warn(path+".mode",
			fmt.Sprintf("as %s is enforced, ambiguous paths, methods that no condition covers and, without an active token, paths that none names are denied; other conditions are not enforced", s.firstEnforced()),
			"write mode: enforce when the rollout is over; until then unmatched: allow, if paths that no condition names are to pass")
	case s.Mode == config.ModeMonitor:
		v.warn(path+".mode",
			fmt.Sprintf("as %s is enforced, ambiguous paths, and paths and methods that no condition names are denied; other conditions are not enforced", s.firstEnforced()),
			"write mode: enforce when the rollout is over; until then unmatched: allow, if paths that no condition names are to pass")
	}
}

// conditionMode warns of a condition that is not enforced, or whose mode says
// nothing.
func (v *validator) conditionMode(path string, s *Site, c *Condition) {
	switch {
	case s.Mode == config.ModeOff && (c.Mode == config.ModeEnforce || c.Mode == config.ModeMonitor):
		v.warn(path+".mode", "has no effect: the site's mode is off", "write mode: monitor for the site, or take this one out")
	case c.Mode == config.ModeMonitor, c.Mode == config.ModeOff:
		v.warn(path+".mode", "this condition is not enforced", "write mode: enforce when the rollout is over")
	}
}
