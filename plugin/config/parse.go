package config

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// Parse reads the plugin configuration. It is strict: a member that is not
// known, is there twice or has the wrong type is a fault, and the error is
// [Faults] with all of them. What the values mean is checked when they are
// compiled (plugin/decision).
func Parse(document []byte) (*Config, error) {
	if !strictjson.Valid(document) {
		return nil, Faults{{"", "the configuration is not valid JSON, or nested too deep"}}
	}
	var p parser
	var c Config
	p.config(gjson.ParseBytes(document), &c)
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	if c.Version != Version {
		return nil, Faults{{"version", "this filter reads version 1 of the configuration; use a control plane of the same release"}}
	}
	return &c, nil
}

// parser knows where it is, and writes that down only when there is a fault: a
// worker's traffic waits while it parses.
type parser struct {
	faults Faults
	at     []place
	seen   []string // members of the objects around, the innermost last

	cut   []string // sites that were taken out of the document, see ParseKnown
	known func(text string) bool
}

// place is a member of an object or an element of a list.
type place struct {
	name  string
	list  bool
	index int
}

// fault records what is wrong here.
func (p *parser) fault(problem string) {
	path := ""
	for _, at := range p.at {
		switch {
		case at.list:
			path = Index(path, at.index)
		case path == "":
			path = at.name
		default:
			path += "." + at.name
		}
	}
	p.faults.Add(path, problem)
}

func (p *parser) enter(at place) { p.at = append(p.at, at) }
func (p *parser) leave()         { p.at = p.at[:len(p.at)-1] }

// object calls member for each member of an object. member returns false for a
// name it does not know.
func (p *parser) object(v gjson.Result, member func(name string, v gjson.Result) bool) {
	if !v.IsObject() {
		p.fault("must be an object")
		return
	}
	outer := len(p.seen)
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.Str
		p.enter(place{name: name})
		defer p.leave()
		if slices.Contains(p.seen[outer:], name) {
			p.fault("is there twice")
			return true
		}
		if !member(name, value) {
			p.fault("is not known to this filter; remove it, or use a filter of the control plane's release")
			return true
		}
		p.seen = append(p.seen, name)
		return true
	})
	p.seen = p.seen[:outer]
}

func (p *parser) config(v gjson.Result, c *Config) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "version":
			p.integer(v, &c.Version)
		case "revision":
			p.text(v, &c.Revision)
		case "unknown_hosts":
			p.text(v, (*string)(&c.UnknownHosts))
		case "cache":
			p.cache(v, &c.Cache)
		case "sites":
			c.Sites = list(p, v, p.siteOrCut)
		case "revocations":
			c.Revocations = list(p, v, p.revocations)
		case "removals":
			c.Removals = map[string]string{}
			p.object(v, func(site string, v gjson.Result) bool {
				var ids string
				p.text(v, &ids)
				c.Removals[site] = ids
				return true
			})
		default:
			return false
		}
		return true
	})
}

func (p *parser) cache(v gjson.Result, c *Cache) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "entries":
			p.integer(v, &c.Entries)
		case "bytes":
			p.integer(v, &c.Bytes)
		case "negative_entries":
			p.integer(v, &c.NegativeEntries)
		case "negative_bytes":
			p.integer(v, &c.NegativeBytes)
		default:
			return false
		}
		return true
	})
}

func (p *parser) site(v gjson.Result, s *Site) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "name":
			p.text(v, &s.Name)
		case "hosts":
			s.Hosts = p.texts(v)
		case "realm":
			p.text(v, &s.Realm)
		case "mode":
			p.text(v, (*string)(&s.Mode))
		case "unmatched":
			p.text(v, (*string)(&s.Unmatched))
		case "ambiguous_paths":
			p.text(v, (*string)(&s.AmbiguousPaths))
		case "case":
			p.text(v, (*string)(&s.Case))
		case "override_headers":
			p.text(v, (*string)(&s.OverrideHeaders))
		case "cors_preflight":
			p.text(v, (*string)(&s.CORSPreflight))
		case "require":
			p.text(v, (*string)(&s.Require))
		case "token":
			p.token(v, &s.Token)
		case "limits":
			p.limits(v, &s.Limits)
		case "authorization_server":
			p.authorizationServer(v, &s.AuthorizationServer)
		case "instances":
			s.Instances = &Instances{}
			p.instances(v, s.Instances)
		case "resources":
			s.Resources = list(p, v, p.resource)
		default:
			return false
		}
		return true
	})
}

