package kept

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// deniedResource has the paths that nobody may have.
const deniedResource = "denied (resources_at_as)"

// Note is something that a condition does not say as the policy enforcer has it.
type Note struct {
	// Resource is the name of the resource that it is about; empty for none.
	Resource string `json:"resource,omitempty"`
	Text     string `json:"text"`
	// Narrowed: less passes than at the enforcer.
	Narrowed bool `json:"narrowed,omitempty"`
}

// Compiled is what comes of a reading. It does not change.
type Compiled struct {
	site.Kept

	Notes []Note
}

// Compile makes conditions of what is in force for a site. Those of the file win where
// they are about the same paths and methods. The filter's own core has judged them: an
// error says that the paths cannot be compared, or what the filter would refuse.
func Compile(s *site.Site, r *Reading) (Compiled, error) {
	c := &compiler{site: s, names: map[string]string{}}
	c.source = &enforcer.Source{
		MethodAsScope: s.ResourcesAtAS.HTTPMethodAsScope, Permissive: s.Unmatched == config.UnmatchedAuthenticated || s.Unmatched == config.UnmatchedAllow,
		Unordered: true, Loaded: true, Notes: c,
	}
	c.name(r.Resources)
	for i := range r.Resources {
		c.enter(&r.Resources[i])
	}
	values := c.values(r.Resources)
	if c.source.Permissive {
		for _, uri := range r.Withdrawn {
			c.withdrawn(uri)
		}
	}
	conditions, guarded, err := c.source.Conditions()
	if err != nil {
		return Compiled{}, err
	}
	out := Compiled{Kept: site.Kept{Resources: c.resources(conditions, r, values)}}
	switch {
	case guarded != "":
		out.Closed = true
		c.add("", true, "what no path names is denied, whatever unmatched says: some of it is guarded, such as %q", guarded)
	case len(r.Resources) == 0:
		out.Closed = true
		c.add("", true, "no resource has a path: every path that the file does not name is denied")
	}
	out.Notes = c.notes
	return out, c.judge(&out)
}

type compiler struct {
	site   *site.Site
	source *enforcer.Source
	names  map[string]string // of resources, by id
	notes  []Note
}

// name gives each resource a name that no other of the site has.
func (c *compiler) name(resources []Resource) {
	count := map[string]int{deniedResource: 1}
	for i := range c.site.Resources {
		count[c.site.Resources[i].Name]++
	}
	for i := range resources {
		count[resources[i].Name]++
	}
	for i := range resources {
		name := resources[i].Name
		if count[name] > 1 || name == "" {
			name += " (" + resources[i].ID + ")"
		}
		c.names[resources[i].ID] = name
	}
}

// enter enters each path of a resource. One that several have is denied: at the enforcer,
// the one that it loads last counts, and which that is is not known.
func (c *compiler) enter(r *Resource) {
	name := c.names[r.ID]
	for _, uri := range r.URIs {
		if !readable(uri) {
			c.unreadable(name, uri)
			continue
		}
		e, first := c.source.Entry(name, uri)
		switch {
		case first:
			e.Resource, e.Name, e.Scopes = r.ID, name, r.Scopes
		case e.Resource != r.ID:
			c.add(name, true, "%q is a path of %q, too: it is denied", uri, e.Name)
			e.Denied = true
		}
	}
}

func readable(uri string) bool { return len(uri) <= maxURI && enforcer.Readable(uri) }

// unreadable denies what begins like a path by which the enforcer loses its way.
func (c *compiler) unreadable(name, uri string) {
	begin := "/"
	for text := range strings.SplitSeq(strings.TrimPrefix(uri, "/"), "/") {
		const deep = 8
		if strings.ContainsAny(text, "{}*") || strings.Count(begin, "/") > deep || len(begin)+len(text) > maxURI {
			break
		}
		begin += text + "/"
	}
	c.add(name, true, "%q has a brace too few or too many in a segment, or is very long: everything below %q is denied", clip(uri), begin)
	for _, path := range []string{begin + "*", uri} {
		if path == uri && len(uri) > maxURI {
			continue
		}
		e, first := c.source.Entry(name, path)
		if first {
			e.Resource, e.Name = name, name
		}
		e.Denied = true
	}
}

func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

// withdrawn denies what no resource has any more, where otherwise nothing would be asked.
func (c *compiler) withdrawn(uri string) {
	if e, first := c.source.Entry("", uri); first {
		e.Resource, e.Name, e.Withdrawn = uri, uri, true
	}
}

