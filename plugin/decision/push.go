package decision

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// maxPushed bounds what the AS is told of a request, in bytes: its ticket may have all
	// of that, and a client gets that in a header.
	maxPushed = 1 << 10
	// maxPushedClaims bounds how many claims that are.
	maxPushedClaims = 16
)

// pushedClaim is what the AS is told of each request when it is asked about it.
type pushedClaim struct {
	name   string
	source config.ClaimSource
	header string // in lower case
}

// pushed compiles what the AS is told of requests, and where variables of the path are
// among it.
func (b *builder) pushed(path place, s *site, c *config.Condition) (list []pushedClaim, at []claimRule) {
	if c.PushedClaims == nil {
		return nil, nil
	}
	if problem := s.cannotPush(c); problem != "" {
		b.fault(path.member("pushed_claims"), problem)
	}
	for i := range c.PushedClaims {
		p := &c.PushedClaims[i]
		claim := pushedClaim{name: p.Name, source: p.Source}
		problem := ""
		for j := range list {
			if list[j].name == p.Name {
				problem = "another claim has this name already"
			}
		}
		switch {
		case p.Name == "":
			problem = "a name is needed"
		case p.Source == config.ClaimOfMethod, p.Source == config.ClaimOfClientAddress:
		case p.Source == config.ClaimOfVariable:
			at = append(at, claimRule{index: i, variables: []string{p.Of}})
		case p.Source != config.ClaimOfHeader:
			problem = "its source must be method, client_address, header or variable"
		case !isHeaderName(p.Of) || isNeverPushed(p.Of):
			problem = "must be of a header, in lower case, that has no credential and that a client may send"
		default:
			claim.header = p.Of
		}
		if problem != "" {
			b.fault(path.element("pushed_claims", i), problem)
		}
		list = append(list, claim)
	}
	return list, at
}

// cannotPush is why the AS cannot be told of the requests of a condition, empty where it can.
func (s *site) cannotPush(c *config.Condition) string {
	switch v := s.evaluator; {
	case c.Public || c.Deny:
		return "claims need a condition that looks at tokens"
	case c.MCP != nil:
		return "a list shows what a condition with mcp permits, whatever the request"
	case len(c.PushedClaims) == 0 || len(c.PushedClaims) > maxPushedClaims:
		return "must be 1 to 16 claims"
	case s.unknownAS: // nobody is asked
	case v == nil || !v.direct():
		return "the AS must be asked about each request (token.evaluate: at_as) in a way that takes claims, as Keycloak does: a permission in a token does not say for which claims it was granted"
	case v.askOwner:
		return "with ask_owner a client could have the owner asked as often as it changes what the AS is told"
	}
	return ""
}

// isNeverPushed reports whether a header is one that nobody is told, or that is removed
// before the API gets the request.
func isNeverPushed(name string) bool {
	var buf [64]byte
	folded := foldName(buf[:0], name)
	if isIdentity(folded) || isOverride(folded) {
		return true
	}
	switch name {
	case "authorization", "cookie", "proxy-authorization", "sec-websocket-protocol", "referer":
		return true
	}
	return false
}

// push makes what the AS is told of the request: a JSON object, each member a list of one
// text. It reports false where that cannot be said as the API will see it.
func (x *Exchange) push() (claims string, ok bool) {
	b := []byte{'{'}
	for i := range x.cond.pushed {
		p := &x.cond.pushed[i]
		var value string
		switch p.source {
		case config.ClaimOfMethod:
			value = x.request.method
		case config.ClaimOfClientAddress:
			if x.evaluator.Client != nil {
				value = withoutPort(x.evaluator.Client())
			}
			if value == "" {
				x.note("pushed claims", "the address of the client is not known")
				return "", false
			}
		case config.ClaimOfHeader:
			var there bool
			if value, there, ok = x.header(p.header); !ok {
				x.note("pushed claims", "the header ", p.header, " is there more than once, or in another spelling, or has gone")
				return "", false
			} else if !there {
				continue
			}
		case config.ClaimOfVariable:
			value = x.path.Value(x.cond.variable(i))
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = gjson.AppendJSONString(b, p.name)
		b = append(b, ':', '[')
		b = gjson.AppendJSONString(b, value)
		if b = append(b, ']'); len(b) >= maxPushed {
			x.note("pushed claims", "they are too long")
			return "", false
		}
	}
	b = append(b, '}')
	x.note("pushed claims", string(b))
	return string(b), true
}

// variable is where in the path the nth claim is.
func (c *condition) variable(n int) route.Place {
	for i := range c.pushedAt {
		if c.pushedAt[i].index == n {
			return c.pushedAt[i].places[0]
		}
	}
	return route.Place{}
}

// header returns the value of a header. A name that a server would fold into it is the
// same header there: with two, nobody knows which one the API takes.
func (x *Exchange) header(name string) (value string, there, ok bool) {
	if x.headers == nil { // they have gone
		return "", false, false
	}
	var buf, wanted [64]byte
	folded := foldName(wanted[:0], name)
	for i := range x.headers {
		h := &x.headers[i]
		if string(foldName(buf[:0], h.Name)) != string(folded) {
			continue
		}
		if there || h.Name != name {
			return "", false, false
		}
		value, there = h.Value, true
	}
	return value, there, true
}

// withoutPort is the address in "192.0.2.1:80" and "[2001:db8::1]:80", empty for anything
// else.
func withoutPort(address string) string {
	end := strings.LastIndexByte(address, ':')
	if end <= 0 {
		return ""
	}
	address = address[:end]
	if inner, ok := strings.CutPrefix(address, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok {
			return ""
		}
		return inner
	}
	if strings.IndexByte(address, ':') >= 0 {
		return ""
	}
	return address
}

// A permission that was granted for what the AS was told of a request counts for requests
// of which it is told the same, and for no others: it is one on a resource of its own, whose
// id is that of the AS and the claims, with a NUL between. No id of the AS has a NUL.

// identify sets the resource of the request; the claims are there already.
func (x *Exchange) identify(id string) {
	if id == "" {
		x.resourceID = ""
		return
	}
	x.resourceID = id + x.resourceID
}

// unpushed is the id of the AS, and the claims that permissions on it are granted for.
func unpushed(resourceID string) (id, claims string) {
	id, claims, _ = strings.Cut(resourceID, "\x00")
	return id, claims
}

func isPushed(resourceID string) bool { return strings.IndexByte(resourceID, 0) >= 0 }

// push makes what the AS has granted for the claims of its ticket permissions for those.
func (e *evaluation) push(granted []uma.Permission) {
	id, claims := unpushed(e.asked[0].ResourceID)
	for i := range granted {
		if p := &granted[i]; p.ResourceID == id {
			p.ResourceID = id + "\x00" + claims
		}
	}
}
