package importer

import (
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/plugin/config"
)

// enforcerConfig is a policy enforcer's configuration, alone or inside of
// keycloak.json.
type enforcerConfig struct {
	root                  *value
	mode                  string
	paths                 []enforcedPath
	methodAsScope         bool
	realm, server, client string
	lazyLoad, pathCache   bool
	// uma: the enforcer sends tickets. Otherwise it asks Keycloak what a token may.
	uma          bool
	denyRedirect string
	// claims: it pushes claims to Keycloak.
	claims bool
}

type enforcedPath struct {
	at                     *value
	name, kind, path, mode string
	scopes                 []string
	methods                []enforcedMethod
	claims, deny           bool
}

type enforcedMethod struct {
	at           *value
	method, mode string
	scopes       []string
}

// The modes of a policy enforcer.
const (
	modeEnforcing  = "ENFORCING"
	modePermissive = "PERMISSIVE"
	modeDisabled   = "DISABLED"
)

// maxSegments bounds the segments of a path.
const maxSegments = 32

const unmatchedAuthenticated = string(config.UnmatchedAuthenticated)

// members reads the members of an object, and keeps the first fault. Texts are read as
// Keycloak reads them, where numbers and booleans are texts, too, and "true" is a flag.
type members struct {
	of  *value
	err error
}

func (m *members) fault(v *value, format string, args ...any) {
	if m.err == nil {
		m.err = fmt.Errorf("%w: %s: %s", ErrSource, v.at(), fmt.Sprintf(format, args...))
	}
}

// once refuses a member that is there twice: readers differ in which one holds.
func (m *members) once() {
	for i, key := range m.of.keysOf() {
		if slices.Contains(m.of.keys[:i], key) {
			m.fault(m.of.items[i], "%s is there twice", key)
		}
	}
}

func (m *members) text(key string) string {
	v := m.of.get(key)
	if v != nil && v.kind != isText {
		m.fault(v, "%s is %s, not a text", key, v.kind)
	}
	return m.of.string(key)
}

func (m *members) flag(key string) bool {
	switch v := m.text(key); strings.ToLower(strings.TrimSpace(v)) {
	case "true", "1":
		return true
	case "false", "0", "":
	default:
		m.fault(m.of.get(key), "%s: %q is neither true nor false", key, v)
	}
	return false
}

// list gives the items of a list.
func (m *members) list(key string) []*value {
	v := m.of.get(key)
	if v == nil {
		return nil
	}
	if v.kind != isList {
		m.fault(v, "%s is %s, not a list", key, v.kind)
		return nil
	}
	return v.items
}

// texts gives the items of a list of texts, each once.
func (m *members) texts(key string) []string {
	var out []string
	for _, v := range m.list(key) {
		if v.kind != isText && v.kind != isNull {
			m.fault(v, "%s has %s, not a text", key, v.kind)
		}
		out = append(out, v.text)
	}
	return enforcer.Unique(out)
}

// object gives a member that is an object.
func (m *members) object(key string) *value {
	v := m.of.get(key)
	if v != nil && v.kind != isObject {
		m.fault(v, "%s is %s, not an object", key, v.kind)
		return nil
	}
	return v
}

// readEnforcer reads the object of a policy enforcer.
func readEnforcer(root *value) (enforcerConfig, error) {
	m := members{of: root}
	m.once()
	e := enforcerConfig{
		root: root, mode: strings.TrimSpace(m.text("enforcement-mode")), methodAsScope: m.flag("http-method-as-scope"),
		realm: m.text("realm"), server: m.text("auth-server-url"), client: m.text("resource"), lazyLoad: m.flag("lazy-load-paths"),
		pathCache: root.get("path-cache") != nil, uma: root.get("user-managed-access") != nil, denyRedirect: m.text("on-deny-redirect-to"),
		claims: root.get("claim-information-point").any(),
	}
	for _, v := range m.list("paths") {
		if v.kind == isNull {
			continue
		}
		if v.kind != isObject {
			m.fault(v, "paths has %s, not an object", v.kind)
			break
		}
		path, err := readEnforcedPath(v)
		if err != nil {
			return e, err
		}
		e.paths = append(e.paths, path)
	}
	return e, m.err
}

func readEnforcedPath(v *value) (enforcedPath, error) {
	m := members{of: v}
	m.once()
	p := enforcedPath{
		at: v, name: m.text("name"), kind: m.text("type"), path: m.text("path"), mode: m.text("enforcement-mode"), scopes: m.texts("scopes"),
		claims: v.get("claim-information-point").any(), deny: v.get("deny") != nil && m.flag("deny"),
	}
	for _, one := range m.list("methods") {
		if one.kind == isNull {
			continue
		}
		if one.kind != isObject {
			m.fault(one, "methods has %s, not an object", one.kind)
			break
		}
		of := members{of: one}
		of.once()
		p.methods = append(p.methods, enforcedMethod{at: one, method: of.text("method"), mode: of.text("scopes-enforcement-mode"), scopes: of.texts("scopes")})
		if of.err != nil {
			return p, of.err
		}
	}
	return p, m.err
}

// any reports whether there is something in the value.
func (v *value) any() bool {
	if v == nil {
		return false
	}
	return len(v.items) > 0 || v.kind == isText && v.text != ""
}

// member is the value of a path of keys, nil where there is none.
func (v *value) member(keys ...string) *value {
	for _, key := range keys {
		v = v.get(key)
	}
	return v
}

// has reports whether one of the keys is there.
func (v *value) has(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return v.get(key) != nil })
}
