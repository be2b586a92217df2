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
	shapes := map[string][]*Condition{}
	var all []*Condition
	for i := range d.Resources {
		for j := range d.Resources[i].Conditions {
			c := &d.Resources[i].Conditions[j]
			all = append(all, c)
			for _, p := range c.Paths {
				shapes[d.shape(p)] = append(shapes[d.shape(p)], c)
			}
		}
	}
	for _, c := range all {
		c.Paths = slices.DeleteFunc(c.Paths, func(p string) bool {
			why := ""
			switch {
			case c.widened && c.Public:
				why = "it cannot be written exactly, and it is public"
			case c.widened && slices.ContainsFunc(all, func(o *Condition) bool { return d.reaches(p, c, o) }):
				why = "it cannot be written exactly, and the nearest template would take paths from another condition"
			case c.Public && slices.ContainsFunc(shapes[d.shape(p)], func(o *Condition) bool { return !o.Public && methodsMeet(c, o) }):
				why = "another condition asks for scopes on the same path, and this one is public"
			}
			if why != "" {
				d.leftOut(c.Place, p, why)
			}
			return why != ""
		})
	}
}

// reaches reports that template p of c matches paths that o governs otherwise.
func (d *Draft) reaches(p string, c, o *Condition) bool {
	return o != c && o.requirement() != c.requirement() && methodsMeet(c, o) &&
		slices.ContainsFunc(o.Paths, func(q string) bool { return overlap(d.shape(p), d.shape(q)) && !before(d.shape(q), d.shape(p)) })
}

// before reports that the filter prefers shape a where both match: at the first
// segment in which they differ, literal is before {name} before * before **.
func before(a, b string) bool {
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
	left, right := strings.Split(a, "/"), strings.Split(b, "/")
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

// shape is the same for templates that match the same paths.
func (d *Draft) shape(template string) string {
	shape := regexp.MustCompile(`\{[^/]*\}`).ReplaceAllString(strings.TrimSuffix(template, "/"), "{}")
	if d.Case == "insensitive" {
		shape = strings.ToLower(shape)
	}
	return shape
}

// overlap reports that some path matches both shapes.
func overlap(a, b string) bool {
	left, right := strings.Split(a, "/"), strings.Split(b, "/")
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
