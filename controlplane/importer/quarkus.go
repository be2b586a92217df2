package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// prodProfile is the profile that an application of Quarkus runs in.
const prodProfile = "prod"

// Quarkus reads the quarkus.keycloak.policy-enforcer of an application.properties or an
// application.yaml. What it sets for the profile holds, and that of other profiles not.
func Quarkus(source string, data []byte, settings Settings) (*Draft, error) {
	trees, err := readSettings(source, data)
	if err != nil {
		return nil, err
	}
	profile := cmp.Or(settings.Profile, prodProfile)
	root, skipped := &value{kind: isObject}, []string(nil)
	var later []*value
	for _, tree := range trees {
		for i, key := range tree.keys {
			switch names, ok := strings.CutPrefix(key, "%"); {
			case !ok:
				root = merged(root, &value{kind: isObject, keys: []string{key}, items: []*value{tree.items[i]}})
			case slices.Contains(strings.Split(strings.Trim(names, "{}"), ","), profile):
				later = append(later, tree.items[i])
			case tree.items[i].member("quarkus", "keycloak") != nil:
				skipped = append(skipped, key)
			}
		}
	}
	for _, tree := range later {
		root = merged(root, tree)
	}
	keycloak := root.member("quarkus", "keycloak")
	enforcer := keycloak.get("policy-enforcer")
	if !enforcer.is(isObject) {
		return nil, fmt.Errorf("%w: it has no quarkus.keycloak.policy-enforcer", ErrSource)
	}
	s := &enforcerSource{place: "quarkus.keycloak.policy-enforcer.", unordered: true}
	if s.enforcerConfig, err = readEnforcer(s.ofQuarkus(enforcer)); err != nil {
		return nil, err
	}
	oidc := root.member("quarkus", "oidc")
	s.client = oidc.string("client-id")
	if server, realm, ok := strings.Cut(strings.TrimSuffix(oidc.string("auth-server-url"), "/"), "/realms/"); ok {
		s.server, s.realm = server, realm
	}
	if enforcer.string("enable") != "true" {
		s.tell(Changed, "enable", enforcer.line, "the extension enforces nothing unless enable is true; this is imported as if it were")
	}
	for _, key := range skipped {
		s.tell(Information, "", 0, "%s is not read: it is another profile than %q, see --profile", key, profile)
	}
	s.quarkusGuards(root, keycloak)
	return fromEnforcer(source, s, settings)
}

// ofQuarkus makes the enforcer's own object of the settings.
func (s *enforcerSource) ofQuarkus(v *value) *value {
	lazy := cmp.Or(v.string("lazy-load-paths"), "true")
	list := &value{kind: isList}
	for _, i := range sortedKeys(v.get("paths")) {
		id, one := v.get("paths").keys[i], v.get("paths").items[i]
		if !one.is(isObject) {
			continue
		}
		methods := &value{kind: isList}
		for _, k := range sortedKeys(one.get("methods")) {
			m := one.get("methods").items[k]
			methods.items = append(methods.items, newObject(m.line,
				"method", m.get("method"), "scopes", &value{kind: isList, items: m.get("scopes").listed(), line: m.line},
				"scopes-enforcement-mode", upper(m.get("scopes-enforcement-mode"))))
		}
		place := s.place + "paths." + id
		add := func(path *value, pairs ...any) {
			s.places = append(s.places, place)
			list.items = append(list.items, newObject(cmp.Or(path.lineOf(), one.line), append(pairs, "name", one.get("name"), "path", path,
				"enforcement-mode", upper(one.get("enforcement-mode")), "methods", methods, "claim-information-point", one.get("claim-information-point"))...))
		}
		paths := one.get("paths").listed()
		for _, path := range paths {
			add(path)
		}
		if old := one.get("path"); old.is(isText) && !slices.ContainsFunc(paths, func(p *value) bool { return p.text == old.text }) {
			if strings.EqualFold(strings.TrimSpace(one.string("enforcement-mode")), modeDisabled) {
				s.tell(Narrowed, "paths."+id+".path", old.line, "newer versions of Quarkus do not read path, so that a wider path guards it: %q is denied. Write paths in its place", old.text)
				add(old, "deny", "true")
			} else {
				add(old)
			}
		} else if len(paths) == 0 {
			add(nil)
		}
	}
	return newObject(v.line,
		"enforcement-mode", upper(v.get("enforcement-mode")), "http-method-as-scope", v.get("http-method-as-scope"), "lazy-load-paths", lazy,
		"path-cache", newObject(v.line), "claim-information-point", v.get("claim-information-point"), "paths", list)
}

// lineOf is the line of a value, 0 where there is none.
func (v *value) lineOf() int {
	if v == nil {
		return 0
	}
	return v.line
}

// quarkusGuards says what else of the settings guards paths.
func (s *enforcerSource) quarkusGuards(root, keycloak *value) {
	var found []string
	permissions := root.member("quarkus", "http", "auth", "permission")
	for i, key := range permissions.keysOf() {
		if p := permissions.items[i]; p.string("policy") != "permit" || p.string("enabled") == "false" {
			found = append(found, "quarkus.http.auth.permission."+key+" (line "+strconv.Itoa(p.line)+")")
		}
	}
	for i, key := range keycloak.keysOf() {
		if keycloak.items[i].get("policy-enforcer") != nil {
			found = append(found, "the tenant "+strconv.Quote(key)+" (line "+strconv.Itoa(keycloak.items[i].line)+"), whose policy enforcer is not read")
		}
	}
	if len(found) > 0 {
		s.guards = strings.Join(found, ", ") + " may guard paths, too"
	}
	s.tell(Information, "", 0, "annotations in the code, such as @RolesAllowed, are not in the settings")
}
