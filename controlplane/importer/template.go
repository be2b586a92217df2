package importer

import (
	"fmt"
	"regexp"
	"strings"
)

// templates turns source paths into templates. Each kind of source has its own
// reading of a segment.
type templates struct {
	// segment gives the forms of one segment, and what was lost.
	segment func(text string, last bool) (forms []string, lost string)
}

// maxForms bounds what alternations multiply to.
const maxForms = 64

// of gives the templates of a path, and what was lost, if anything.
func (t templates) of(path string) (out []string, lost []string) {
	if cut := strings.IndexAny(path, "#"); cut >= 0 {
		path, lost = path[:cut], append(lost, "the fragment is no part of a path")
	}
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	out = []string{""}
	segments := strings.Split(path[1:], "/")
	for i, text := range segments {
		forms, problem := t.segment(text, i == len(segments)-1)
		if problem != "" {
			lost = append(lost, problem)
		}
		if len(forms)*len(out) > maxForms {
			forms, lost = []string{"*"}, append(lost, fmt.Sprintf("%q has too many alternatives: any segment is taken", text))
		}
		var next []string
		for _, before := range out {
			for _, f := range forms {
				next = append(next, before+"/"+f)
			}
		}
		out = next
		if len(forms) == 1 && forms[0] == "**" {
			if i < len(segments)-1 {
				lost = append(lost, fmt.Sprintf("what follows %q is not looked at: everything below is covered", text))
			}
			break
		}
	}
	return out, lost
}

// braces finds {…} in a segment.
func braces() *regexp.Regexp { return regexp.MustCompile(`\{([^{}]*)\}`) }

// parameter reads a segment with {name} in it, as OpenAPI and Keycloak write
// them. seen has the names of the path so far.
func parameter(text string, seen map[string]bool) (form, lost string) {
	whole := braces().FindStringSubmatch(text)
	switch {
	case whole == nil:
		return literal(text), ""
	case whole[0] != text:
		return "*", fmt.Sprintf("%q is more than one parameter: any segment is taken", text)
	}
	name := variableName(whole[1])
	for base, n := name, 2; seen[name]; n++ {
		name = fmt.Sprintf("%s_%d", base, n)
	}
	seen[name] = true
	return "{" + name + "}", ""
}

// literal writes characters that a template takes for its own in their encoded
// form.
func literal(text string) string {
	return strings.NewReplacer("*", "%2A", "{", "%7B", "}", "%7D", "?", "%3F").Replace(text)
}

// variableName makes a name that a template takes of any text.
func variableName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, text)
	if name == "" || ((name[0]|0x20 < 'a' || name[0]|0x20 > 'z') && name[0] != '_') {
		name = "p" + name
	}
	return name
}
