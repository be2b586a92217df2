package config

import (
	"encoding/json"
	"math"

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
	p.config("", gjson.ParseBytes(document), &c)
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	if c.Version != Version {
		return nil, Faults{{"version", "this filter reads version 1 of the configuration; use a control plane of the same release"}}
	}
	return &c, nil
}

type parser struct{ faults Faults }

// object calls member for each member of an object. member returns false for a
// name it does not know.
func (p *parser) object(path string, v gjson.Result, member func(path, name string, v gjson.Result) bool) {
	if !v.IsObject() {
		p.faults.Add(path, "must be an object")
		return
	}
	seen := make(map[string]struct{}, 8)
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.Str
		at := prefix + name
		if _, twice := seen[name]; twice {
			p.faults.Add(at, "is there twice")
			return true
		}
		seen[name] = struct{}{}
		if !member(at, name, value) {
			p.faults.Add(at, "is not known to this filter; remove it, or use a filter of the control plane's release")
		}
		return true
	})
}

func (p *parser) config(path string, v gjson.Result, c *Config) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "version":
			p.integer(path, v, &c.Version)
		case "revision":
			p.text(path, v, &c.Revision)
		case "unknown_hosts":
			p.text(path, v, (*string)(&c.UnknownHosts))
		case "cache":
			p.cache(path, v, &c.Cache)
		case "sites":
			c.Sites = list(p, path, v, p.site)
		default:
			return false
		}
		return true
	})
}

func (p *parser) cache(path string, v gjson.Result, c *Cache) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "entries":
			p.integer(path, v, &c.Entries)
		case "bytes":
			p.integer(path, v, &c.Bytes)
		case "negative_entries":
			p.integer(path, v, &c.NegativeEntries)
		case "negative_bytes":
			p.integer(path, v, &c.NegativeBytes)
		default:
			return false
		}
		return true
	})
}

func (p *parser) site(path string, v gjson.Result, s *Site) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "name":
			p.text(path, v, &s.Name)
		case "hosts":
			s.Hosts = p.texts(path, v)
		case "realm":
			p.text(path, v, &s.Realm)
		case "mode":
			p.text(path, v, (*string)(&s.Mode))
		case "unmatched":
			p.text(path, v, (*string)(&s.Unmatched))
		case "ambiguous_paths":
			p.text(path, v, (*string)(&s.AmbiguousPaths))
		case "case":
			p.text(path, v, (*string)(&s.Case))
		case "override_headers":
			p.text(path, v, (*string)(&s.OverrideHeaders))
		case "cors_preflight":
			p.text(path, v, (*string)(&s.CORSPreflight))
		case "require":
			p.text(path, v, (*string)(&s.Require))
		case "token":
			p.token(path, v, &s.Token)
		case "limits":
			p.limits(path, v, &s.Limits)
		case "authorization_server":
			p.authorizationServer(path, v, &s.AuthorizationServer)
		case "resources":
			s.Resources = list(p, path, v, p.resource)
		default:
			return false
		}
		return true
	})
}

func (p *parser) token(path string, v gjson.Result, t *Token) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "issuers":
			t.Issuers = p.texts(path, v)
		case "audiences":
			t.Audiences = p.texts(path, v)
		case "client_ids":
			t.ClientIDs = p.texts(path, v)
		case "leeway_ms":
			p.integer(path, v, &t.LeewayMS)
		case "max_ttl_ms":
			p.integer(path, v, &t.MaxTTLMS)
		case "negative_ttl_ms":
			p.integer(path, v, &t.NegativeTTLMS)
		case "authorization_header":
			p.text(path, v, (*string)(&t.AuthorizationHeader))
		default:
			return false
		}
		return true
	})
}

func (p *parser) limits(path string, v gjson.Result, l *Limits) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "tickets_per_second":
			p.integer(path, v, &l.TicketsPerSecond)
		case "ticket_burst":
			p.integer(path, v, &l.TicketBurst)
		case "calls_in_flight":
			p.integer(path, v, &l.CallsInFlight)
		default:
			return false
		}
		return true
	})
}

