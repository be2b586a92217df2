package importer

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// gatekeeperReading is a configuration of Gatekeeper being read.
type gatekeeperReading struct {
	*Draft

	claims  *claims
	methods []string // that Gatekeeper knows
	loa     bool     // it looks at acr
	// deny is why no token is enough, where that is so; nobody passes at all if closed.
	deny   string
	closed bool
}

// Gatekeeper reads the configuration of Gatekeeper (gogatekeeper; before louketo-proxy and
// keycloak-gatekeeper), YAML or JSON: which paths need which roles and groups of a token.
func Gatekeeper(source string, data []byte, settings Settings) (*Draft, error) {
	document, err := readDocument(source, data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSource, err)
	}
	root := document.root
	if !root.is(isObject) || !root.has("resources", "discovery-url", "enable-default-deny", "upstream-url") {
		return nil, fmt.Errorf("%w: it has neither resources nor a discovery-url; is it the configuration of Gatekeeper, louketo-proxy or keycloak-gatekeeper?", ErrSource)
	}
	r := &gatekeeperReading{Draft: newDraft(settings, source), claims: newClaims()}
	r.claims.byMethod = true
	m := members{of: root}
	m.once()
	r.server(&m, settings)
	r.settings(&m)
	if err := r.matchClaims(&m); err != nil {
		return nil, err
	}
	for i, one := range m.list("resources") {
		if err := r.resource(r.at("resources["+strconv.Itoa(i)+"]", one), one); err != nil {
			return nil, err
		}
	}
	r.others(&m)
	if m.err != nil {
		return nil, m.err
	}
	r.put(r.claims)
	return r.Draft, nil
}

