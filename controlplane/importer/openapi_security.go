package importer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/plugin/scope"
)

// sortedKeys are the indexes of an object's members in the order of its keys.
func sortedKeys(v *value) []int {
	out := make([]int, len(v.keysOf()))
	for i := range out {
		out[i] = i
	}
	slices.SortStableFunc(out, func(a, b int) int { return strings.Compare(v.keys[a], v.keys[b]) })
	return out
}

// readSchemes reads the security schemes.
func (r *reading) readSchemes() {
	r.schemes = map[string]*value{}
	for _, schemes := range []*value{r.document.get("securityDefinitions"), r.document.get("components").get("securitySchemes")} {
		schemes, err := r.documents.follow(schemes)
		if err != nil {
			r.noteNarrowed("components.securitySchemes", "they cannot be read: %v", err)
			continue
		}
		for i := range schemes.size() {
			scheme, err := r.documents.follow(schemes.items[i])
			if err != nil {
				r.noteNarrowed("components.securitySchemes."+schemes.keys[i], "it cannot be read: %v", err)
				continue
			}
			r.schemes[schemes.keys[i]] = scheme
		}
	}
}

// schemeKind is the type of a security scheme, or what stands for it.
func (r *reading) schemeKind(name string) string {
	scheme := r.schemes[name]
	kind := scheme.string("type")
	switch {
	case kind == "":
		return "undefined"
	case kind == "http" && strings.EqualFold(scheme.string("scheme"), "bearer"):
		return "bearer"
	}
	return kind
}

// requirement carries over the security of an operation: alternatives of schemes
// that are needed together (OpenAPI 3.1 section 4.8.30).
func (r *reading) requirement(place, method string, op *value) need {
	found, at := declared(op), place+".security"
	if found == nil {
		found, at = declared(r.document), "security"
	}
	if found == nil {
		made := enforcer.MadeUp(method)
		r.noteNarrowed(place, "no security is declared: scope %q is made up; write public: true if everybody may call it", made)
		return needs([]string{made})
	}
	out := need{public: true}
	for _, one := range found { // more than one where the key stands twice
		out = out.and(r.alternatives(place, at, method, one))
	}
	return out
}

// declared are the values of security that are not null.
func declared(v *value) (out []*value) {
	for _, one := range v.all("security") {
		if one.kind != isNull {
			out = append(out, one)
		}
	}
	return out
}

func (r *reading) alternatives(place, at, method string, list *value) need {
	items := list.items
	switch {
	case list.kind == isObject && len(list.keys) > 0:
		items = []*value{list}
		r.note(place, "%s is an object, and is read as a list with that in it (%s)", at, list.at())
	case list.kind != isList:
		r.noteNarrowed(place, "%s cannot be read (%s: it is %s, not a list). It is denied now", at, list.at(), list.kind)
		return nobody()
	case len(items) == 0:
		return need{public: true}
	}
	var alternatives [][]string
	for i, item := range items {
		here := at + "[" + strconv.Itoa(i) + "]"
		switch {
		case item.kind != isObject:
			r.noteNarrowed(place, "the alternative %s is left out (%s: it is %s, not an object)", here, item.at(), item.kind)
		case len(item.keys) == 0:
			r.noteChanged(place, "a token is optional (%s is empty): it is public here, and the API judges the token", here)
			return need{public: true}
		default:
			if scopes, ok := r.scopes(place, here, method, item); ok {
				alternatives = append(alternatives, scopes)
			}
		}
	}
	if len(alternatives) == 0 {
		alternatives = [][]string{{enforcer.MadeUp(method)}}
		r.noteChanged(place, "no alternative of its security can be checked by a token: scope %q is made up", alternatives[0][0])
	}
	out := needs(alternatives...)
	for out.problem() != nil && len(alternatives) > 1 {
		alternatives = alternatives[:len(alternatives)-1]
		out = needs(alternatives...)
		r.noteNarrowed(place, "%s has more alternatives than a requirement holds: only the first are taken", at)
	}
	if err := out.problem(); err != nil {
		r.noteNarrowed(place, "%s cannot be written (%v). It is denied now", at, err)
		return nobody()
	}
	return out
}

// scopes gives what one alternative asks for; false when no token can satisfy it.
func (r *reading) scopes(place, at, method string, requirement *value) (out []string, ok bool) {
	var others []string
	for _, i := range sortedKeys(requirement) {
		name, list := requirement.keys[i], requirement.items[i]
		kind := r.schemeKind(name)
		switch kind {
		case "oauth2", "openIdConnect", "bearer":
			if ok {
				r.noteChanged(place, "%s wants several tokens; one token with all of their scopes is asked for", at)
			}
			ok = true
		default:
			others = append(others, fmt.Sprintf("%s (%s)", name, kind))
			continue
		}
		names, problem := scopeNames(list)
		if problem != "" {
			r.noteNarrowed(place, "the alternative %s is left out (%s)", at, problem)
			return nil, false
		}
		out = append(out, names...)
	}
	switch {
	case !ok:
		r.noteNarrowed(place, "the alternative %s is left out: %s cannot be checked by a token", at, strings.Join(others, ", "))
		return nil, false
	case len(others) > 0:
		r.noteChanged(place, "%s wants %s, too, which is not checked here: let the API go on checking it", at, strings.Join(others, ", "))
	}
	if out = enforcer.Unique(out); len(out) == 0 {
		out = []string{enforcer.MadeUp(method)}
		r.noteNarrowed(place, "%s names no scope: %q is made up", at, out[0])
	}
	return out, true
}

// scopeNames are the scopes of one scheme.
func scopeNames(list *value) (out []string, problem string) {
	if list.kind == isNull {
		return nil, ""
	}
	if list.kind != isList {
		return nil, fmt.Sprintf("%s: its scopes are %s, not a list", list.at(), list.kind)
	}
	for _, s := range list.items {
		if s.kind != isText || !scope.IsToken(s.text) {
			return nil, fmt.Sprintf("%s: %q is no scope that a token can have", s.at(), s.text)
		}
		out = append(out, s.text)
	}
	return out, ""
}
