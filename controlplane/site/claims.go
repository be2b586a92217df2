package site

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// Claims maps names of claims to the values of which a token must have one.
type Claims map[string][]string

var (
	errClaimName  = errors.New(`a name has no empty part and a backslash only before "." or another backslash`)
	errClaimValue = errors.New(`a brace that is no variable has a backslash before it`)
)

// ParseClaim reads the name of a claim. A dot leads into an object: "realm_access.roles".
// A dot that is part of a name has a backslash before it, and so has a backslash:
// "https://example\.com/roles".
func ParseClaim(text string) ([]string, error) {
	var path []string
	var name strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && (text[i+1] == '.' || text[i+1] == '\\'):
			i++
			name.WriteByte(text[i])
		case c == '\\', c == '.' && name.Len() == 0:
			return nil, errClaimName
		case c == '.':
			path = append(path, name.String())
			name.Reset()
		default:
			name.WriteByte(c)
		}
	}
	if name.Len() == 0 {
		return nil, errClaimName
	}
	return append(path, name.String()), nil
}

// parseClaimValue reads a value: "{name}" is a variable of the path, every other text
// stands for itself. A brace that does is written with a backslash before it.
func parseClaimValue(text string) (literal, variable string, err error) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		if inner, ok = strings.CutSuffix(inner, "}"); ok && inner != "" && !strings.ContainsAny(inner, `{}\`) {
			return "", inner, nil
		}
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '\\' && i+1 < len(text) && (text[i+1] == '{' || text[i+1] == '}') {
			i++
			c = text[i]
		} else if c == '{' || c == '}' {
			return "", "", errClaimValue
		}
		b.WriteByte(c)
	}
	return b.String(), "", nil
}

// compileClaims translates what claims must be. What cannot be read is refused by the
// filter's core, which nothing satisfies.
func compileClaims(claims Claims) []config.Claim {
	names := make([]string, 0, len(claims))
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names) // the same file gives the same document
	var out []config.Claim
	for _, name := range names {
		path, err := ParseClaim(name)
		if err != nil {
			path = []string{}
		}
		out = append(out, compileClaim(path, claims[name]))
	}
	return out
}

// compileClaimHeaders translates which claims the API is told.
func compileClaimHeaders(headers map[string]string) []config.ClaimHeader {
	var out []config.ClaimHeader
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		path, err := ParseClaim(headers[name])
		if err != nil {
			path = []string{}
		}
		out = append(out, config.ClaimHeader{Name: name, Path: path})
	}
	return out
}

func compileClaim(path, values []string) config.Claim {
	c := config.Claim{Path: path}
	for _, text := range values {
		literal, variable, err := parseClaimValue(text)
		if err != nil {
			literal = ""
		}
		if variable != "" {
			c.Variables = append(c.Variables, variable)
		} else {
			c.AnyOf = append(c.AnyOf, literal)
		}
	}
	return c
}

// compileConditionClaims adds roles and groups, which are claims that have other names
// at each AS.
func compileConditionClaims(s *Site, c *Condition, facts Facts) []config.Claim {
	out := compileClaims(c.Claims)
	if len(c.Roles) > 0 {
		out = append(out, compileClaim(rolesOf(s, facts), c.Roles))
	}
	if len(c.Groups) > 0 {
		out = append(out, compileClaim([]string{"groups"}, c.Groups))
	}
	return out
}

// rolesOf is the claim that has the roles of a token's owner.
func rolesOf(s *Site, facts Facts) []string {
	if facts.Dialect != "" {
		return as.RolesOf(facts.Dialect)
	}
	return as.RolesOf(s.AuthorizationServer.Dialect)
}
