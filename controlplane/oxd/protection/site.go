package protection

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Prefix begins the names of the sites that applications make, and of no other.
const Prefix = "oxd-"

// maxName is what the filter takes as the name of a site.
const maxName = 63

// SiteName names the site of an application. It keeps an oxd_id that can stand in
// a name, as every one that oxd and umagate give can.
func SiteName(oxdID string) string {
	name := Prefix + strings.ToLower(oxdID)
	fits := len(name) <= maxName && name == Prefix+oxdID
	for i := range len(name) {
		c := name[i]
		fits = fits && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if fits {
		return name
	}
	sum := sha256.Sum256([]byte(oxdID))
	return Prefix + hex.EncodeToString(sum[:16])
}

// realm is what oxd named in its challenges.
const realm = "rs"

// Site makes the site of a document that is valid. The name is [SiteName]'s; as has the
// application's own client. The hosts are umagate.yaml's, and not set.
func (d Document) Site(name string, as site.AuthorizationServer) site.Site {
	s := site.New()
	s.Name, s.Realm, s.AuthorizationServer = name, realm, as
	s.Case = config.CaseInsensitive
	s.Sync.MaxDeletions = math.MaxInt // the application asked for what it protects now
	s.Resources = []site.Resource{}
	for i := range d {
		for _, c := range d[i].Conditions {
			s.Resources = append(s.Resources, site.Resource{
				Name: c.Name(d[i].Path), Scopes: c.registered(), Conditions: []site.Condition{c.site(d[i].Path)}, LiteralName: true,
			})
		}
	}
	return s
}

func (c Condition) site(path string) site.Condition {
	out := site.Condition{}
	out.Paths = templates(path)
	for _, m := range c.Methods {
		out.Methods = append(out.Methods, strings.ToUpper(m))
	}
	if need := c.expression(); need != nil {
		out.ScopeExpression = &config.ScopeExpression{Rule: need.Rule, Data: need.Data}
		out.TicketScopes = c.Expression.Data
		return out
	}
	out.Scopes, out.TicketScopes = c.Scopes, c.TicketScopes
	return out
}

// expression returns the rule that must hold, nil without one. With scopes beside it,
// one of them is needed too: oxd's server asked for one of the scopes, and its
// authorization server for the rule.
func (c Condition) expression() *Expression {
	if c.Expression == nil || len(c.Scopes) == 0 {
		return c.Expression
	}
	data := slices.Clone(c.Expression.Data)
	var one []map[string]int
	for _, s := range c.Scopes {
		i := slices.Index(data, s)
		if i < 0 {
			i = len(data)
			data = append(data, s)
		}
		one = append(one, map[string]int{"var": i})
	}
	rule, err := json.Marshal(map[string]any{"and": []any{c.Expression.Rule, map[string]any{"or": one}}})
	if err != nil {
		rule = []byte("false") // a rule that is not JSON: refused before, and denied now
	}
	return &Expression{Rule: rule, Data: data}
}

// registered are the scopes that the authorization server has to know.
func (c Condition) registered() []string {
	var out []string
	lists := [][]string{c.Scopes, c.TicketScopes}
	if c.Expression != nil {
		lists = append(lists, c.Expression.Data)
	}
	for _, list := range lists {
		for _, s := range list {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}
