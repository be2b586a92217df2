package devas

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// grantRefresh exchanges a refresh token, which is used once: a second use
// revokes the whole family (RFC 9700 section 4.14.2).
func (s *Server) grantRefresh(r *http.Request, client *Client) (tokenAnswer, error) {
	value := r.PostForm.Get("refresh_token")
	s.state.mu.Lock()
	rt, ok := s.state.refresh[value]
	if ok && rt.clientID == client.ID {
		spent := *rt
		spent.used = true
		s.state.refresh[value] = &spent
	}
	s.state.mu.Unlock()
	switch {
	case !ok || rt.clientID != client.ID:
		return tokenAnswer{}, invalidGrant("the refresh token is not known")
	case rt.used:
		s.state.dropTokens(func(_, _, family, _ string) bool { return family == rt.family })
		return tokenAnswer{}, invalidGrant("the refresh token was used before: all that came of it is revoked")
	case !s.now().Before(rt.expires):
		return tokenAnswer{}, invalidGrant("the refresh token has expired")
	}
	if rt.rpt != nil {
		return s.refreshRPT(rt)
	}
	scopes := rt.scopes
	if asked := scopeList(r.PostForm.Get("scope")); len(asked) > 0 {
		for _, scope := range asked {
			if !slices.Contains(rt.scopes, scope) {
				return tokenAnswer{}, invalidScope("the refresh token does not cover the scope " + scope)
			}
		}
		scopes = asked
	}
	user, ok := s.state.user(rt.user)
	if !ok {
		return tokenAnswer{}, invalidGrant("the user is gone")
	}
	return s.issue(issueOrder{
		client: client, user: user, scopes: scopes, audience: rt.audience, session: rt.session,
		authTime: rt.authTime, family: rt.family, refresh: true,
	})
}

// refreshRPT issues an RPT anew with the permissions it had. What the policies
// say now is not asked: a client that wants that comes with a ticket.
func (s *Server) refreshRPT(rt *refreshToken) (tokenAnswer, error) {
	now := s.now()
	next := *rt.rpt
	next.jti, next.issued, next.notBefore = randomID(), now, now
	next.expires = now.Add(s.options.Lifetimes.RPT)
	next.permissions = slices.Clone(rt.rpt.permissions)
	for i := range next.permissions {
		next.permissions[i].issued, next.permissions[i].expires = now, now.Add(s.options.Lifetimes.Permission)
	}
	return s.storeRPT(&next, true)
}

// storeRPT gives an RPT its value, stores it, and answers with it.
func (s *Server) storeRPT(t *token, refresh bool) (tokenAnswer, error) {
	now := s.now()
	if err := s.mint(t, s.options.RPTFormat); err != nil {
		return tokenAnswer{}, err
	}
	s.state.put(t, now)
	answer := tokenAnswer{AccessToken: t.value, TokenType: "Bearer", ExpiresIn: int64(t.expires.Sub(now) / time.Second)}
	if refresh {
		rt := &refreshToken{
			value: randomToken(), family: t.family, clientID: t.clientID, user: t.user, session: t.session,
			expires: now.Add(s.options.Lifetimes.RefreshToken), rpt: t,
		}
		s.state.mu.Lock()
		s.state.refresh[rt.value] = rt
		s.state.mu.Unlock()
		answer.RefreshToken = rt.value
	}
	return answer, nil
}

// serveRevocation is the revocation endpoint (RFC 7009 section 2).
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	client, err := s.authenticateClient(r)
	if err != nil {
		return err
	}
	value := r.PostForm.Get("token")
	if value == "" {
		return invalidRequest("token is missing")
	}
	s.state.mu.Lock()
	access, isAccess := s.state.tokens[value]
	rt, isRefresh := s.state.refresh[value]
	if isAccess && access.clientID == client.ID {
		delete(s.state.tokens, value)
	}
	s.state.mu.Unlock()
	if isRefresh && rt.clientID == client.ID {
		s.state.dropTokens(func(_, _, family, _ string) bool { return family == rt.family })
	}
	// A token that is unknown or another client's gets the same answer.
	w.WriteHeader(http.StatusOK)
	return nil
}

// serveUserInfo is the UserInfo endpoint (OpenID Connect Core section 5.3).
func (s *Server) serveUserInfo(w http.ResponseWriter, r *http.Request) error {
	t, ok := s.state.activeToken(bearer(r), s.now())
	if !ok {
		return bearerRefused("the access token is not active")
	}
	user, ok := s.state.user(t.user)
	if !ok || !slices.Contains(t.scopes, "openid") {
		e := newError(http.StatusForbidden, "insufficient_scope", "a person's token with the scope openid is needed")
		e.header = http.Header{"Www-Authenticate": {`Bearer realm="devas", error="insufficient_scope", scope="openid"`}}
		return e
	}
	claims := map[string]any{"sub": user.ID}
	if slices.Contains(t.scopes, "profile") {
		claims["preferred_username"] = user.Name
		if user.FullName != "" {
			claims["name"] = user.FullName
			given, family, _ := strings.Cut(user.FullName, " ")
			claims["given_name"], claims["family_name"] = given, family
		}
	}
	if slices.Contains(t.scopes, "email") && user.Email != "" {
		claims["email"], claims["email_verified"] = user.Email, true
	}
	writeJSON(w, http.StatusOK, claims)
	return nil
}
