package decision

import (
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

const (
	// maxClaims bounds the claims that a site keeps of each token.
	maxClaims = 64
	// maxClaimDepth bounds how many names lead to a claim.
	maxClaimDepth = 8
)

// claimRule is what one claim must be.
type claimRule struct {
	index     int // in site.named
	anyOf     []string
	variables []string
	places    []route.Place // of the variables, in the order of those
}

// named collects the claims that something of the site asks for: no others are kept.
// They are sorted, so that what is known of tokens outlives a change of the order.
func (b *builder) named(path place, s *site, c *config.Site) {
	add := func(claims []config.Claim) {
		for i := range claims {
			s.keepClaim(claims[i].Path)
		}
	}
	add(c.Token.Claims)
	for i := range c.ClaimHeaders {
		s.keepClaim(c.ClaimHeaders[i].Path)
	}
	for i := range c.ReportedClaims {
		s.keepClaim(c.ReportedClaims[i].Path)
	}
	if c.InternalToken != nil {
		for i := range c.InternalToken.Claims {
			s.keepClaim(c.InternalToken.Claims[i].Path)
		}
	}
	for i := range c.Resources {
		for j := range c.Resources[i].Conditions {
			add(c.Resources[i].Conditions[j].Claims)
		}
	}
	if len(s.named) > maxClaims {
		b.fault(path, "at most 64 claims can be named")
	}
	for _, p := range s.named { // what is known of tokens has these
		s.key += "\x00\x00" + strings.Join(p, "\x00")
	}
}

// keepClaim enters a claim where it belongs. The functions of package slices for that would
// take 20 KB of the filter.
func (s *site) keepClaim(path uma.ClaimPath) {
	at, key := 0, strings.Join(path, "\x00")
	for at < len(s.named) && strings.Join(s.named[at], "\x00") < key {
		at++
	}
	if len(path) == 0 || at < len(s.named) && strings.Join(s.named[at], "\x00") == key {
		return
	}
	s.named = append(s.named, nil)
	copy(s.named[at+1:], s.named[at:])
	s.named[at] = path
}

// indexOf is where a claim is kept; it has been entered.
func (s *site) indexOf(path []string) int {
	for i, p := range s.named {
		if slices.Equal(p, path) {
			return i
		}
	}
	return len(s.named)
}

// claims compiles what claims must be.
func (b *builder) claims(path place, s *site, list []config.Claim) []claimRule {
	if list != nil && len(list) == 0 {
		// Encoded, it is not there, and asks for nothing.
		b.fault(path.member("claims"), "at least one is needed")
	}
	var rules []claimRule
	for i := range list {
		c := &list[i]
		at := path.element("claims", i)
		if !isClaimPath(c.Path) {
			b.fault(at.member("path"), "must be 1 to 8 names, none of them empty or with a NUL")
			continue
		}
		if len(c.AnyOf) == 0 && len(c.Variables) == 0 {
			b.fault(at, "a value is needed")
		}
		if slices.Contains(c.AnyOf, "") {
			b.fault(at.member("any_of"), "an empty text is no value")
		}
		rules = append(rules, claimRule{index: s.indexOf(c.Path), anyOf: c.AnyOf, variables: c.Variables})
	}
	return rules
}

func isClaimPath(path []string) bool {
	for _, name := range path {
		if name == "" || strings.IndexByte(name, 0) >= 0 {
			return false
		}
	}
	return len(path) > 0 && len(path) <= maxClaimDepth
}

// placed returns the rules with the places that their variables have in a template, nil
// when they have none.
func placed(rules []claimRule, in route.Template) (own []claimRule, problem string) {
	for i := range rules {
		for _, variable := range rules[i].variables {
			at, ok := in.Place(variable)
			if !ok {
				return nil, "the path must have {" + variable + "}, which a claim is compared with, and no other variable in that segment"
			}
			if own == nil {
				own = append([]claimRule(nil), rules...)
			}
			own[i].places = append(own[i].places, at)
		}
	}
	return own, ""
}

// samePlaces reports whether two copies of the same rules have their variables at the
// same places.
func samePlaces(a, b []claimRule) bool {
	for i := range b {
		if !slices.Equal(a[i].places, b[i].places) {
			return false
		}
	}
	return true
}

// readsValue reports whether another reading of a path has another value where a claim
// is compared, or told to the AS: the API would act on what the claim does not name.
func (c *condition) readsValue(path, other route.Path) bool {
	for _, rules := range [...][]claimRule{c.claims, c.pushedAt} {
		for i := range rules {
			for _, at := range rules[i].places {
				if path.Value(at) != other.Value(at) {
					return true
				}
			}
		}
	}
	return false
}

// holds reports whether the claims of a token are what all the rules ask for.
func (x *Exchange) holds(rules []claimRule, t *uma.Token) bool {
	for i := range rules {
		if r := &rules[i]; !r.holds(t, x.path) {
			if x.trace != nil {
				x.noteClaim(r, t)
			}
			return false
		}
	}
	return true
}

func (r *claimRule) holds(t *uma.Token, path route.Path) bool {
	has := t.Claim(r.index)
	if overlap(r.anyOf, has) {
		return true
	}
	for _, at := range r.places {
		if contains(has, path.Value(at)) {
			return true
		}
	}
	return false
}

// unsaid reports whether nothing has been said of a claim that counts for this request.
func (x *Exchange) unsaid(t *uma.Token) bool {
	if t == nil || !t.Active {
		return false
	}
	for _, rules := range [...][]claimRule{x.site.claims, x.cond.claims} {
		for i := range rules {
			if t.Claim(rules[i].index) == nil {
				return true
			}
		}
	}
	return false
}

// misfits reports whether claims are known of a token that are not what the request needs.
// One that nobody has said counts only where the AS has said all that it has to say.
func (x *Exchange) misfits(t *uma.Token, whole bool) bool {
	if t == nil {
		return false
	}
	for _, rules := range [...][]claimRule{x.site.claims, x.cond.claims} {
		for i := range rules {
			if r := &rules[i]; (whole || t.Claim(r.index) != nil) && !r.holds(t, x.path) {
				if x.trace != nil {
					x.noteClaim(r, t)
				}
				return true
			}
		}
	}
	return false
}

// serves reports whether a permission would help one of the requests that wait for an
// evaluation: no permission mends a claim.
func (c *introspection) serves(t *uma.Token, whole bool) bool {
	for x := c.waiting.first; x != nil; x = x.behind {
		if !x.misfits(t, whole) {
			return true
		}
	}
	cond := c.evaluation.condition
	return c.waiting.first == nil && c.site.claims == nil && (cond == nil || cond.claims == nil)
}

func (x *Exchange) noteClaim(r *claimRule, t *uma.Token) {
	var needs []string
	for _, s := range r.anyOf {
		needs = append(needs, strconv.Quote(s))
	}
	for i, at := range r.places {
		needs = append(needs, "{"+r.variables[i]+"}, which is "+strconv.Quote(x.path.Value(at)))
	}
	has := "is not there"
	switch list := t.Claim(r.index); {
	case len(list) > 0:
		has = "is " + quoteList(list)
	case list != nil:
		has = "is no text and no list of texts"
	}
	x.note("claim", claimName(x.site.named[r.index]), " ", has, "; it must have one of ", strings.Join(needs, ", "))
}

// claimName writes a path as umagate.yaml does.
func claimName(path uma.ClaimPath) string {
	var b []byte
	for i, name := range path {
		if i > 0 {
			b = append(b, '.')
		}
		for j := range len(name) {
			if name[j] == '.' || name[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, name[j])
		}
	}
	return string(b)
}
