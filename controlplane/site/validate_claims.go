package site

import (
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// conditionClaims judges what a condition asks of claims.
func (v *validator) conditionClaims(path string, s *Site, c *Condition) {
	if len(c.Claims)+len(c.Roles)+len(c.Groups) > 0 && (c.Public || c.Deny) {
		v.fault(path, "looks at no token, and names what its claims must be", "take claims, roles and groups out: nobody is asked for a token here")
	}
	v.claims(path+".claims", c.Claims)
	v.claimValues(path+".roles", c.Roles)
	v.claimValues(path+".groups", c.Groups)
	if roles := as.RolesOf(s.AuthorizationServer.Dialect); c.Claims["roles"] != nil && len(roles) > 1 {
		v.warn(path+".claims.roles", "this authorization server has no claim of that name by default", "write roles: beside claims:, which is "+strings.Join(roles, "."))
	}
}

func (v *validator) claims(path string, claims Claims) {
	for name, values := range claims {
		at := path + "." + name
		switch parts, err := ParseClaim(name); {
		case err != nil:
			v.fault(at, fmt.Sprintf("%q is no name of a claim: %v", name, err), `write realm_access.roles for a claim within another, and https://example\.com/roles for a name with a dot`)
		case len(parts) > 1 && strings.Contains(name, "://"):
			v.fault(at, fmt.Sprintf("%q looks for %q within the claim %q", name, parts[len(parts)-1], parts[0]), `write a backslash before each dot of the name, as in https://example\.com/roles`)
		}
		v.claimValues(at, values)
	}
}

func (v *validator) claimValues(path string, values []string) {
	for i, text := range values {
		at := config.Index(path, i)
		switch _, _, err := parseClaimValue(text); {
		case text == "":
			v.fault(at, "is empty, and no claim is", "write a value, or take the entry out")
		case err != nil:
			v.fault(at, fmt.Sprintf("%q is neither a variable nor a text: %v", text, err), `write {name} for a variable of the path, and \{ for a brace`)
		}
	}
}