// resources makes resources of conditions. What values has is denied, unless it is a URI of
// a resource.
func (c *compiler) resources(conditions []enforcer.Condition, r *Reading, values []string) []config.Resource {
	taken := c.taken()
	out := []config.Resource{}
	index := map[string]int{}
	put := func(id, name string, condition config.Condition) {
		at, ok := index[name]
		if !ok {
			at = len(out)
			index[name], out = at, append(out, config.Resource{Name: name, ID: id})
		}
		out[at].Conditions = append(out[at].Conditions, condition)
	}
	denied, has := map[string]bool{}, map[string]bool{}
	for _, template := range values {
		denied[enforcer.Key(template)] = true
	}
	for i := range r.Resources {
		for _, uri := range r.Resources[i].URIs {
			delete(denied, enforcer.Key(uri))
		}
	}
	for i := range conditions {
		from := &conditions[i]
		to := config.Condition{Paths: []string{from.Path}, Methods: from.Methods}
		has[enforcer.Key(from.Path)] = true
		if !taken.leave(&to) {
			c.add(c.names[from.Resource], false, "%s is what the file says", from.Path)
			continue
		}
		id, name := from.Resource, c.names[from.Resource]
		switch {
		case denied[enforcer.Key(from.Path)]:
			to.Deny, id, name = true, "", deniedResource
		case from.Permission:
			to.AnyPermission = true
		case len(from.Scopes) > 0:
			ask(&to, from.Scopes)
		default: // nothing that an AS keeps is public
			to.Deny, id, name = true, "", deniedResource
		}
		put(id, name, to)
	}
	values = slices.DeleteFunc(values, func(template string) bool { return has[enforcer.Key(template)] || !denied[enforcer.Key(template)] })
	for _, template := range slices.Concat(c.guards(r, has, taken), values) {
		to := config.Condition{Paths: []string{template}, Deny: true}
		if taken.leave(&to) {
			put("", deniedResource, to)
		}
	}
	for i := range out {
		out[i].Conditions = joined(out[i].Conditions)
	}
	return out
}

// guards are templates of withdrawn paths that a public condition of the file could open.
func (c *compiler) guards(r *Reading, has map[string]bool, taken taken) (out []string) {
	var public []string
	for i := range c.site.Resources {
		for j := range c.site.Resources[i].Conditions {
			if one := &c.site.Resources[i].Conditions[j]; one.Public {
				public = append(public, one.Paths...)
			}
		}
	}
	for _, uri := range r.Withdrawn {
		for _, template := range enforcer.Templates(uri) {
			k := enforcer.Key(template)
			_, named := taken[k]
			if has[k] || named || !slices.ContainsFunc(public, func(p string) bool { return enforcer.Meets(p, template) }) {
				continue
			}
			has[k] = true
			c.add("", true, "%q was protected and is not any more: it stays denied until the file names the very path %s", uri, template)
			out = append(out, template)
		}
	}
	return out
}

// ask writes alternatives of scopes.
func ask(to *config.Condition, alternatives [][]string) {
	var data []string
	single := true
	for _, all := range alternatives {
		data, single = append(data, all...), single && len(all) == 1
	}
	data = enforcer.Unique(data)
	if single {
		to.Scopes = data
		return
	}
	var either []any
	for _, all := range alternatives {
		var each []any
		for _, s := range enforcer.Unique(all) {
			each = append(each, map[string]int{"var": slices.Index(data, s)})
		}
		either = append(either, map[string]any{"and": each})
	}
	rule, err := json.Marshal(map[string]any{"or": either})
	if err != nil {
		to.Deny = true // numbers always encode
		return
	}
	to.ScopeExpression = &config.ScopeExpression{Rule: rule, Data: data}
}

// joined makes one condition of those that differ in their paths only.
func joined(conditions []config.Condition) []config.Condition {
	var out []config.Condition
	index := map[string]int{}
	for _, one := range conditions {
		paths := one.Paths
		one.Paths = nil
		text, err := json.Marshal(one)
		one.Paths = paths
		if at, ok := index[string(text)]; ok && err == nil {
			out[at].Paths = append(out[at].Paths, paths...)
			continue
		}
		index[string(text)] = len(out)
		out = append(out, one)
	}
	return out
}

// taken are the methods that the file names, by path; nil for all of them.
type taken map[string][]string

func (c *compiler) taken() taken {
	out := taken{}
	for i := range c.site.Resources {
		for j := range c.site.Resources[i].Conditions {
			one := &c.site.Resources[i].Conditions[j]
			for _, path := range one.Paths {
				k := enforcer.Key(path)
				have, there := out[k]
				if len(one.Methods) == 0 || there && have == nil {
					out[k] = nil
					continue
				}
				out[k] = append(have, one.Methods...)
			}
		}
	}
	return out
}

// leave takes out of a condition the methods that the file has, and reports whether there
// are some left. GET speaks for HEAD in both.
func (t taken) leave(c *config.Condition) bool {
	have, there := t[enforcer.Key(c.Paths[0])]
	switch {
	case !there:
		return true
	case have == nil:
		return false
	case len(c.Methods) == 0:
		return true // a condition for all methods gives way to those that are named
	}
	c.Methods = slices.DeleteFunc(slices.Clone(c.Methods), func(m string) bool { return slices.Contains(have, m) })
	return len(c.Methods) > 0
}

// judge lets the filter's own core judge what the site is with it.
func (c *compiler) judge(out *Compiled) error {
	if err := site.JudgeKept(c.site, &out.Kept); err != nil {
		return fmt.Errorf("the filter would refuse what comes of the resources: %w", err)
	}
	return nil
}

func (c *compiler) add(resource string, narrowed bool, format string, args ...any) {
	n := Note{Resource: resource, Text: fmt.Sprintf(format, args...), Narrowed: narrowed}
	if !slices.Contains(c.notes, n) {
		c.notes = append(c.notes, n)
	}
}

// Note is [enforcer.Notes].
func (c *compiler) Note(place, format string, args ...any) {
	c.add(strings.TrimSuffix(place, ".path"), false, format, args...)
}

// Narrowed is [enforcer.Notes].
func (c *compiler) Narrowed(place, format string, args ...any) {
	c.add(strings.TrimSuffix(place, ".path"), true, format, args...)
}

// Changed is [enforcer.Notes].
func (c *compiler) Changed(place, format string, args ...any) {
	c.add(strings.TrimSuffix(place, ".path"), true, format, args...)
}
