package importer

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

const authzKeycloak = "authz-keycloak"

// apisixReading is a document of APISIX being read.
type apisixReading struct {
	*Draft

	claims                  *claims
	services, pluginConfigs map[string]*value
	global                  []*value
	issuer, client          string
	several                 bool // issuers or clients
}

// APISIX reads the routes of an apisix.yaml, of one route, or of what the admin API
// lists, that have the plugin authz-keycloak. Routes without it are read for what they
// take from those.
func APISIX(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := readDocument(source, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	r := &apisixReading{Draft: newDraft(settings, source), claims: newClaims(), services: map[string]*value{}, pluginConfigs: map[string]*value{}}
	r.claims.byMethod, r.claims.ofResource = true, true
	root := document.root
	routes := root.get("routes")
	switch {
	case root.is(isList):
		routes = root
	case root.get("list") != nil: // of the admin API
		routes = root.get("list")
	case routes == nil && root.has("uri", "uris"):
		routes = &value{kind: isList, items: []*value{root}, line: root.line}
	}
	if !routes.is(isList) {
		return nil, fmt.Errorf("%w: it has no routes; is it an apisix.yaml, or a route of the admin API?", ErrSource)
	}
	for to, key := range map[*map[string]*value]string{&r.services: "services", &r.pluginConfigs: "plugin_configs"} {
		for _, one := range root.get(key).itemsOf() {
			(*to)[one.string("id")] = one
		}
	}
	r.global = root.get("global_rules").itemsOf()
	found := 0
	for i, route := range routes.itemsOf() {
		if inner := route.get("value"); inner.is(isObject) { // of the admin API
			route = inner
		}
		place := r.at("routes["+strconv.Itoa(i)+"]", route)
		if !route.is(isObject) {
			return nil, fmt.Errorf("%w: %s: %s is %s, not an object", ErrSource, route.at(), place, route.kind)
		}
		ok, err := r.route(place, route)
		if err != nil {
			return nil, err
		}
		if ok {
			found++
		}
	}
	if found == 0 {
		return nil, fmt.Errorf("%w: no route has the plugin %s%s", ErrNothing, authzKeycloak, r.reasons())
	}
	r.Dialect, r.Evaluate, r.Challenge = "keycloak", "at_as", "bearer"
	r.Issuer, r.ClientID = cmp.Or(r.Issuer, r.issuer), r.client
	r.nameSite(settings)
	r.note("routes", "the plugin asks Keycloak what a plain access token may: so do token: {evaluate: at_as} and challenge: bearer")
	r.put(r.claims)
	if r.ClientID != "" {
		r.note("routes", "resources of these names that client %q has at Keycloak already are not touched: umagate plan calls them conflicts; write their id: to use them as they are, or adopt: true", r.ClientID)
	}
	return r.Draft, nil
}

// itemsOf are the items of a list.
func (v *value) itemsOf() []*value {
	if !v.is(isList) {
		return nil
	}
	return v.items
}

// harmless are plugins that let every request pass, or refuse more than umagate has to
// know, and change no path before the route is chosen.
func harmless(plugin string) bool {
	return slices.Contains([]string{
		"cors", "prometheus", "gzip", "brotli", "request-id", "response-rewrite", "zipkin", "skywalking", "opentelemetry", "proxy-cache",
		"proxy-buffering", "server-info", "node-status", "api-breaker", "real-ip", "proxy-mirror",
	}, plugin) || strings.HasSuffix(plugin, "-logger")
}

// route reads one route, and reports whether it has the plugin.
func (r *apisixReading) route(place string, route *value) (bool, error) {
	if status := route.string("status"); status == "0" || strings.EqualFold(status, "false") {
		r.note(place, "left out: it is switched off")
		return false, nil
	}
	asked, resource, has, err := r.asks(place, route)
	if err != nil {
		return false, err
	}
	conditional := r.conditions(place, route)
	if priority := route.string("priority"); priority != "" && priority != "0" {
		r.claims.unranked = true
		r.noteNarrowed(place+".priority", "what may be this route needs what every route asks for that has such a path, whatever their priorities")
	}
	var methods []string
	for _, m := range route.get("methods").listed() {
		upper := strings.ToUpper(m.text)
		if upper == "" || !enforcer.IsForwarded(upper) {
			r.note(place+".methods", "%q is left out: umagate refuses each request of it", m.text)
			continue
		}
		methods = append(methods, upper)
	}
	if len(methods) == 0 {
		if route.get("methods").any() {
			return has, nil
		}
		if methods = []string{""}; asked("GET").key() != asked("").key() {
			methods = append(methods, enforcer.Methods()...) // each asks for itself
		}
	}
	uris := route.get("uris").listed()
	if uri := route.get("uri"); uri.is(isText) {
		uris = append([]*value{uri}, uris...)
	}
	if len(uris) == 0 {
		return false, fmt.Errorf("%w: %s: %s has no uri", ErrSource, route.at(), place)
	}
	for _, uri := range uris {
		forms, inexact := prefixed(uri.text)
		if inexact != "" {
			r.noteNarrowed(place, "%q: %s", uri.text, inexact)
		}
		for _, f := range forms {
			f.wide = f.wide || conditional
			if err := f.pattern.problem(); err != nil {
				r.note(place, "%q is left out: %v. umagate refuses each request for it", uri.text, err)
				continue
			}
			for _, m := range methods {
				need, name := asked(m), cmp.Or(resource, uri.text)
				if !r.claims.add(uri.text, f, nil, m, claim{place: place, resource: name, need: need}) {
					r.noteNarrowed(place, "it is public on conditions that cannot be checked here, such as its host: what another route says holds, or the request is denied")
				}
			}
		}
	}
	return has, nil
}

// conditions notes what else than path and method a route goes by.
func (r *apisixReading) conditions(place string, route *value) (conditional bool) {
	for _, key := range []string{"host", "hosts", "remote_addr", "remote_addrs", "vars", "filter_func"} {
		if !route.get(key).any() {
			continue
		}
		conditional = true
		if key == "host" || key == "hosts" {
			r.noteNarrowed(place+"."+key, "hosts are not told apart: a request that may be of this route needs what it asks for. Import the routes of each host alone")
			continue
		}
		r.noteNarrowed(place+"."+key, "it is not checked: a request that may be of this route needs what it asks for")
	}
	return conditional
}

// asks gives what a route asks for, by method.
func (r *apisixReading) asks(place string, route *value) (asked func(method string) need, resource string, has bool, err error) {
	deny := func(string) need { return nobody() }
	plugins, unknown := r.plugins(route)
	var authz *value
	for _, p := range plugins {
		if at := p.get(authzKeycloak); at != nil && !at.disabled() {
			authz = at
		}
	}
	if unknown != "" {
		r.noteNarrowed(place, "%s is not in the file: the route is denied", unknown)
		return deny, "", authz != nil, nil
	}
	for _, p := range plugins {
		for i, name := range p.keysOf() {
			if name != authzKeycloak && !harmless(name) && !p.items[i].disabled() && authz == nil {
				r.noteNarrowed(place+".plugins."+name, "the plugin may guard the route: it is denied")
				return deny, "", false, nil
			}
			if name != authzKeycloak && !harmless(name) && !p.items[i].disabled() {
				r.noteChanged(place+".plugins."+name, "the plugin is not carried over. What it refuses is not refused here, and a path that it changes is changed no more: keep it behind Envoy, or write what it does by hand. Until then the route is denied")
				return deny, "", true, nil
			}
		}
	}
	if authz == nil {
		return func(string) need { return need{public: true} }, "", false, nil
	}
	return r.authz(r.at(place+".plugins."+authzKeycloak, authz), authz)
}

// disabled reports whether a plugin is switched off.
func (v *value) disabled() bool { return v.member("_meta").string("disable") == "true" }

// plugins are those of a route, with what it names, and global rules. unknown is what it
// names and the file does not have.
func (r *apisixReading) plugins(route *value) (plugins []*value, unknown string) {
	add := func(of *value) {
		if p := of.get("plugins"); p.is(isObject) {
			plugins = append(plugins, p)
		}
	}
	for _, rule := range r.global {
		add(rule)
	}
	for _, ref := range []struct {
		key string
		in  map[string]*value
	}{{"service_id", r.services}, {"plugin_config_id", r.pluginConfigs}} {
		id := route.string(ref.key)
		if id == "" {
			continue
		}
		if ref.in[id] == nil {
			return nil, ref.key + " " + strconv.Quote(id)
		}
		add(ref.in[id])
	}
	add(route)
	if route.has("script", "plugins_hash") {
		return nil, "what its script does"
	}
	return plugins, ""
}

// authz reads the plugin: one of its permissions is enough, with the method as one more
// scope or the only one.
func (r *apisixReading) authz(place string, v *value) (func(string) need, string, bool, error) {
	m := members{of: v}
	lazy, byMethod, mode := m.flag("lazy_load_paths"), m.flag("http_method_as_scope"), strings.ToUpper(m.text("policy_enforcement_mode"))
	r.server(place, m.text("discovery"), m.text("token_endpoint"), cmp.Or(m.text("client_id"), m.text("audience")))
	permissions := m.texts("permissions")
	if uri := m.text("password_grant_token_generation_incoming_uri"); uri != "" {
		r.noteNarrowed(place, "password_grant_token_generation_incoming_uri: no token is got for a password here; clients ask Keycloak")
	}
	if m.text("access_denied_redirect_uri") != "" {
		r.note(place, "access_denied_redirect_uri: nobody is redirected: a client gets 401 or 403")
	}
	if m.err != nil {
		return nil, "", false, m.err
	}
	deny := func(string) need { return nobody() }
	switch {
	case lazy:
		r.noteNarrowed(place, "lazy_load_paths: the plugin asks Keycloak whose URI the path is, which is not in this file: the route is denied. Import Keycloak's export for such routes: umagate import keycloak-authorization")
		return deny, "", true, nil
	case len(permissions) == 0:
		if mode == modePermissive {
			r.noteNarrowed(place, "PERMISSIVE without permissions takes whoever has any permission at Keycloak: the route is denied. Write a permission")
		} else {
			r.noteNarrowed(place, "it has no permissions, so that nobody passes")
		}
		return deny, "", true, nil
	}
	resource := ""
	var scopes []string
	for i, p := range permissions {
		name, list, withScopes := strings.Cut(p, "#")
		switch {
		case i == 0:
			resource = name
		case name != resource:
			r.noteNarrowed(place, "permission %q is left out: one on another resource is enough for the plugin, and here it has to be on %q", p, resource)
			continue
		}
		switch {
		case name == "":
			r.noteNarrowed(place, "permission %q names no resource: the route is denied. Write one", p)
			return deny, "", true, nil
		case !withScopes && !byMethod:
			made := enforcer.MadeUp("")
			r.noteNarrowed(place, "permission %q has no scope: any permission on the resource would do; scope %q is made up", p, made)
			scopes = append(scopes, made)
		case withScopes && byMethod:
			r.noteNarrowed(place, "http_method_as_scope adds the method to the scopes of %q, with a blank: the scopes that are written are asked for together with the method", p)
		}
		if withScopes {
			scopes = append(scopes, strings.Split(list, ",")...)
		}
	}
	scopes = enforcer.Unique(scopes)
	return func(method string) need {
		out := anyOf(scopes)
		if byMethod {
			if method == "" {
				return nobody()
			}
			out = needs([]string{method})
			if len(scopes) > 0 {
				out = needs(append(slices.Clone(scopes), method))
			}
		}
		if out.problem() != nil {
			return nobody()
		}
		return out
	}, resource, true, nil
}

// server carries over the AS and the client, if all routes have the same.
func (r *apisixReading) server(place, discovery, token, client string) {
	issuer, _, ok := strings.Cut(discovery, "/.well-known/")
	if !ok {
		issuer, _, ok = strings.Cut(token, "/protocol/openid-connect/token")
	}
	if !ok {
		issuer = ""
	}
	if r.issuer == "" && r.client == "" {
		r.issuer, r.client = issuer, client
		return
	}
	if (issuer != r.issuer || client != r.client) && !r.several {
		r.several = true
		r.noteChanged(place, "routes name several clients or authorization servers, and a site has one, that of the first: import those of each alone")
	}
}

// prefixed reads a path that may end in "*", which is any text that follows. A parameter
// or a "*" elsewhere is anything.
func prefixed(path string) (forms []form, inexact string) {
	prefix, open := strings.CutSuffix(path, "*")
	if !strings.HasPrefix(path, "/") {
		prefix, open = "/", true
		inexact = "it does not begin with a slash: it is taken for every path, without being preferred"
	} else if at := strings.Index(prefix, "/:"); at >= 0 || strings.Contains(prefix, "*") {
		if star := strings.IndexByte(prefix, '*'); at < 0 || star >= 0 && star < at {
			at = star
		}
		prefix, open = prefix[:at], true
		inexact = "whether its parameter is one depends on APISIX's router: whatever begins so needs what it asks for"
	}
	return prefixForms(nil, prefix, open, inexact != ""), inexact
}
