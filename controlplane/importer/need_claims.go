package importer

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/site"
)

// Claims that a condition has a setting of its own for, beside its claims.
const (
	claimACR    = "acr"
	claimGroups = "groups"
	claimRoles  = "realm_access.roles" // of a realm of Keycloak
)

// claimsKey is the same for claims that ask for the same.
func claimsKey(claims []Claim) string {
	if len(claims) == 0 {
		return ""
	}
	text, err := json.Marshal(claims)
	if err != nil {
		return "" // texts always encode
	}
	return string(text)
}

// claimsImply reports whether whoever has the claims of n has those of o.
func claimsImply(n, o []Claim) bool {
	return !slices.ContainsFunc(o, func(of Claim) bool {
		return !slices.ContainsFunc(n, func(has Claim) bool { return has.Name == of.Name && enforcer.Subset(has.Values, of.Values) })
	})
}

// claimsOfBoth are those that n and o ask for, without those that others imply. They have
// an order, so that the same claims are written the same.
func claimsOfBoth(n, o []Claim) []Claim {
	var out []Claim
	for _, one := range slices.Concat(n, o) {
		one.Values = slices.Sorted(slices.Values(enforcer.Unique(one.Values)))
		if claimsImply(out, []Claim{one}) {
			continue
		}
		out = slices.DeleteFunc(out, func(have Claim) bool { return claimsImply([]Claim{one}, []Claim{have}) })
		out = append(out, one)
	}
	slices.SortStableFunc(out, func(a, b Claim) int {
		return strings.Compare(a.Name+claimsKey([]Claim{a}), b.Name+claimsKey([]Claim{b}))
	})
	return out
}

// ask writes claims into a condition. A claim is asked for once by its name. What has a
// setting of its own, too, can be asked for twice, each time with other values.
func (c *Condition) ask(claims []Claim) error {
	own := map[string]*[]string{claimACR: &c.ACR, claimGroups: &c.Groups, claimRoles: &c.Roles}
	for _, one := range claims {
		if len(one.Values) == 0 {
			return fmt.Errorf("no value of the claim %s would do", one.Name)
		}
		switch at := own[one.Name]; {
		case at != nil && len(*at) == 0:
			*at = one.Values
		case slices.ContainsFunc(c.Claims, func(have Claim) bool { return have.Name == one.Name }):
			return fmt.Errorf("one condition cannot ask that often for several values of the claim %s together", one.Name)
		default:
			c.Claims = append(c.Claims, one)
		}
	}
	return nil
}

// withoutRoles writes roles as the claim that they are, unless the AS is known to be a
// Keycloak: others have roles elsewhere. Where they are asked for twice, nobody has them.
func (c *Condition) withoutRoles(dialect string) {
	switch {
	case len(c.Roles) == 0 || dialect == "keycloak":
	case slices.ContainsFunc(c.Claims, func(have Claim) bool { return have.Name == claimRoles }):
		*c = Condition{Place: c.Place, Comment: c.Comment, Paths: c.Paths, Methods: c.Methods, Deny: true}
	default:
		c.Claims, c.Roles = append(c.Claims, Claim{Name: claimRoles, Values: c.Roles}), nil
	}
}

// claimName writes names, each within the one before, as umagate.yaml has them.
func claimName(names ...string) string {
	var out []string
	for _, name := range names {
		out = append(out, strings.NewReplacer(`\`, `\\`, ".", `\.`).Replace(name))
	}
	return strings.Join(out, ".")
}

// claimValues writes texts as umagate.yaml has them, where a brace may be a variable.
func claimValues(values []string) []string {
	var out []string
	for _, v := range values {
		out = append(out, strings.NewReplacer("{", `\{`, "}", `\}`).Replace(v))
	}
	return out
}

// flowClaims are the settings of a condition that look at claims.
func (c *Condition) flowClaims() string {
	var parts []string
	for _, one := range []struct {
		key    string
		values []string
	}{{"acr", c.ACR}, {"roles", claimValues(c.Roles)}, {"groups", claimValues(c.Groups)}} {
		if len(one.values) > 0 {
			parts = append(parts, one.key+": "+site.QuoteList(one.values))
		}
	}
	if len(c.Claims) > 0 {
		parts = append(parts, "claims: {"+flowOf(c.Claims)+"}")
	}
	return strings.Join(parts, ", ")
}

func flowOf(claims []Claim) string {
	var parts []string
	for _, one := range claims {
		parts = append(parts, site.Quote(one.Name)+": "+site.QuoteList(claimValues(one.Values)))
	}
	return strings.Join(parts, ", ")
}

// flowToken is what is asked of every token.
func (d *Draft) flowToken() string {
	var parts []string
	if d.Evaluate != "" {
		parts = append(parts, "evaluate: "+d.Evaluate)
	}
	if len(d.Audiences) > 0 {
		parts = append(parts, "audiences: "+site.QuoteList(d.Audiences))
	}
	if len(d.Claims) > 0 {
		parts = append(parts, "claims: {"+flowOf(d.Claims)+"}")
	}
	return strings.Join(parts, ", ")
}
