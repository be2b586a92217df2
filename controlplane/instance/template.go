package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

var (
	// ErrTemplate: the site has no such resource with instances.
	ErrTemplate = errors.New("the site has no resource of this name with variables in it")
	// ErrValues: the values cannot be those of a path.
	ErrValues = errors.New("the values are not those of the variables of a path")
)

const (
	// maxValue is the filter's bound of a value, in bytes.
	maxValue = 128
	// maxName bounds the name at the AS: Keycloak's column has 255.
	maxName = 255
)

// template is a declared resource with instances.
type template struct {
	resource *site.Resource
	name     route.Name
	fold     bool
	spec     json.RawMessage
}

// spec is what an instance is registered with, besides name and owner.
type spec struct {
	Type    string   `json:"type,omitempty"`
	IconURI string   `json:"icon_uri,omitempty"`
	Scopes  []string `json:"scopes"`
}

// templatesOf compiles the resources with instances of a site. The file has been
// validated.
func templatesOf(s *site.Site) (map[string]*template, error) {
	out := map[string]*template{}
	for i := range s.Resources {
		r := &s.Resources[i]
		if !r.HasInstances() || s.Require == config.RequireOAuthScopes {
			continue
		}
		name, err := route.ParseName(r.Name)
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", r.Name, err)
		}
		scopes := slices.Compact(slices.Sorted(slices.Values(r.RegisteredScopes())))
		encoded, err := json.Marshal(spec{Type: r.Type, IconURI: r.IconURI, Scopes: scopes})
		if err != nil {
			return nil, fmt.Errorf("resource %s: %w", r.Name, err)
		}
		out[r.Name] = &template{resource: r, name: name, fold: s.Case == config.CaseInsensitive, spec: encoded}
	}
	return out, nil
}

// canonical checks values, and returns them in the one spelling that they have, with
// the name at the AS.
func (t *template) canonical(values []string) ([]string, string, error) {
	variables := t.name.Variables()
	if len(values) != len(variables) {
		return nil, "", fmt.Errorf("%w: %s has %d of them, not %d", ErrValues, t.resource.Name, len(variables), len(values))
	}
	out := make([]string, len(values))
	for i, v := range values {
		switch {
		case v == "" || len(v) > maxValue:
			return nil, "", fmt.Errorf("%w: {%s} is empty or longer than %d bytes", ErrValues, variables[i], maxValue)
		case v == "." || v == ".." || !utf8.ValidString(v) || strings.ContainsFunc(v, func(r rune) bool { return r == '/' || r < ' ' || r == 0x7F }):
			return nil, "", fmt.Errorf("%w: {%s} has a character that no path segment has", ErrValues, variables[i])
		}
		if out[i] = v; t.fold {
			out[i] = strings.Map(func(r rune) rune {
				if r >= 'A' && r <= 'Z' {
					return r | 0x20
				}
				return r
			}, v)
		}
	}
	name := t.name.Expand(out)
	if len(name) > maxName {
		return nil, "", fmt.Errorf("%w: the name %s is longer than %d bytes", ErrValues, name, maxName)
	}
	return out, name, nil
}

// valuesOf reads the values out of a path that is an instance's own.
func (t *template) valuesOf(path string) ([]string, error) {
	parsed, err := route.ParsePath(path, "", false)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrValues, err)
	}
	for i := range t.resource.Conditions {
		c := &t.resource.Conditions[i]
		for _, text := range c.Paths {
			source, err := route.ParseTemplate(text)
			if err != nil || c.Public || c.Deny {
				continue
			}
			table := route.NewTable(t.fold)
			table.Add(source, 0)
			if found, _ := table.Match(parsed, nil); found < 0 {
				continue
			}
			if values := ownValues(source, t.name.Variables(), parsed); values != nil {
				return values, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no path of %s is %s, or it goes on after its variables", ErrValues, t.resource.Name, path)
}

// ownValues are the values of a path that matches a template and ends with a
// variable that is a whole segment; nil when it does not.
func ownValues(source route.Template, variables []string, path route.Path) []string {
	values := make([]string, len(variables))
	last := false
	for i, variable := range variables {
		at, ok := source.Place(variable)
		if !ok || !at.Whole() {
			return nil
		}
		segment, ends := path.Segment(at.Segment)
		values[i], last = segment, last || ends
	}
	if !last {
		return nil
	}
	return values
}

// registration is what the AS is told.
func (s spec) registration(name, owner, id string) as.Resource {
	return as.Resource{ID: id, Name: name, Type: s.Type, IconURI: s.IconURI, Scopes: s.Scopes, Owner: owner}
}
