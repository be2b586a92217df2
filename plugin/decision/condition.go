package decision

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

// condition compiles one condition and enters it under each of its paths.
func (b *builder) condition(path place, s *site, r *config.Resource, c *config.Condition, t *template) {
	compiled := &condition{resource: r.Name, resourceID: r.ID, public: c.Public, deny: c.Deny, anyPermission: c.AnyPermission}
	compiled.mode = choice(b, path.member("mode"), c.Mode, s.mode, config.ModeEnforce, config.ModeMonitor, config.ModeOff)
	if s.mode == config.ModeMonitor && compiled.mode == config.ModeEnforce && !c.Public {
		s.strictest = config.ModeEnforce
	}
	b.requirement(path, compiled, c)
	compiled.claims = b.claims(path, s, c.Claims)
	if c.Claims != nil && (c.Public || c.Deny) {
		b.fault(path.member("claims"), "claims need a condition that looks at tokens")
	}
	compiled.pushed, compiled.pushedAt = b.pushed(path, s, c)
	compiled.acr, compiled.maxAuthAge = c.ACR, int64(c.MaxAuthAgeS)
	if (c.ACR != nil || c.MaxAuthAgeS != 0) && (c.Public || c.Deny) {
		b.fault(path, "acr and max_auth_age need a condition that looks at tokens")
	}
	if c.ACR != nil && len(c.ACR) == 0 {
		// Encoded, it is not there, and asks for nothing.
		b.fault(path.member("acr"), "at least one is needed")
	}
	for i, v := range c.ACR {
		if !scope.IsToken(v) {
			b.fault(path.element("acr", i), scope.ErrBlankScope.Error())
		}
	}
	if c.MaxAuthAgeS < 0 {
		b.fault(path.member("max_auth_age_s"), "must be a number of seconds")
	}
	if c.AnyPermission && s.oauth {
		b.fault(path.member("any_permission"), "a site that requires oauth_scopes has no permissions")
	}
	if s.oauth {
		compiled.least = strings.Join(compiled.need.Least(), " ")
	}
	compiled.asks = strings.Join(compiled.need.Scopes(), " ")
	if c.ScopeExpression != nil {
		compiled.asks += "\x00" + string(c.ScopeExpression.Rule)
	}
	for _, p := range c.Ticket {
		compiled.wanted = append(compiled.wanted, uma.Permission{ResourceID: p.ResourceID, Scopes: p.ResourceScopes})
		compiled.asks += "\x00" + p.ResourceID + " " + strings.Join(p.ResourceScopes, " ")
	}
	if !s.oauth && !c.Public && !c.Deny {
		compiled.ticket = b.ticket(path, r, c, compiled.need.Scopes())
		if t != nil || compiled.pushed != nil {
			compiled.own = compiled.need.Scopes()
			if len(c.Ticket) > 0 {
				compiled.own = c.Ticket[0].ResourceScopes
			}
		}
	}
	for i, m := range c.Methods {
		if !isMethod(m) {
			b.fault(path.element("methods", i), "must be a method in upper case, such as GET")
		}
		if m == "CONNECT" {
			b.fault(path.element("methods", i), "CONNECT is never forwarded")
		}
	}
	if c.MCP != nil && len(c.Methods) > 0 {
		b.fault(path.member("methods"), "messages come by POST: a condition with mcp covers no other method")
	}
	if len(c.Paths) == 0 {
		b.fault(path.member("paths"), `at least one path is needed; "/**" is every path`)
	}
	var variants []*condition // by where in the path the variables stand
	for i, text := range c.Paths {
		at := path.element("paths", i)
		template, err := route.ParseTemplate(text)
		if err != nil {
			b.fault(at, err.Error())
			continue
		}
		claims, problem := placed(compiled.claims, template)
		var pushed []claimRule
		if problem == "" {
			pushed, problem = placed(compiled.pushedAt, template)
		}
		var p *instancePath
		if t != nil && !c.Public && !c.Deny && problem == "" {
			p, problem = t.place(template, s.fold)
		}
		if problem != "" {
			b.fault(at, problem)
			continue
		}
		entered := compiled
		if p != nil || claims != nil || pushed != nil {
			entered, variants = variant(variants, compiled, p, claims, pushed)
		}
		index, added := s.paths.Add(template, len(s.rules))
		if added {
			s.rules = append(s.rules, rule{template: text, literals: template.Literals()})
		}
		if c.MCP != nil {
			b.enterMCP(path.member("mcp"), &s.rules[index], c.MCP, entered)
			continue
		}
		b.enter(at, &s.rules[index], c.Methods, entered)
	}
}