func (p *parser) token(v gjson.Result, t *Token) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "issuers":
			t.Issuers = p.texts(v)
		case "audiences":
			t.Audiences = p.texts(v)
		case "client_ids":
			t.ClientIDs = p.texts(v)
		case "leeway_ms":
			p.integer(v, &t.LeewayMS)
		case "max_ttl_ms":
			p.integer(v, &t.MaxTTLMS)
		case "negative_ttl_ms":
			p.integer(v, &t.NegativeTTLMS)
		case "authorization_header":
			p.text(v, (*string)(&t.AuthorizationHeader))
		default:
			return false
		}
		return true
	})
}

func (p *parser) limits(v gjson.Result, l *Limits) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "tickets_per_second":
			p.integer(v, &l.TicketsPerSecond)
		case "ticket_burst":
			p.integer(v, &l.TicketBurst)
		case "calls_in_flight":
			p.integer(v, &l.CallsInFlight)
		case "waiting_requests":
			p.integer(v, &l.WaitingRequests)
		case "waiting_requests_per_call":
			p.integer(v, &l.WaitingRequestsPerCall)
		case "waiting_bytes":
			p.integer(v, &l.WaitingBytes)
		default:
			return false
		}
		return true
	})
}

func (p *parser) instances(v gjson.Result, i *Instances) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "ttl_ms":
			p.integer(v, &i.TTLMS)
		case "negative_ttl_ms":
			p.integer(v, &i.NegativeTTLMS)
		case "stale_ms":
			p.integer(v, &i.StaleMS)
		case "entries":
			p.integer(v, &i.Entries)
		case "negative_entries":
			p.integer(v, &i.NegativeEntries)
		case "lookups_per_second":
			p.integer(v, &i.LookupsPerSecond)
		case "lookup_burst":
			p.integer(v, &i.LookupBurst)
		case "lookups_in_flight":
			p.integer(v, &i.LookupsInFlight)
		default:
			return p.endpointMember(name, v, &i.Endpoint)
		}
		return true
	})
}

func (p *parser) authorizationServer(v gjson.Result, a *AuthorizationServer) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "unknown":
			p.boolean(v, &a.Unknown)
		case "uri":
			p.text(v, &a.URI)
		case "introspection":
			p.object(v, func(name string, v gjson.Result) bool {
				switch name {
				case "token_type_hint":
					p.text(v, &a.Introspection.TokenTypeHint)
				case "client_id":
					p.text(v, &a.Introspection.ClientID)
				case "claims":
					p.text(v, (*string)(&a.Introspection.Claims))
				default:
					return p.endpointMember(name, v, &a.Introspection.Endpoint)
				}
				return true
			})
		case "permission":
			a.Permission = &Endpoint{}
			p.object(v, func(name string, v gjson.Result) bool {
				return p.endpointMember(name, v, a.Permission)
			})
		default:
			return false
		}
		return true
	})
}

func (p *parser) endpointMember(name string, v gjson.Result, e *Endpoint) bool {
	switch name {
	case "cluster":
		p.text(v, &e.Cluster)
	case "scheme":
		p.text(v, &e.Scheme)
	case "authority":
		p.text(v, &e.Authority)
	case "path":
		p.text(v, &e.Path)
	case "timeout_ms":
		p.integer(v, &e.TimeoutMS)
	case "insecure_inline_credentials":
		p.text(v, &e.InsecureInlineCredentials)
	default:
		return false
	}
	return true
}

