package importer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gluuResource is an entry of "resources" (oxd) or "uma_scope_expression" (Gluu
// Gateway).
type gluuResource struct {
	Path       string          `json:"path"`
	Conditions []gluuCondition `json:"conditions"`
}

type gluuCondition struct {
	Methods      []string        `json:"httpMethods"`
	Scopes       []string        `json:"scopes"`
	TicketScopes []string        `json:"ticketScopes"`
	Expression   *gluuExpression `json:"scope_expression"`
}

type gluuExpression struct {
	Rule json.RawMessage `json:"rule"`
	Data []string        `json:"data"`
}

// gluuDocument has the list, and what else is of use.
type gluuDocument struct {
	place     string
	resources []json.RawMessage
	gateway   bool
	opHost    string
}

// Gluu reads what is protected by an oxd application (the uma_rs_protect command,
// its params, or their "resources") or by a Gluu Gateway (the "uma_scope_expression"
// of its UMA plugin).
func Gluu(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := findGluu(data)
	if err != nil {
		return nil, err
	}
	d := newDraft(settings, source)
	d.Issuer = or(d.Issuer, document.opHost)
	if !document.gateway {
		d.Case = "insensitive" // oxd compares paths without case
	}
	for i, raw := range document.resources {
		place := document.place + "[" + strconv.Itoa(i) + "]"
		var r gluuResource
		if err := json.Unmarshal(raw, &r); err != nil {
			d.note(place, "left out, and so denied: %v", err)
			continue
		}
		d.gluuResource(place, r)
	}
	if len(d.Resources) == 0 {
		return nil, fmt.Errorf("%w: no resource with conditions%s", ErrNothing, d.reasons())
	}
	return d, nil
}

// findGluu finds the list of resources, as deep as the forms have it.
func findGluu(data []byte) (gluuDocument, error) {
	var out gluuDocument
	data = bytes.TrimSpace(data)
	if len(data) > 0 && data[0] == '[' {
		out.place = "resources"
		return out, list(data, "", &out.resources)
	}
	members, err := object(data)
	if err != nil {
		return out, err
	}
	place := ""
	for range 3 {
		if host, ok := members["op_host"]; ok {
			_ = json.Unmarshal(host, &out.opHost) // of another type it is of no use
		}
		for _, key := range []string{"resources", "uma_scope_expression"} {
			if raw, ok := members[key]; ok {
				out.place, out.gateway = place+key, key != "resources"
				return out, list(raw, out.place, &out.resources)
			}
		}
		inner, ok := members["params"]
		name := "params."
		if !ok {
			inner, name = members["config"], "config."
		}
		place += name
		if members, err = object(inner); err != nil {
			break
		}
	}
	return out, fmt.Errorf("%w: it has no resources (uma_rs_protect) and no uma_scope_expression (Gluu Gateway)", ErrSource)
}

// list reads an array, or a string with one in it, as Kong's database keeps it.
func list(raw json.RawMessage, place string, to *[]json.RawMessage) error {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		raw = json.RawMessage(text)
	}
	if err := json.Unmarshal(raw, to); err != nil {
		return fmt.Errorf("%w: %s: not a list: %w", ErrSource, place, err)
	}
	return nil
}

func (d *Draft) gluuResource(place string, r gluuResource) {
	if r.Path == "" {
		d.note(place, "left out: it has no path")
		return
	}
	paths, lost, names := gluuTemplate(r.Path)
	for _, l := range append(names, lost...) {
		d.note(place+".path", "%s", l)
	}
	if len(r.Conditions) == 0 {
		d.leftOut(place, r.Path, "it has no condition")
	}
	for i, c := range r.Conditions {
		at := place + ".conditions[" + strconv.Itoa(i) + "]"
		out := Condition{Place: at, Paths: slices.Clone(paths), TicketScopes: unique(c.TicketScopes), widened: len(lost) > 0}
		every := false
		for _, m := range c.Methods {
			every = every || m == "?"
			out.Methods = append(out.Methods, strings.ToUpper(m))
		}
		if every {
			out.Methods = nil
		} else if out.Methods = unique(out.Methods); len(out.Methods) == 0 {
			d.leftOut(at, r.Path, "it names no method")
			continue
		}
		if why := d.gluuScopes(&out, c); why != "" {
			d.leftOut(at, r.Path, why)
			continue
		}
		// One registration for each condition, named as oxd names it: a permission on
		// one is none on the others.
		name := "[" + strings.Join(out.Methods, ", ") + "] " + r.Path
		if every {
			name = r.Path
		}
		to := d.resource(name)
		to.Conditions = append(to.Conditions, out)
	}
}

// gluuScopes carries over what a condition needs. The text says why it cannot.
func (d *Draft) gluuScopes(out *Condition, c gluuCondition) (problem string) {
	scopes := unique(c.Scopes)
	if c.Expression == nil {
		if len(scopes) == 0 {
			return "it names no scope"
		}
		out.Scopes = scopes
		return ""
	}
	if len(c.Expression.Data) == 0 {
		return "its scope_expression has no data"
	}
	if len(scopes) > 0 {
		d.note(out.Place, "scopes %q are left out: the scope_expression beside them is what is asked for", scopes)
	}
	rule := bytes.TrimSpace(c.Expression.Rule)
	if len(rule) == 0 || string(rule) == "null" {
		d.note(out.Place, "scope_expression has no rule: one of its data is asked for")
		out.Scopes = unique(c.Expression.Data)
		return ""
	}
	// JSON on one line, with every character outside of ASCII escaped, is YAML, too.
	var value any
	decoder := json.NewDecoder(bytes.NewReader(rule))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return "its rule is not JSON"
	}
	encoded, err := json.Marshal(value)
	if err != nil || strings.Contains(string(encoded), "${") {
		return "its rule is not one of JsonLogic"
	}
	out.Rule, out.Data = strings.NewReplacer(`":`, `": `, `,`, `, `).Replace(string(encoded)), c.Expression.Data
	return ""
}

// gluuTemplate reads Gluu Gateway's patterns: "?" is one segment, "??" any
// number, "{a|b}" a regular expression of one segment; and umagate's own. names
// tells of braces that are read as umagate's.
func gluuTemplate(path string) (forms, lost, names []string) {
	seen := map[string]bool{}
	words := regexp.MustCompile(`^[A-Za-z0-9_~.-]+(\|[A-Za-z0-9_~.-]+)+$`)
	name := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*$`)
	t := templates{segment: func(text string, _ bool) ([]string, string) {
		inner := strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
		braced := len(inner) == len(text)-2
		switch {
		case text == "?", text == "*":
			return []string{"*"}, ""
		case text == "??", text == "**":
			return []string{"**"}, ""
		case braced && words.MatchString(inner) && !strings.Contains(inner, "."):
			return strings.Split(inner, "|"), ""
		case braced && name.MatchString(inner):
			form, _ := parameter(text, seen)
			names = append(names, fmt.Sprintf("%q is taken as the name of a parameter, not as a regular expression", text))
			return []string{form}, ""
		case braced:
			return []string{"*"}, fmt.Sprintf("the regular expression %q is not checked: any segment is taken", text)
		case strings.ContainsAny(text, "?{}"):
			return []string{"*"}, fmt.Sprintf("%q is not a whole pattern: any segment is taken", text)
		}
		return []string{literal(text)}, ""
	}}
	forms, lost = t.of(path)
	return forms, lost, names
}
