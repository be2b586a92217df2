package site

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// site judges one entry of sites, beyond what the filter's own core judges.
func (v *validator) site(path string, s *Site) {
	if s.Name == "" {
		v.fault(path+".name", "the site has no name", `write one of lower-case letters, digits, "-" and "_"`)
	}
	if len(s.Hosts) == 0 {
		v.fault(path+".hosts", "the site has no host", `write hosts: [photos.example.com]; "*" is every host`)
	}
	if s.Upstream != "" {
		if u := v.url(path+".upstream", s.Upstream); u != nil && (u.Path != "" && u.Path != "/" || u.RawQuery != "") {
			v.fault(path+".upstream", "has a path", "write scheme, host and port only; requests keep the path they came with")
		}
	}
	v.siteWarnings(path, s)
	v.token(path+".token", s)
	v.resourceMetadata(path, s)
	v.revocation(path+".revocation", &s.Revocation)
	v.authorizationServer(path+".authorization_server", s)
	if len(s.Resources) == 0 && s.Unmatched != config.UnmatchedAuthenticated && s.ResourcesAtAS == nil {
		v.fault(path+".resources", "nothing is protected", `write at least one resource with conditions; paths: ["/**"] is every path`)
	}
	for i := range s.Resources {
		v.resource(config.Index(path+".resources", i), s, &s.Resources[i])
	}
	if s.ResourcesAtAS != nil {
		v.resourcesAtAS(path, s)
	}
	v.instances(path, s)
	v.messages(path, s)
	v.lists(path, s)
	v.twins(path, s)
}

func (v *validator) revocation(path string, r *Revocation) {
	v.named(path+".client_ids", r.ClientIDs)
}

// named refuses an entry without a letter, as one is that an unset variable leaves.
func (v *validator) named(path string, list []string) {
	for i, s := range list {
		if s == "" {
			v.fault(config.Index(path, i), "is empty", "write what the authorization server has in a token there, or take the line away")
		}
	}
}

func (v *validator) siteWarnings(path string, s *Site) {
	if s.Unmatched == config.UnmatchedAllow {
		v.warn(path+".unmatched", "a path that no condition names passes without a token", "write unmatched: deny and name public paths with public: true")
	}
	if s.Unmatched == config.UnmatchedAuthenticated {
		v.warn(path+".unmatched", "a path that no condition names passes with any active token", "write unmatched: deny, and name what such a token may do")
	}
	v.siteMode(path, s)
	if s.OverrideHeaders == config.HeaderKeep {
		v.warn(path+".override_headers", "X-HTTP-Method-Override, _method in the query, X-Forwarded-Prefix and their like reach the API, which may act on another method or path than was judged",
			"write override_headers: strip, unless the API ignores them or a proxy before Envoy sets them all anew")
		v.shapedLocations(path, s)
	}
}

// shapedLocations warns where a client may shape the Location that says what it has
// made.
func (v *validator) shapedLocations(path string, s *Site) {
	for i := range s.Resources {
		if s.Resources[i].OnCreate == OnCreateRegister {
			v.warn(config.Index(path+".resources", i)+".on_create",
				"the API may build its Location with headers of the client (X-Forwarded-Prefix, Forwarded), and the client then owns what that names",
				"write override_headers: strip, or register by the API of the control plane")
		}
	}
}

func (v *validator) token(path string, s *Site) {
	t := s.Token
	v.named(path+".issuers", t.Issuers)
	v.named(path+".audiences", t.Audiences)
	v.named(path+".client_ids", t.ClientIDs)
	if t.MaxTTL > time.Hour {
		v.warn(path+".max_ttl", "a token that only the authorization server knows to be revoked is believed for up to "+t.MaxTTL.String(), "write a shorter max_ttl")
	}
	if t.Stale > time.Hour {
		v.warn(path+".stale", "a token that the authorization server revokes while it does not answer is believed for up to "+t.Stale.String(), "write a shorter stale")
	}
	v.claims(path+".claims", s.Token.Claims)
	v.pushedClaims(strings.TrimSuffix(path, ".token"), s)
	if s.Require != config.RequireOAuthScopes {
		v.evaluation(path, s)
		return
	}
	if t.Evaluate == EvaluateAtAS {
		v.fault(path+".evaluate", "with require: oauth_scopes there are no permissions that the authorization server could be asked for", "take evaluate out, or write require: uma")
	}
	switch {
	case len(s.audiences()) == 0 && !t.InsecureAnyAudience:
		v.fault(path+".audiences", "with require: oauth_scopes, a token that was issued for any other API would do",
			"write audiences: with this API's name, or insecure_any_audience: true")
	case t.InsecureAnyAudience:
		v.warn(path+".insecure_any_audience", "a token that was issued for any other API does here too", "write audiences: with this API's name")
	}
}

// evaluation looks at what belongs to evaluate: at_as.
func (v *validator) evaluation(path string, s *Site) {
	t, server := s.Token, &s.AuthorizationServer
	at := strings.TrimSuffix(path, ".token") + ".authorization_server.claim_token_format"
	switch {
	case t.Evaluate != EvaluateAtAS:
		if t.AskOwner {
			v.fault(path+".ask_owner", "the authorization server is not asked what tokens may", "write evaluate: at_as beside it")
		}
		if server.ClaimTokenFormat != "" {
			v.fault(at, "the authorization server is not asked what tokens may", "write token: {evaluate: at_as}, or take it out")
		}
	case t.AskOwner && (server.ClaimTokenFormat != "" || server.Dialect != as.DialectAuto && server.Dialect != as.DialectKeycloak):
		v.fault(path+".ask_owner", "asked with a permission ticket, the authorization server itself says whether the owner is asked", "take it out; only Keycloak, asked with the token alone, needs it")
	}
	if f := server.ClaimTokenFormat; f != "" && (!strings.Contains(f, ":") || strings.ContainsAny(f, " \t\r\n")) {
		v.fault(at, fmt.Sprintf("%q is no URI", f), "write the format that the authorization server documents, such as "+as.FormatAccessToken)
	}
}

