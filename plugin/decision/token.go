package decision

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

// checkRevoked checks a token unless it is revoked, or cannot be told from one that is.
func (x *Exchange) checkRevoked(t *uma.Token, status revocationStatus, now time.Time) Reason {
	reason := ReasonRevoked
	switch status.final() {
	case notRevoked, sessionUnknown:
		return x.checkToken(t, now)
	case ownerUnknown:
		reason = ReasonRevocationUnknown
	case isRevoked:
	}
	x.token = t
	x.note("token", reason.Detail())
	return reason
}

// checkToken decides whether a token does for the exchange's condition. What it finds
// is for this request only: nothing of it is cached.
func (x *Exchange) checkToken(t *uma.Token, now time.Time) Reason {
	x.token = t
	if reason := x.site.checkClaims(t, now.Unix()); reason != ReasonPermitted {
		x.note("token", reason.Detail())
		return reason
	}
	if !x.holds(x.site.claims, t) || !x.holds(x.cond.claims, t) {
		// Before what a ticket could mend: it mends nothing here.
		x.note("token", ReasonInsufficientClaims.Detail())
		return ReasonInsufficientClaims
	}
	reason := ReasonPermitted
	switch {
	case x.cond.anyToken:
	case x.site.oauth:
		reason = x.checkScopes(t.Scopes)
	default:
		reason = x.checkPermissions(t, now.Unix())
	}
	if reason == ReasonPermitted && !x.cond.authenticated(t, now.Unix()-x.site.leeway) {
		reason = ReasonInsufficientAuthentication
		x.note("token", reason.Detail())
	}
	return reason
}

// authenticated reports whether a token says that its owner was authenticated as a
// condition needs it (RFC 9470). One that does not say was not.
func (c *condition) authenticated(t *uma.Token, now int64) bool {
	return (c.acr == nil || contains(c.acr, t.ACR)) && (c.maxAuthAge == 0 || t.AuthTime != 0 && now-t.AuthTime <= c.maxAuthAge)
}

// checkClaims applies the site's rules, the same for every condition.
func (s *site) checkClaims(t *uma.Token, now int64) Reason {
	switch {
	case !t.Active:
		return ReasonInactive
	case t.NotAccess:
		return ReasonNotAccessToken
	case t.Bound:
		return ReasonSenderConstrained
	case t.Expires != 0 && now >= t.Expires+s.leeway:
		return ReasonExpired
	case t.NotBefore != 0 && now < t.NotBefore-s.leeway:
		return ReasonNotYetValid
	case len(s.names) > 0 && t.Issuer != "" && !contains(s.names, t.Issuer):
		return ReasonWrongIssuer
	case len(s.issuers) > 0 && !contains(s.issuers, t.Issuer):
		return ReasonWrongIssuer
	case len(s.audiences) > 0 && !overlap(s.audiences, t.Audience):
		return ReasonWrongAudience
	case len(s.clientIDs) > 0 && !contains(s.clientIDs, t.ClientID):
		return ReasonWrongClient
	}
	return ReasonPermitted
}

func (x *Exchange) checkScopes(scopes []string) Reason {
	var set scope.Set
	for _, s := range scopes {
		set = x.cond.need.Add(set, s)
	}
	x.held = scopes
	x.noteScopes("of the token", scopes)
	if len(scopes) > 0 && x.cond.need.Satisfied(set) {
		return ReasonPermitted
	}
	return ReasonNotPermitted
}

// checkPermissions looks at every permission of the right resource that is in
// force. A permission without scopes is not one for all of them, and an
// expression that holds without any scope still needs a permission. Where any
// permission is enough, one without scopes is.
func (x *Exchange) checkPermissions(t *uma.Token, now int64) Reason {
	if x.resourceID == "" {
		return ReasonNotPermitted
	}
	var set scope.Set
	permitted := false
	x.held = nil
	for i := range t.Permissions {
		p := &t.Permissions[i]
		if p.ResourceID != x.resourceID {
			continue
		}
		if !p.ValidAt(now, x.site.leeway) {
			x.note("permission", "for ", p.ResourceID, " is not in force")
			continue
		}
		permitted = x.cond.anyPermission
		for _, s := range p.Scopes {
			set = x.cond.need.Add(set, s)
		}
		if x.held == nil {
			x.held = p.Scopes
		} else {
			x.held = append(slices.Clip(x.held), p.Scopes...)
		}
	}
	if t.Unread > 0 {
		x.note("permission", "some of the answer cannot be read, and count for nothing")
	}
	x.noteScopes("of the resource's permissions", x.held)
	if permitted || len(x.held) > 0 && x.cond.need.Satisfied(set) && (t.Asked == nil || !x.cond.need.Negates() || x.covered(t)) {
		return ReasonPermitted
	}
	return ReasonNotPermitted
}

func (x *Exchange) noteScopes(whose string, scopes []string) {
	if x.trace != nil {
		x.note("scopes", whose, ": ", quoteList(scopes), "; the condition names ", quoteList(x.cond.need.Scopes()))
	}
}

func quoteList(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = strconv.Quote(s)
	}
	return strings.Join(quoted, ", ")
}

func contains(list []string, s string) bool {
	return s != "" && slices.Contains(list, s)
}

func overlap(a, b []string) bool {
	for _, v := range b {
		if contains(a, v) {
			return true
		}
	}
	return false
}
