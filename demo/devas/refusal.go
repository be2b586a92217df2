package devas

import (
	"net/http"
	"slices"
	"time"
)

// needInfo asks for claims: pushed, or by way of the claims interaction
// endpoint (UMA Grant section 3.3.6).
func (s *Server) needInfo(t *ticket, client *Client, badClaim bool) *protocolError {
	if s.options.Dialect.AccessDenied {
		return newError(http.StatusForbidden, "access_denied", "not_authorized")
	}
	description := "the requesting party is not known"
	if badClaim {
		description = "the claim token does not tell who the requesting party is"
	}
	e := newError(http.StatusForbidden, "need_info", description)
	e.extra = map[string]any{
		"ticket": s.nextTicket(t, client.ID, t.user, ""),
		"required_claims": []map[string]any{{
			"name": "sub", "friendly_name": "the requesting party", "claim_type": "urn:oid:0.9.2342.19200300.100.1.1",
			"claim_token_format": []string{FormatIDToken, FormatAccessToken}, "issuer": []string{s.Issuer()},
		}},
	}
	if !s.options.Dialect.NoClaimsInteraction {
		e.extra["redirect_user"] = s.endpoint(s.options.Dialect.Paths.Claims)
	}
	return e
}

// refuse answers a known party that is granted nothing: the owner is asked, or
// the answer is no (UMA Grant section 3.3.6).
func (s *Server) refuse(t *ticket, asked []permission, who party, submit bool) *protocolError {
	if s.options.Dialect.AccessDenied {
		if submit {
			s.submit(t, asked, who)
			return newError(http.StatusForbidden, "access_denied", "request_submitted")
		}
		return newError(http.StatusForbidden, "access_denied", "not_authorized")
	}
	id := s.submit(t, asked, who)
	if id == "" {
		return newError(http.StatusForbidden, "request_denied", "the policies do not let this requesting party")
	}
	e := newError(http.StatusForbidden, "request_submitted", "the resource owner is asked")
	e.extra = map[string]any{
		"ticket":   s.nextTicket(t, who.clientID, who.user, id),
		"interval": int64(s.options.PollInterval / time.Second),
	}
	return e
}

// submit notes what waits for an owner and returns the id of the first request;
// "" when no resource of the ticket has an owner to ask.
func (s *Server) submit(t *ticket, asked []permission, who party) string {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if t.requestID != "" {
		if _, waiting := s.state.requests[t.requestID]; waiting {
			return t.requestID
		}
		return "" // The owner has said no.
	}
	first := ""
	for _, p := range asked {
		res, ok := s.state.resources[p.resourceID]
		if !ok || !res.AskOwner {
			continue
		}
		if s.options.Dialect.AccessDenied && s.state.waits(res.ID, p.scopes, who) {
			continue // Keycloak has one for each person and scope
		}
		r := &AccessRequest{
			ID: randomID(), Resource: res.ID, Owner: res.Owner, Scopes: p.scopes, Subject: who.user, Client: who.clientID,
		}
		s.state.requests[r.ID] = r
		if first == "" {
			first = r.ID
		}
	}
	return first
}

// waits reports whether a request of the party for all of these scopes waits. The caller
// holds the lock.
func (st *state) waits(resource string, scopes []string, who party) bool {
	for _, r := range st.requests {
		if r.Resource == resource && r.Subject == who.user && !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(r.Scopes, s) }) {
			return true
		}
	}
	return false
}