func (p *parser) authorizationServer(path string, v gjson.Result, a *AuthorizationServer) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "unknown":
			p.boolean(path, v, &a.Unknown)
		case "uri":
			p.text(path, v, &a.URI)
		case "introspection":
			p.object(path, v, func(path, name string, v gjson.Result) bool {
				switch name {
				case "token_type_hint":
					p.text(path, v, &a.Introspection.TokenTypeHint)
				case "claims":
					p.text(path, v, (*string)(&a.Introspection.Claims))
				default:
					return p.endpointMember(path, name, v, &a.Introspection.Endpoint)
				}
				return true
			})
		case "permission":
			a.Permission = &Endpoint{}
			p.object(path, v, func(path, name string, v gjson.Result) bool {
				return p.endpointMember(path, name, v, a.Permission)
			})
		default:
			return false
		}
		return true
	})
}

func (p *parser) endpointMember(path, name string, v gjson.Result, e *Endpoint) bool {
	switch name {
	case "cluster":
		p.text(path, v, &e.Cluster)
	case "scheme":
		p.text(path, v, &e.Scheme)
	case "authority":
		p.text(path, v, &e.Authority)
	case "path":
		p.text(path, v, &e.Path)
	case "timeout_ms":
		p.integer(path, v, &e.TimeoutMS)
	case "insecure_inline_credentials":
		p.text(path, v, &e.InsecureInlineCredentials)
	default:
		return false
	}
	return true
}

func (p *parser) resource(path string, v gjson.Result, r *Resource) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "name":
			p.text(path, v, &r.Name)
		case "id":
			p.text(path, v, &r.ID)
		case "conditions":
			r.Conditions = list(p, path, v, p.condition)
		default:
			return false
		}
		return true
	})
}

func (p *parser) condition(path string, v gjson.Result, c *Condition) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "paths":
			c.Paths = p.texts(path, v)
		case "methods":
			c.Methods = p.texts(path, v)
		case "public":
			p.boolean(path, v, &c.Public)
		case "scopes":
			c.Scopes = p.texts(path, v)
		case "scope_expression":
			c.ScopeExpression = &ScopeExpression{}
			p.scopeExpression(path, v, c.ScopeExpression)
		case "ticket":
			c.Ticket = list(p, path, v, p.permission)
		case "mode":
			p.text(path, v, (*string)(&c.Mode))
		default:
			return false
		}
		return true
	})
}

func (p *parser) scopeExpression(path string, v gjson.Result, e *ScopeExpression) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "rule":
			e.Rule = json.RawMessage(v.Raw)
		case "data":
			e.Data = p.texts(path, v)
		default:
			return false
		}
		return true
	})
}

func (p *parser) permission(path string, v gjson.Result, to *Permission) {
	p.object(path, v, func(path, name string, v gjson.Result) bool {
		switch name {
		case "resource_id":
			p.text(path, v, &to.ResourceID)
		case "resource_scopes":
			to.ResourceScopes = p.texts(path, v)
		default:
			return false
		}
		return true
	})
}

// list reads an array, each element with read.
func list[T any](p *parser, path string, v gjson.Result, read func(path string, v gjson.Result, to *T)) []T {
	if !v.IsArray() {
		p.faults.Add(path, "must be an array")
		return nil
	}
	out := []T{}
	v.ForEach(func(_, item gjson.Result) bool {
		var t T
		read(Index(path, len(out)), item, &t)
		out = append(out, t)
		return true
	})
	return out
}

func (p *parser) texts(path string, v gjson.Result) []string { return list(p, path, v, p.text) }

func (p *parser) text(path string, v gjson.Result, to *string) {
	if v.Type != gjson.String {
		p.faults.Add(path, "must be a string")
		return
	}
	*to = v.Str
}

func (p *parser) boolean(path string, v gjson.Result, to *bool) {
	if !v.IsBool() {
		p.faults.Add(path, "must be true or false")
		return
	}
	*to = v.Bool()
}

func (p *parser) integer(path string, v gjson.Result, to *int) {
	if v.Type != gjson.Number || v.Num != math.Trunc(v.Num) || math.Abs(v.Num) > math.MaxInt32 {
		p.faults.Add(path, "must be a whole number")
		return
	}
	*to = int(v.Num)
}