// server reads who verifies tokens, for whom.
func (r *gatekeeperReading) server(m *members, settings Settings) {
	issuer, _, _ := strings.Cut(m.text("discovery-url"), "/.well-known/")
	r.Issuer = cmp.Or(r.Issuer, strings.TrimSuffix(issuer, "/"))
	r.ClientID = m.text("client-id")
	r.nameSite(settings)
	r.Dialect, r.Require = "keycloak", "oauth_scopes"
	r.note("resources", "Gatekeeper looks at the claims of a token, and at no permission: so does require: oauth_scopes with a rule that holds for every token that has a scope, as those of Keycloak do. umagate validate warns of such a rule. To ask for a certain scope, write scopes: instead")
	r.Audiences = []string{cmp.Or(r.ClientID, r.Site)}
	if r.ClientID == "" {
		r.noteNarrowed("client-id", "it is not in the file: token.audiences stands for what a token's aud must have, and is made up. Write the client-id there")
	} else {
		r.noteNarrowed(r.at("client-id", m.of.get("client-id")), "a token must name it in its aud (token.audiences), which Gatekeeper asks only without skip-access-token-clientid-check. Keycloak needs an audience mapper for that; insecure_any_audience: true takes tokens for other APIs, too")
	}
	for _, host := range m.texts("hostnames") {
		if !regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`).MatchString(host) || strings.Contains(host, "..") {
			r.noteNarrowed("hostnames", "%q is left out: it is no host name", host)
		} else if len(settings.Hosts) == 0 {
			r.Hosts = enforcer.Unique(append(r.Hosts, host))
		}
	}
}

// settings reads what holds for all resources.
func (r *gatekeeperReading) settings(m *members) {
	r.methods = append(enforcer.Methods(), "TRACE")
	for _, method := range m.texts("custom-http-methods") {
		if method != "" && enforcer.IsForwarded(method) {
			r.methods = enforcer.Unique(append(r.methods, method))
		}
	}
	r.loa = m.flag("enable-loa")
	for _, key := range []string{"enable-uma", "enable-opa", "enable-hmac", "skip-authorization-header-identity"} {
		if !m.flag(key) {
			continue
		}
		place := r.at(key, m.of.get(key))
		switch key {
		case "enable-uma":
			r.deny = key
			r.noteNarrowed(place, "Gatekeeper asks Keycloak which resource has the path, which is not in this file: what needs a token is denied. Write resources_at_as, or import what Keycloak has (umagate import keycloak-authorization), and add roles and groups to its conditions")
		case "enable-opa":
			r.deny = key
			r.noteNarrowed(place, "what the policies of Open Policy Agent say is not in this file: what needs a token is denied")
		case "enable-hmac":
			r.deny, r.closed = key, true
			r.noteNarrowed(place, "a signature of the request is not verified here: everything is denied")
		default:
			r.deny = key
			r.noteNarrowed(place, "Gatekeeper takes tokens from its own cookie only, which is not read here: what needs a token is denied")
		}
	}
	for _, key := range []string{"add-claims", "headers", "cors-origins", "enable-encrypted-token", "force-encrypted-cookie", "enable-refresh-tokens"} {
		if m.of.get(key).any() && m.of.string(key) != "false" {
			r.note(r.at(key, m.of.get(key)), "it is not carried over. umagate has claim_headers, cors and token.from")
		}
	}
	if !m.flag("no-redirects") {
		r.noteNarrowed("no-redirects", "nobody is redirected to log in, and Gatekeeper's own cookies are not read: a client sends its token in the Authorization header, or as token.from says")
	}
}

// resource reads a resource.
func (r *gatekeeperReading) resource(place string, v *value) error {
	if v.is(isText) {
		var err error
		if v, err = gatekeeperOption(v); err != nil {
			return fmt.Errorf("%w: %s: %s: %w", ErrSource, v.at(), place, err)
		}
	}
	if !v.is(isObject) {
		return fmt.Errorf("%w: %s: %s is %s, not an object", ErrSource, v.at(), place, v.kind)
	}
	m := members{of: v}
	m.once()
	uri, methods := m.text("uri"), m.texts("methods")
	need := r.needOf(place, &m)
	if m.err != nil {
		return m.err
	}
	if !strings.HasPrefix(uri, "/") {
		return fmt.Errorf("%w: %s: %s: the uri %q does not begin with a slash", ErrSource, v.at(), place, uri)
	}
	if len(methods) == 0 || len(methods) == 1 && strings.EqualFold(methods[0], "ANY") {
		methods = r.methods
	}
	for _, method := range methods {
		if !slices.Contains(r.methods, method) {
			return fmt.Errorf("%w: %s: %s: Gatekeeper knows no method %q", ErrSource, v.at(), place, method)
		}
	}
	r.claim(place, uri, methods, need)
	return nil
}

// claim enters what a path needs.
func (r *gatekeeperReading) claim(place, uri string, methods []string, n need) {
	forms, inexact := chiForms(uri)
	if inexact != "" {
		r.noteNarrowed(place, "%q: %s. Such a request needs what every resource asks for that it may be", uri, inexact)
	}
	name := strings.NewReplacer("{", "(", "}", ")").Replace(uri)
	for _, f := range forms {
		if err := f.pattern.problem(); err != nil {
			r.note(place, "%q is left out: %v. umagate refuses each request for it", uri, err)
			continue
		}
		for _, method := range methods {
			if !r.claims.add(uri, f, nil, method, claim{place: place, resource: name, need: n}) {
				r.noteNarrowed(place, "it is public, and whether a request is this one cannot be told: what another resource says holds, or the request is denied")
			}
		}
	}
}

// needOf reads what a resource asks for.
func (r *gatekeeperReading) needOf(place string, m *members) need {
	white, anonymous, denied := m.flag("white-listed"), m.flag("white-listed-anon"), m.flag("deny")
	roles, groups, acr, headers := m.texts("roles"), m.texts("groups"), m.texts("acr"), m.texts("headers")
	anyRole, noRedirect := m.flag("require-any-role"), m.flag("no-redirect")
	switch {
	case r.closed || denied:
		return nobody()
	case white && !anonymous:
		return need{public: true}
	case r.deny != "":
		return nobody()
	case len(headers) > 0:
		r.noteNarrowed(place, "headers: no header of a request is asked for here: it is denied. Let Envoy ask for it, and write the condition by hand")
		return nobody()
	}
	if anonymous {
		r.noteNarrowed(place, "white-listed-anon lets a request pass without a token, and judges one that has a token: here a token is needed. public: true looks at no token")
	}
	out := authenticated()
	for _, role := range r.roles(place, roles, anyRole) {
		out.claims = claimsOfBoth(out.claims, []Claim{role})
	}
	if len(groups) > 0 {
		out.claims = claimsOfBoth(out.claims, []Claim{{Name: claimGroups, Values: withoutEmpty(groups)}})
	}
	if len(acr) > 0 {
		if !r.loa || noRedirect {
			r.noteNarrowed(place, "acr: it is asked for here. Gatekeeper does so with enable-loa, and without no-redirect, only")
		}
		out.claims = claimsOfBoth(out.claims, []Claim{{Name: claimACR, Values: withoutEmpty(acr)}})
	}
	if err := out.problem(); err != nil {
		r.noteNarrowed(place, "what it asks for cannot be written, and is denied: %v. Ask for one role that stands for several (a composite one)", err)
		return nobody()
	}
	return out
}

// authenticated is what every token has that is good, and has any scope.
func authenticated() need { return need{rule: true, data: []string{"openid"}} }

func withoutEmpty(texts []string) []string {
	return slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return s == "" })
}

// others enters what holds for paths that no resource names, and Gatekeeper's own paths.
func (r *gatekeeperReading) others(m *members) {
	strict := m.flag("enable-default-deny-strict")
	byDefault := !m.of.has("enable-default-deny") || m.flag("enable-default-deny")
	rest := authenticated()
	place := r.at("enable-default-deny", m.of.get("enable-default-deny"))
	switch {
	case strict || r.deny != "" && byDefault || r.closed:
		rest = nobody()
	case byDefault:
		r.note(place, "a path that no resource names needs a token, and no more")
	default:
		rest = need{public: true}
		r.note(place, "false: a path that no resource names is public, also for a method that the resource does not name")
	}
	r.claim(place, "/*", r.methods, rest)
	base := "/" + strings.Trim(m.text("base-uri"), "/")
	oauth := strings.TrimSuffix(base, "/") + "/" + strings.Trim(cmp.Or(m.text("oauth-uri"), "/oauth"), "/")
	if !strings.ContainsAny(oauth, "*{}") && oauth != "/" {
		r.claim("oauth-uri", oauth, r.methods, nobody())
		r.claim("oauth-uri", oauth+"/*", r.methods, nobody())
		r.note("oauth-uri", "Gatekeeper answers what is below %s itself, and does not forward it: it is denied", oauth)
	}
}

// gatekeeperOption reads a resource as the command line has it: "uri=/a|roles=b,c".
func gatekeeperOption(v *value) (*value, error) {
	out := &value{kind: isObject, line: v.line, file: v.file}
	for option := range strings.SplitSeq(v.text, "|") {
		key, text, ok := strings.Cut(option, "=")
		item := &value{kind: isText, text: text, line: v.line, file: v.file}
		switch key {
		case "uri", "require-any-role", "white-listed", "white-listed-anon", "no-redirect":
		case "methods", "roles", "groups", "acr", "headers":
			list := &value{kind: isList, line: v.line, file: v.file}
			for one := range strings.SplitSeq(text, ",") {
				list.items = append(list.items, &value{kind: isText, text: one, line: v.line, file: v.file})
			}
			item = list
		default:
			ok = false
		}
		if !ok || strings.Contains(text, "=") {
			return out, fmt.Errorf("%q is none of uri, methods, roles, groups, acr, headers, require-any-role, white-listed, white-listed-anon, no-redirect with a value", option)
		}
		out.keys, out.items = append(out.keys, key), append(out.items, item)
	}
	return out, nil
}
