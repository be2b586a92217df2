package site

import (
	"maps"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// compilePushedClaims translates what the AS is told of requests. What cannot be read has no
// source, which the filter's core refuses.
func compilePushedClaims(claims map[string]string) []config.PushedClaim {
	if claims == nil {
		return nil
	}
	out := []config.PushedClaim{}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		claim := config.PushedClaim{Name: name}
		text := claims[name]
		header, isHeader := strings.CutPrefix(text, "header.")
		_, variable, err := parseClaimValue(text)
		switch {
		case text == string(config.ClaimOfMethod), text == string(config.ClaimOfClientAddress):
			claim.Source = config.ClaimSource(text)
		case isHeader:
			claim.Source, claim.Of = config.ClaimOfHeader, strings.ToLower(header)
		case err == nil && variable != "":
			claim.Source, claim.Of = config.ClaimOfVariable, variable
		}
		out = append(out, claim)
	}
	return out
}

// pushesClaims reports whether the AS is told of requests.
func (s *Site) pushesClaims() bool {
	return slices.ContainsFunc(s.Resources, func(r Resource) bool {
		return slices.ContainsFunc(r.Conditions, func(c Condition) bool { return c.PushedClaims != nil })
	})
}

// pushedClaims looks at what the filter's core cannot know: how the AS would be asked.
func (v *validator) pushedClaims(path string, s *Site) {
	t, server := &s.Token, &s.AuthorizationServer
	for i := range s.Resources {
		for j := range s.Resources[i].Conditions {
			if s.Resources[i].Conditions[j].PushedClaims == nil {
				continue
			}
			at := config.Index(config.Index(path+".resources", i)+".conditions", j) + ".pushed_claims"
			switch {
			case s.Require == config.RequireOAuthScopes:
				v.fault(at, "with require: oauth_scopes the authorization server is asked for no permission", "take pushed_claims out, or write require: uma")
			case t.Evaluate != EvaluateAtAS:
				v.fault(at, "a permission in a token does not say for which request it was granted", "write token: {evaluate: at_as}: the authorization server is then asked about each request")
			case server.ClaimTokenFormat != "" || server.Dialect != as.DialectAuto && server.Dialect != as.DialectKeycloak:
				v.fault(at, "only Keycloak takes claims with a permission request", "take pushed_claims out")
			case t.AskOwner:
				v.fault(at, "a client could have the owner asked as often as it changes what is told", "take it out, or ask_owner")
			}
		}
	}
}