func (v *validator) resource(path string, s *Site, r *Resource) {
	if r.Name == "" {
		v.fault(path+".name", "the resource has no name", "write the name it is registered by at the authorization server")
	}
	if r.Adopt && r.ID != "" {
		v.fault(path+".adopt", "a resource with an id is used as it is, never changed", "take adopt out, or the id")
	}
	if len(r.Conditions) == 0 {
		v.fault(path+".conditions", "the resource has no condition", `write at least one with paths, and public, scopes or scope_expression`)
	}
	if r.Type != "" && !strings.Contains(r.Type, ":") {
		v.warn(path+".type", "is not a URI", "write one, such as https://example.com/types/album (UMA Federated Authorization section 3.1)")
	}
	if r.IconURI != "" {
		v.url(path+".icon_uri", r.IconURI)
	}
	if len(r.Scopes) > 0 {
		v.registered(path, r)
	}
	for i := range r.Conditions {
		v.condition(config.Index(path+".conditions", i), s, &r.Conditions[i])
	}
}

// registered checks that conditions name only scopes that the AS will know: a
// ticket for any other is refused with invalid_scope.
func (v *validator) registered(path string, r *Resource) {
	check := func(at string, scopes []string) {
		for i, name := range scopes {
			if !slices.Contains(r.Scopes, name) {
				v.fault(config.Index(at, i), fmt.Sprintf("scope %q is not one of the resource's", name),
					withNearest(name, r.Scopes, "add it to the resource's scopes, or leave those out to register what the conditions name"))
			}
		}
	}
	for i := range r.Conditions {
		at, c := config.Index(path+".conditions", i), &r.Conditions[i]
		check(at+".scopes", c.Scopes)
		check(at+".ticket_scopes", c.TicketScopes)
		if c.ScopeExpression != nil {
			check(at+".scope_expression.data", c.ScopeExpression.Data)
		}
	}
}

func (v *validator) condition(path string, s *Site, c *Condition) {
	for i, m := range c.Methods {
		if upper := strings.ToUpper(m); upper != m {
			v.fault(config.Index(path+".methods", i), fmt.Sprintf("%q is no method: methods have upper case", m), "write "+upper)
		}
	}
	if (len(c.ACR) > 0 || c.MaxAuthAge > 0) && (c.Public || c.Deny) {
		v.fault(path, "looks at no token, and names how its owner has to be authenticated", "take acr and max_auth_age out: nobody is asked for a token here")
	}
	v.conditionClaims(path, s, c)
	ticket := len(c.TicketScopes) > 0 || len(c.Ticket) > 0
	switch {
	case ticket && (c.Public || c.Deny):
		v.fault(path, "looks at no token, and names what a ticket asks for", "take ticket_scopes and ticket out: nobody is asked for a token here")
	case ticket && s.Require == config.RequireOAuthScopes:
		v.fault(path, "names what a ticket asks for, but the site requires oauth_scopes, which has no tickets", "take ticket_scopes and ticket out")
	}
	for i := range c.Ticket {
		v.ticket(config.Index(path+".ticket", i), s, &c.Ticket[i])
	}
	v.conditionMode(path, s, c)
}

func (v *validator) ticket(path string, s *Site, t *TicketPermission) {
	var names []string
	for i := range s.Resources {
		r := &s.Resources[i]
		names = append(names, r.Name)
		if r.Name != t.Resource {
			continue
		}
		if r.HasInstances() {
			v.fault(path+".resource", fmt.Sprintf("%q has many instances, and which is meant is not said", r.Name), "name a resource with one registration")
			return
		}
		known := r.RegisteredScopes()
		if len(t.Scopes) == 0 {
			v.fault(path+".scopes", "asks for no scope, which an authorization server may take for all", "one of "+strings.Join(known, ", "))
		}
		for j, name := range t.Scopes {
			if !slices.Contains(known, name) {
				v.fault(config.Index(path+".scopes", j), fmt.Sprintf("resource %q has no scope %q", t.Resource, name), "one of "+strings.Join(known, ", "))
			}
		}
		return
	}
	v.fault(path+".resource", fmt.Sprintf("the site has no resource %q", t.Resource), withNearest(t.Resource, names, "one of "+strings.Join(names, ", ")))
}

// twins warns of templates that differ by a trailing slash: most APIs answer
// both alike, and then the laxer of both is what counts.
func (v *validator) twins(path string, s *Site) {
	first := map[string]string{}
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			at := config.Index(config.Index(path+".resources", i)+".conditions", j)
			if s.Resources[i].Conditions[j].Deny {
				continue // never the laxer one
			}
			for k, template := range s.Resources[i].Conditions[j].Paths {
				bare := strings.TrimSuffix(template, "/")
				other, ok := first[bare]
				if !ok {
					first[bare] = template
					continue
				}
				if other != template && bare != "" {
					v.warn(config.Index(at+".paths", k), fmt.Sprintf("%q and %q are two templates, and most APIs answer both alike", other, template),
						"keep one: without its twin, it covers the path with and without the slash")
				}
			}
		}
	}
}
