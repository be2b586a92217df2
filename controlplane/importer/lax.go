package importer

import (
	"regexp"
	"slices"
	"strings"
)

// closeLax takes out what would let pass more than the source does: a path that
// could only be carried over wider than it is, where that reaches into what
// something else governs, or is public; and of two conditions that say otherwise
// of the same requests, the public one.
func (d *Draft) closeLax() {
	known := d.shapes()
	public := map[string][]*Condition{}
	var all []*Condition
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			all = append(all, c)
			for _, p := range c.Paths {
				public[known.of(p).text] = append(public[known.of(p).text], c)
			}
		}
	}
	for _, c := range all {
		c.Paths = slices.DeleteFunc(c.Paths, func(p string) bool {
			why := ""
			switch {
			case c.widened && c.Public:
				why = "it cannot be written exactly, and it is public"
			case c.widened && slices.ContainsFunc(all, func(o *Condition) bool { return known.reaches(p, c, o) }):
				why = "it cannot be written exactly, and the nearest template would take paths from another condition"
			case c.Public && slices.ContainsFunc(public[known.of(p).text], func(o *Condition) bool { return !o.Public && methodsMeet(c, o) }):
				why = "another condition asks for scopes on the same path, and this one is public"
			}
			if why != "" {
				d.leftOut(c.Place, p, why)
			}
			return why != ""
		})
	}
}

// shape is the same for templates that match the same paths.
type shape struct {
	text     string
	segments []string
}

// shapes remembers them: each template is compared with every other.
type shapes struct {
	variable *regexp.Regexp
	fold     bool
	known    map[string]shape
}

func (d *Draft) shapes() *shapes {
	return &shapes{variable: regexp.MustCompile(`\{[^/]*\}`), fold: d.Case == "insensitive", known: map[string]shape{}}
}

func (s *shapes) of(template string) shape {
	out, ok := s.known[template]
	if !ok {
		out.text = s.variable.ReplaceAllString(strings.TrimSuffix(template, "/"), "{}")
		if s.fold {
			out.text = strings.ToLower(out.text)
		}
		out.segments = strings.Split(out.text, "/")
		s.known[template] = out
	}
	return out
}

// reaches reports that template p of c matches paths that o governs otherwise.
func (s *shapes) reaches(p string, c, o *Condition) bool {
	return o != c && !o.asksLike(c) && methodsMeet(c, o) && slices.ContainsFunc(o.Paths, func(q string) bool {
		left, right := s.of(p).segments, s.of(q).segments
		return overlap(left, right) && !before(right, left)
	})
}

// before reports that the filter prefers the left shape where both match: at the first
// segment in which they differ, literal is before {name} before * before **.
func before(left, right []string) bool {
	rank := func(segments []string, i int) int {
		switch {
		case i >= len(segments), segments[i] == "**":
			return 0
		case segments[i] == "*":
			return 1
		case segments[i] == "{}":
			return 2
		}
		return 3
	}
	for i := range max(len(left), len(right)) {
		if l, r := rank(left, i), rank(right, i); l != r {
			return l > r
		}
	}
	return false
}

func methodsMeet(a, b *Condition) bool {
	return len(a.Methods) == 0 || len(b.Methods) == 0 ||
		slices.ContainsFunc(a.Methods, func(m string) bool {
			return slices.Contains(b.Methods, m) || m == "HEAD" && slices.Contains(b.Methods, "GET")
		}) ||
		slices.Contains(a.Methods, "GET") && slices.Contains(b.Methods, "HEAD")
}

// overlap reports that some path matches both shapes.
func overlap(left, right []string) bool {
	for i := 0; ; i++ {
		switch {
		case i < len(left) && left[i] == "**", i < len(right) && right[i] == "**":
			return true
		case i == len(left) || i == len(right):
			return len(left) == len(right)
		}
		l, r := left[i], right[i]
		if l != r && l != "*" && r != "*" && l != "{}" && r != "{}" {
			return false
		}
	}
}
