package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Spring reads the policy enforcer in the settings of a Spring Boot application, YAML or
// properties: keycloak.policy-enforcer-config of Keycloak's adapter, or a policy-enforcer
// wherever an application keeps it.
func Spring(source string, data []byte, settings Settings) (*Draft, error) {
	trees, err := readSettings(source, data)
	if err != nil {
		return nil, err
	}
	s := &enforcerSource{}
	root := &value{kind: isObject}
	for _, tree := range trees {
		on := cmp.Or(tree.member("spring", "config", "activate", "on-profile"), tree.member("spring", "profiles"))
		names := []string{}
		for _, name := range on.listed() {
			names = append(names, strings.TrimSpace(name.text))
		}
		if on != nil && !slices.Contains(names, settings.Profile) {
			s.tell(Information, "", tree.lineOf(), "a document of the profile %q is not read: see --profile", strings.Join(names, ", "))
			continue
		}
		root = mergedDocuments(root, tree)
	}
	keycloak := relaxed(root, "keycloak")
	place, found := findSpring(root, keycloak)
	if found == nil {
		return nil, fmt.Errorf("%w: it has no keycloak.policy-enforcer-config and no policy-enforcer; is it the settings of a Spring Boot application?", ErrSource)
	}
	s.place = place
	if s.enforcerConfig, err = readEnforcer(enforcerOf(found)); err != nil {
		return nil, err
	}
	for _, of := range []*value{keycloak, root} {
		text := func(key string) string { return relaxed(of, key).textOf() }
		s.realm, s.server, s.client = cmp.Or(s.realm, text("realm")), cmp.Or(s.server, text("authserverurl")), cmp.Or(s.client, text("resource"))
	}
	if constraints := relaxed(keycloak, "securityconstraints"); constraints.any() {
		s.guards = fmt.Sprintf("keycloak.security-constraints (line %d) may guard paths, too", constraints.line)
	}
	s.tell(Information, "", 0, "what the code guards by Spring Security is not in the settings")
	d, err := fromEnforcer(source, s, settings)
	if prefix := root.member("server", "servlet", "context-path").textOf(); err == nil && prefix != "" && prefix != "/" {
		if strings.Contains(prefix, "${") || !strings.HasPrefix(prefix, "/") {
			return nil, fmt.Errorf("%w: server.servlet.context-path: %q: write its value", ErrSource, prefix)
		}
		d.prefixed(literal(prefix))
		if d.Unmatched != "" {
			d.Unmatched = ""
			d.noteNarrowed("server.servlet.context-path", "what no path names is denied after all: unmatched: authenticated would hold outside of %q, too. Write it if the host has nothing else", prefix)
		}
		d.note("server.servlet.context-path", "the enforcer's paths begin behind %q", prefix)
	}
	return d, err
}

// textOf is the text of a scalar.
func (v *value) textOf() string {
	if v.is(isText) {
		return v.text
	}
	return ""
}

// plainKey is a key as Spring compares it: in lower case, and of letters and digits.
func plainKey(key string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(key))
}

// relaxed gives a member by its plain key. What is written in several ways is one.
func relaxed(v *value, key string) (found *value) {
	for i, k := range v.keysOf() {
		switch {
		case plainKey(k) != key:
		case found == nil:
			found = v.items[i]
		default:
			found = mergedDocuments(found, v.items[i])
		}
	}
	return found
}

// findSpring finds the enforcer's object, and its place.
func findSpring(root, keycloak *value) (string, *value) {
	for _, key := range []string{"policyenforcerconfig", "policyenforcer"} {
		name := map[string]string{"policyenforcerconfig": "policy-enforcer-config.", "policyenforcer": "policy-enforcer."}[key]
		if v := relaxed(keycloak, key); v.is(isObject) {
			return "keycloak." + name, v
		}
		if v := relaxed(root, key); v.is(isObject) {
			return name, v
		}
	}
	var inside func(v *value, place string, depth int) (string, *value)
	inside = func(v *value, place string, depth int) (string, *value) {
		const deepest = 6
		if depth > deepest {
			return "", nil
		}
		for i, key := range v.keysOf() {
			item := v.items[i]
			if plain := plainKey(key); item.is(isObject) && (plain == "policyenforcer" || plain == "policyenforcerconfig") {
				return place + key + ".", item
			}
			if at, found := inside(item, place+key+".", depth+1); found != nil {
				return at, found
			}
		}
		return "", nil
	}
	if at, found := inside(root, "", 0); found != nil {
		return at, found
	}
	if relaxed(root, "paths") != nil {
		return "", root
	}
	return "", nil
}

// mergedDocuments puts what a later document sets over an earlier one. A list replaces a
// list as a whole.
func mergedDocuments(v, over *value) *value {
	if v == nil || v.kind != isObject || over.kind != isObject || isIndexed(over) || isIndexed(v) {
		return over
	}
	out := &value{kind: isObject, keys: slices.Clone(v.keys), items: slices.Clone(v.items), line: v.line}
	for i, key := range over.keys {
		at := slices.Index(out.keys, key)
		if at < 0 {
			out.keys, out.items = append(out.keys, key), append(out.items, over.items[i])
			continue
		}
		out.items[at] = mergedDocuments(out.items[at], over.items[i])
	}
	return out
}

func isIndexed(v *value) bool {
	return slices.ContainsFunc(v.keys, func(key string) bool { return strings.HasPrefix(key, "[") })
}

// enforcerOf writes the enforcer's object with the keys that it has in Keycloak's JSON.
func enforcerOf(v *value) *value {
	known := map[string]string{
		"enforcementmode": "enforcement-mode", "paths": "paths", "httpmethodasscope": "http-method-as-scope", "realm": "realm",
		"authserverurl": "auth-server-url", "resource": "resource", "lazyloadpaths": "lazy-load-paths", "pathcache": "path-cache",
		"pathcacheconfig": "path-cache", "usermanagedaccess": "user-managed-access", "ondenyredirectto": "on-deny-redirect-to",
		"claiminformationpoint": "claim-information-point", "claiminformationpointconfig": "claim-information-point", "name": "name",
		"type": "type", "path": "path", "scopes": "scopes", "methods": "methods", "method": "method", "scopesenforcementmode": "scopes-enforcement-mode",
		"deny": "deny",
	}
	out := &value{kind: isObject, line: v.line}
	for i, key := range v.keys {
		name, item := known[plainKey(key)], v.items[i]
		switch name {
		case "":
			continue
		case "paths", "methods":
			list := &value{kind: isList, line: item.line}
			for _, one := range item.listed() {
				if one.kind == isObject {
					one = enforcerOf(one)
				}
				list.items = append(list.items, one)
			}
			item = list
		case "scopes":
			item = &value{kind: isList, line: item.line, items: item.listed()}
		case "enforcement-mode", "scopes-enforcement-mode":
			item = upper(item)
		case "user-managed-access", "path-cache":
			item = &value{kind: isObject, line: item.line} // also where nothing is in it
		}
		if at := slices.Index(out.keys, name); at >= 0 {
			out.items[at] = item
			continue
		}
		out.keys, out.items = append(out.keys, name), append(out.items, item)
	}
	return out
}