// variant gives the condition for paths with the instance's variables at p, and those
// of claims and of what the AS is told where they say. Paths that have them at the same places share one: they mean
// the same.
func variant(variants []*condition, c *condition, p *instancePath, claims, pushed []claimRule) (*condition, []*condition) {
	for _, v := range variants {
		if (p == nil || slices.Equal(v.instance.places, p.places)) && samePlaces(v.claims, claims) && samePlaces(v.pushedAt, pushed) {
			return v, variants
		}
	}
	v := *c
	v.instance = p
	if claims != nil {
		v.claims = claims
	}
	if pushed != nil {
		v.pushedAt = pushed
	}
	return &v, append(variants, &v)
}

// enter adds a condition to a template. A method stands once in a template.
func (b *builder) enter(path place, r *rule, methods []string, c *condition) {
	if len(methods) == 0 {
		if r.any != nil {
			b.fault(path, "another condition covers every method of this path already")
		}
		r.any = c
	}
	for _, m := range methods {
		for _, present := range r.methods {
			if present.method == m {
				b.fault(path, "another condition covers "+m+" of this path already")
			}
		}
		r.methods = append(r.methods, methodCondition{m, c})
	}
}

func (b *builder) requirement(path place, compiled *condition, c *config.Condition) {
	given := 0
	for _, there := range [...]bool{c.Public, c.Deny, c.Scopes != nil, c.ScopeExpression != nil, c.AnyPermission} {
		if there {
			given++
		}
	}
	if given != 1 {
		b.fault(path, "exactly one of public, deny, scopes and scope_expression is needed")
		return
	}
	var err error
	var at place
	switch {
	case c.Scopes != nil:
		at = path.member("scopes")
		compiled.need, err = scope.OneOf(c.Scopes)
	case c.ScopeExpression != nil:
		at = path.member("scope_expression")
		compiled.need, err = scope.Compile(c.ScopeExpression.Rule, c.ScopeExpression.Data)
	}
	if err != nil {
		b.fault(at, err.Error())
	}
}

// ticket prepares the permission request of a condition, or returns nil while
// the resource, or another one that the ticket names, is not registered.
func (b *builder) ticket(path place, r *config.Resource, c *config.Condition, scopes []string) []byte {
	wanted := c.Ticket
	if len(wanted) == 0 {
		wanted = []config.Permission{{ResourceID: r.ID, ResourceScopes: scopes}}
	}
	const perPermission, perScope = 64, 24
	body := make([]byte, 0, len(wanted)*(perPermission+len(r.ID)+perScope*len(scopes)))
	body = append(body, '[')
	registered := r.ID != "" || r.Instances
	for i, p := range wanted {
		at := path.element("ticket", i)
		own := (r.Instances || c.PushedClaims != nil) && i == 0
		if r.Instances && i == 0 && p.ResourceID != "" {
			b.fault(at.member("resource_id"), "the first entry is the instance's own, whose id is asked for")
		}
		registered = registered && (p.ResourceID != "" || r.Instances && i == 0)
		for j, s := range p.ResourceScopes {
			if !scope.IsToken(s) {
				b.fault(at.element("resource_scopes", j), scope.ErrBlankScope.Error())
			}
		}
		if own {
			body = body[:0] // what follows the resource's own permission, which each request has its own of
			continue
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = uma.AppendPermissionRequest(body, p.ResourceID, p.ResourceScopes, "")
	}
	if !registered {
		return nil
	}
	return append(body, ']')
}

func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != ""
}
