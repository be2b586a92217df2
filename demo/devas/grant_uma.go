package devas

import (
	"net/http"
	"net/url"
	"slices"
)

// The claim token formats that are understood: an ID token of this server (UMA
// Grant section 3.3.1), and an access token of the requesting party.
const (
	FormatIDToken     = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken" //nolint:gosec // The name of a format.
	FormatIDTokenURN  = "urn:ietf:params:oauth:token-type:id_token"                    //nolint:gosec // The name of a format.
	FormatAccessToken = "urn:ietf:params:oauth:token-type:access_token"                //nolint:gosec // The name of a format.
)

// grantUMAByBearer is the UMA grant with the requesting party's own access token
// as authentication: the party and its client are the token's.
func (s *Server) grantUMAByBearer(r *http.Request) (tokenAnswer, error) {
	t, ok := s.state.activeToken(bearer(r), s.now())
	if !ok {
		return tokenAnswer{}, bearerRefused("the access token is not active")
	}
	client, ok := s.state.client(t.clientID)
	if !ok {
		return tokenAnswer{}, bearerRefused("the access token's client is gone")
	}
	return s.grantUMA(r, client, party{clientID: client.ID, user: t.user})
}

// servePermissions answers a grant with what the RPT permits instead of the RPT, which
// nobody gets (response_mode=permissions, Keycloak).
func (s *Server) servePermissions(w http.ResponseWriter, a tokenAnswer, err error) error {
	if err != nil {
		return err
	}
	t, ok := s.state.activeToken(a.AccessToken, s.now())
	if !ok {
		return invalidGrant("the RPT has ended")
	}
	writeJSON(w, http.StatusOK, s.describePermissions(t.permissions, false))
	return nil
}

// grantUMA is the UMA grant (UMA Grant section 3.3).
func (s *Server) grantUMA(r *http.Request, client *Client, who party) (tokenAnswer, error) {
	form := r.PostForm
	t, err := s.useTicket(form.Get("ticket"), client)
	if err != nil {
		return tokenAnswer{}, err
	}
	if who.user == "" {
		who.user = t.user
	}
	badClaim, err := s.identify(form, &who)
	if err != nil {
		return tokenAnswer{}, err
	}
	upgrade := s.rptToUpgrade(form.Get("rpt"), client, t)
	asked, err := s.requestedPermissions(t, form.Get("scope"))
	if err != nil {
		return tokenAnswer{}, err
	}
	granted, complete := s.assess(asked, who)
	switch {
	case len(asked) == 0:
		return tokenAnswer{}, invalidGrant("no resource of the ticket is left")
	case (!complete && who.user == "") || (badClaim && !complete):
		return tokenAnswer{}, s.needInfo(t, client, badClaim)
	case len(granted) == 0, !complete && s.options.NoPartialGrants:
		return tokenAnswer{}, s.refuse(t, asked, who, form.Get("submit_request") != "false")
	}
	return s.issueRPT(t, granted, who, upgrade)
}