func (p *parser) resource(v gjson.Result, r *Resource) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "name":
			p.text(v, &r.Name)
		case "id":
			p.text(v, &r.ID)
		case "instances":
			p.boolean(v, &r.Instances)
		case "register_on_create":
			p.boolean(v, &r.RegisterOnCreate)
		case "remove_on_delete":
			p.boolean(v, &r.RemoveOnDelete)
		case "conditions":
			r.Conditions = list(p, v, p.condition)
		default:
			return false
		}
		return true
	})
}

func (p *parser) condition(v gjson.Result, c *Condition) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "paths":
			c.Paths = p.texts(v)
		case "methods":
			c.Methods = p.texts(v)
		case "public":
			p.boolean(v, &c.Public)
		case "deny":
			p.boolean(v, &c.Deny)
		case "scopes":
			c.Scopes = p.texts(v)
		case "scope_expression":
			c.ScopeExpression = &ScopeExpression{}
			p.scopeExpression(v, c.ScopeExpression)
		case "ticket":
			c.Ticket = list(p, v, p.permission)
		case "mode":
			p.text(v, (*string)(&c.Mode))
		default:
			return false
		}
		return true
	})
}

func (p *parser) scopeExpression(v gjson.Result, e *ScopeExpression) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "rule":
			e.Rule = json.RawMessage(v.Raw)
		case "data":
			e.Data = p.texts(v)
		default:
			return false
		}
		return true
	})
}

func (p *parser) permission(v gjson.Result, to *Permission) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "resource_id":
			p.text(v, &to.ResourceID)
		case "resource_scopes":
			to.ResourceScopes = p.texts(v)
		default:
			return false
		}
		return true
	})
}

func (p *parser) revocations(v gjson.Result, to *Revocations) {
	p.object(v, func(name string, v gjson.Result) bool {
		switch name {
		case "site":
			p.text(v, &to.Site)
		case "tokens":
			p.text(v, (*string)(&to.Tokens))
		case "sessions":
			p.text(v, (*string)(&to.Sessions))
		case "subjects":
			p.text(v, (*string)(&to.Subjects))
		case "client_ids":
			p.text(v, (*string)(&to.ClientIDs))
		case "issued_before":
			p.seconds(v, &to.IssuedBefore)
		case "issued_before_ends":
			p.seconds(v, &to.IssuedBeforeEnds)
		default:
			return false
		}
		return true
	})
}

// list reads an array, each element with read.
func list[T any](p *parser, v gjson.Result, read func(v gjson.Result, to *T)) []T {
	if !v.IsArray() {
		p.fault("must be an array")
		return nil
	}
	out := []T{}
	v.ForEach(func(_, item gjson.Result) bool {
		p.enter(place{list: true, index: len(out)})
		var t T
		out = append(out, t)
		read(item, &out[len(out)-1])
		p.leave()
		return true
	})
	return out
}

func (p *parser) texts(v gjson.Result) []string { return list(p, v, p.text) }

func (p *parser) text(v gjson.Result, to *string) {
	if v.Type != gjson.String {
		p.fault("must be a string")
		return
	}
	*to = v.Str
}

func (p *parser) boolean(v gjson.Result, to *bool) {
	if !v.IsBool() {
		p.fault("must be true or false")
		return
	}
	*to = v.Bool()
}

// seconds reads a time.
func (p *parser) seconds(v gjson.Result, to *int64) {
	if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || v.Num < 0 || v.Num > maxTime {
		p.fault("must be a whole number of seconds since 1970")
		return
	}
	*to = int64(v.Num)
}

func (p *parser) integer(v gjson.Result, to *int) {
	if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || math.Abs(v.Num) > math.MaxInt32 {
		p.fault("must be a whole number")
		return
	}
	*to = int(v.Num)
}