// useTicket returns the ticket and burns it (UMA Grant section 3.3.1: a ticket
// is good for one use).
func (s *Server) useTicket(value string, client *Client) (*ticket, error) {
	if value == "" {
		return nil, invalidRequest("ticket is missing")
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	t, ok := s.state.tickets[value]
	if !ok || !s.now().Before(t.expires) {
		if s.options.Dialect.AccessDenied {
			return nil, newError(http.StatusForbidden, "invalid_ticket", "Invalid permission ticket")
		}
		return nil, invalidGrant("the ticket is not known, was used before, or has expired")
	}
	if t.clientID != "" && t.clientID != client.ID {
		return nil, invalidGrant("the ticket is another client's")
	}
	if !s.options.Dialect.ReusableTickets {
		delete(s.state.tickets, value)
	}
	return t, nil
}

// nextTicket stores a ticket that takes the place of one that was used.
func (s *Server) nextTicket(from *ticket, client, user, requestID string) string {
	next := *from
	next.value, next.expires = randomToken(), s.now().Add(s.options.Lifetimes.Ticket)
	next.clientID, next.user, next.requestID = client, user, requestID
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.tickets[next.value] = &next
	return next.value
}

// identify takes who the requesting party is from a pushed claim token or a PCT.
// The first value tells that a claim token was pushed and says nothing.
func (s *Server) identify(form url.Values, who *party) (bool, error) {
	claim, format := form.Get("claim_token"), form.Get("claim_token_format")
	if (claim == "") != (format == "") {
		return false, invalidRequest("claim_token and claim_token_format go together")
	}
	if claim != "" {
		switch format {
		case FormatIDToken, FormatIDTokenURN:
			user, _, err := s.userOfIDToken(claim, false)
			if err != nil {
				return true, nil //nolint:nilerr // The answer is need_info, which asks for a better one.
			}
			who.user = user.Name
		case FormatAccessToken:
			t, ok := s.state.activeToken(claim, s.now())
			if !ok || t.user == "" {
				return true, nil
			}
			who.user = t.user
		default:
			return true, nil
		}
		return false, nil
	}
	if value := form.Get("pct"); value != "" && who.user == "" {
		s.state.mu.Lock()
		defer s.state.mu.Unlock()
		// A PCT that is unknown or another client's says nothing: UMA Grant section
		// 3.3.1 makes it no error.
		if p, ok := s.state.pcts[value]; ok && p.clientID == who.clientID && s.now().Before(p.expires) {
			who.user = p.user
		}
	}
	return false, nil
}

// rptToUpgrade returns the RPT that a client wants more in; nil where it has none
// that fits.
func (s *Server) rptToUpgrade(value string, client *Client, t *ticket) *token {
	if value == "" {
		return nil
	}
	old, ok := s.state.activeToken(value, s.now())
	if !ok || !old.rpt || old.clientID != client.ID || old.resourceServer != t.resourceServer {
		// UMA Grant section 3.3.5.1: the server may go on without it.
		return nil
	}
	return old
}

// requestedPermissions joins the ticket's permissions with the scopes that the
// client asks for beside them (UMA Grant section 3.3.4).
func (s *Server) requestedPermissions(t *ticket, scope string) ([]permission, error) {
	extra := scopeList(scope)
	matched := map[string]bool{}
	var asked []permission
	for _, p := range t.permissions {
		res, ok := s.state.resource(p.resourceID)
		if !ok {
			continue // Gone since the ticket was made.
		}
		p.name = res.Name
		for _, e := range extra {
			if slices.Contains(res.Scopes, e) {
				matched[e] = true
				p.scopes = union(p.scopes, []string{e})
			}
		}
		asked = append(asked, p)
	}
	for _, e := range extra {
		if !matched[e] {
			return nil, invalidScope("no resource of the ticket has the scope " + e)
		}
	}
	return asked, nil
}

// assess returns what the policies grant of what is asked, and whether that is
// all of it.
func (s *Server) assess(asked []permission, who party) ([]permission, bool) {
	var granted []permission
	complete := true
	for _, p := range asked {
		res, ok := s.state.resource(p.resourceID)
		if !ok {
			complete = false
			continue
		}
		if len(p.scopes) == 0 {
			if s.permits(res, "", who) {
				granted = append(granted, p)
			} else {
				complete = false
			}
			continue
		}
		var scopes []string
		for _, scope := range p.scopes {
			if slices.Contains(res.Scopes, scope) && s.permits(res, scope, who) {
				scopes = append(scopes, scope)
			} else {
				complete = false
			}
		}
		if len(scopes) > 0 {
			p.scopes = scopes
			granted = append(granted, p)
		}
	}
	return granted, complete
}

// issueRPT makes the RPT (UMA Grant section 3.3.5). The permissions of an RPT to
// upgrade stay, and the old token goes.
func (s *Server) issueRPT(t *ticket, granted []permission, who party, upgrade *token) (tokenAnswer, error) {
	now := s.now()
	for i := range granted {
		granted[i].issued, granted[i].expires = now, now.Add(s.options.Lifetimes.Permission)
	}
	upgraded := upgrade != nil && upgrade.user == who.user
	if upgraded {
		kept := s.livePermissions(upgrade)
		for _, p := range granted {
			kept = addPermission(kept, p)
		}
		granted = kept
	}
	rpt := &token{
		jti: randomID(), rpt: true, clientID: who.clientID, user: who.user, subject: who.clientID, audience: []string{t.resourceServer},
		family: randomID(), issued: now, notBefore: now, expires: now.Add(s.options.Lifetimes.RPT),
		permissions: granted, resourceServer: t.resourceServer,
	}
	if u, ok := s.state.user(who.user); ok {
		rpt.subject = u.ID
	}
	client, ok := s.state.client(who.clientID)
	answer, err := s.storeRPT(rpt, ok && client.allows(GrantRefreshToken))
	if err != nil {
		return tokenAnswer{}, err
	}
	answer.Upgraded = upgraded
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if upgraded {
		delete(s.state.tokens, upgrade.value)
	}
	if who.user != "" && !s.options.Dialect.AccessDenied {
		answer.PCT = randomToken()
		s.state.pcts[answer.PCT] = &pct{clientID: who.clientID, user: who.user, expires: now.Add(s.options.Lifetimes.PCT)}
	}
	return answer, nil
}
