package devas

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// tokenAnswer is an access token response (RFC 6749 section 5.1, UMA Grant
// section 3.3.5).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	PCT          string `json:"pct,omitempty"`
	Upgraded     bool   `json:"upgraded,omitempty"`
}

// serveToken is the token endpoint (RFC 6749 section 3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	grant := r.PostForm.Get("grant_type")
	if grant == GrantUMA && bearer(r) != "" {
		if s.options.Dialect.PermissionGrant && r.PostForm.Get("ticket") == "" {
			return s.serveEvaluation(w, r)
		}
		answer, err := s.grantUMAByBearer(r)
		if s.options.Dialect.PermissionGrant && r.PostForm.Get("response_mode") == "permissions" {
			return s.servePermissions(w, answer, err)
		}
		return reply(w)(answer, err)
	}
	client, err := s.authenticateClient(r)
	if err != nil {
		return err
	}
	if !slices.Contains(grantTypes(), grant) {
		return newError(http.StatusBadRequest, "unsupported_grant_type", fmt.Sprintf("grant_type %q is not supported", grant))
	}
	if !client.allows(grant) {
		return unauthorizedClient("the client has not registered the grant type " + grant)
	}
	switch grant {
	case GrantClientCredentials:
		return reply(w)(s.grantClientCredentials(r, client))
	case GrantPassword:
		return reply(w)(s.grantPassword(r, client))
	case GrantAuthorizationCode:
		return reply(w)(s.grantCode(r, client))
	case GrantRefreshToken:
		return reply(w)(s.grantRefresh(r, client))
	default:
		return reply(w)(s.grantUMA(r, client, party{clientID: client.ID}))
	}
}

// reply writes the answer of a grant, if it is one.
func reply(w http.ResponseWriter) func(tokenAnswer, error) error {
	return func(a tokenAnswer, err error) error {
		if err == nil {
			w.Header().Set("Pragma", "no-cache")
			writeJSON(w, http.StatusOK, a)
		}
		return err
	}
}

// allowScopes checks the scopes a client asks for; what it has registered when
// it asks for none.
func (s *Server) allowScopes(client *Client, text string) ([]string, error) {
	registered := scopeList(client.Scope)
	asked := scopeList(text)
	if len(asked) == 0 {
		return registered, nil
	}
	for _, scope := range asked {
		known := slices.Contains(s.knownScopes(), scope)
		switch {
		case scope == ScopePAT && s.options.Dialect.PATWithoutScope:
			return nil, invalidScope("Invalid scopes: " + scope)
		case len(registered) > 0 && !slices.Contains(registered, scope) && scope != "openid":
			return nil, invalidScope("the client has not registered the scope " + scope)
		case len(registered) == 0 && !known:
			return nil, invalidScope("the scope " + scope + " is not known")
		}
	}
	return asked, nil
}

func (s *Server) grantClientCredentials(r *http.Request, client *Client) (tokenAnswer, error) {
	if client.TokenEndpointAuthMethod == AuthNone {
		return tokenAnswer{}, unauthorizedClient("client_credentials needs a confidential client")
	}
	scopes, err := s.allowScopes(client, r.PostForm.Get("scope"))
	if err != nil {
		return tokenAnswer{}, err
	}
	return s.issue(issueOrder{client: client, scopes: scopes, audience: audience(r)})
}

func (s *Server) grantPassword(r *http.Request, client *Client) (tokenAnswer, error) {
	user, ok := s.state.user(r.PostForm.Get("username"))
	if !ok || !user.Password.matches(r.PostForm.Get("password")) {
		return tokenAnswer{}, invalidGrant("user name or password is wrong")
	}
	scopes, err := s.allowScopes(client, r.PostForm.Get("scope"))
	if err != nil {
		return tokenAnswer{}, err
	}
	return s.issue(issueOrder{
		client: client, user: user, scopes: scopes, audience: audience(r), authTime: s.now(),
		session: randomID(), refresh: client.allows(GrantRefreshToken),
	})
}

// audience is what the token is asked for (RFC 8707 resource; audience as many
// products have it).
func audience(r *http.Request) []string {
	return slices.Concat(r.PostForm["resource"], r.PostForm["audience"])
}

// issueOrder is what issue makes tokens of.
type issueOrder struct {
	client   *Client
	user     *User // nil: the client's own token
	scopes   []string
	audience []string
	session  string
	nonce    string
	acr      string
	authTime time.Time
	family   string // of the refresh token; a new one when empty
	refresh  bool
}

// issue makes and stores an access token and what goes with it.
func (s *Server) issue(o issueOrder) (tokenAnswer, error) {
	now := s.now()
	if o.family == "" {
		o.family = randomID()
	}
	switch {
	case len(o.audience) > 0:
	case s.options.Dialect.IntrospectionAudience:
		o.audience = []string{"account"}
	default:
		o.audience = []string{o.client.ID}
	}
	t := &token{
		jti: randomID(), clientID: o.client.ID, subject: o.client.ID, scopes: o.scopes, audience: o.audience,
		session: o.session, family: o.family, issued: now, notBefore: now,
		pat: s.isPAT(o),
	}
	life := s.options.Lifetimes.AccessToken
	if t.pat {
		life = s.options.Lifetimes.PAT
	}
	t.expires = now.Add(life)
	if o.user != nil {
		t.user, t.subject = o.user.Name, o.user.ID
	}
	if err := s.mint(t, s.options.AccessTokenFormat); err != nil {
		return tokenAnswer{}, err
	}
	s.state.put(t, now)
	answer := tokenAnswer{
		AccessToken: t.value, TokenType: "Bearer", ExpiresIn: int64(life / time.Second), Scope: strings.Join(o.scopes, " "),
	}
	if o.refresh {
		rt := &refreshToken{
			value: randomToken(), family: o.family, clientID: o.client.ID, user: t.user, scopes: o.scopes, audience: o.audience,
			session: o.session, authTime: o.authTime, nonce: o.nonce, expires: now.Add(s.options.Lifetimes.RefreshToken),
		}
		s.state.mu.Lock()
		s.state.refresh[rt.value] = rt
		s.state.mu.Unlock()
		answer.RefreshToken = rt.value
	}
	if o.user != nil && slices.Contains(o.scopes, "openid") {
		id, err := s.idToken(o, t.value)
		if err != nil {
			return tokenAnswer{}, err
		}
		answer.IDToken = id
	}
	return answer, nil
}

// isPAT reports whether the token is good at the protection API (UMA Federated
// Authorization section 1.3).
func (s *Server) isPAT(o issueOrder) bool {
	if s.options.Dialect.PATWithoutScope {
		return o.client.allows(GrantUMA) && o.client.TokenEndpointAuthMethod != AuthNone
	}
	return slices.Contains(o.scopes, ScopePAT)
}

// jwtToken is the payload of a JWT access token or RPT (RFC 9068 section 2.2).
type jwtToken struct {
	Issuer        string         `json:"iss"`
	Subject       string         `json:"sub,omitempty"`
	Audience      any            `json:"aud,omitempty"`
	Expires       int64          `json:"exp"`
	Issued        int64          `json:"iat"`
	NotBefore     int64          `json:"nbf,omitempty"`
	ID            string         `json:"jti"`
	ClientID      string         `json:"client_id,omitempty"`
	AuthorizedFor string         `json:"azp,omitempty"`
	Scope         string         `json:"scope,omitempty"`
	Session       string         `json:"sid,omitempty"`
	Username      string         `json:"preferred_username,omitempty"`
	Permissions   any            `json:"permissions,omitempty"`
	Authorization map[string]any `json:"authorization,omitempty"`
}

// mint sets the token's value.
func (s *Server) mint(t *token, format TokenFormat) error {
	if format != FormatJWT {
		t.value = randomToken()
		return nil
	}
	payload := jwtToken{
		Issuer: s.Issuer(), Subject: t.subject, Audience: oneOrMany(t.audience), Expires: t.expires.Unix(), Issued: t.issued.Unix(),
		NotBefore: t.notBefore.Unix(), ID: t.jti, ClientID: t.clientID, AuthorizedFor: t.clientID,
		Scope: strings.Join(t.scopes, " "), Session: t.session, Username: t.user,
	}
	if t.rpt {
		if s.options.Dialect.PermissionNames {
			payload.Authorization = map[string]any{"permissions": s.describePermissions(t.permissions, false)}
		} else {
			payload.Permissions = s.describePermissions(t.permissions, false)
		}
	}
	value, err := s.keys.sign(s.options.SigningAlg, "at+jwt", payload)
	if err != nil {
		return err
	}
	t.value = value
	return nil
}

// oneOrMany writes an audience as RFC 7519 section 4.1.3 allows.
func oneOrMany(list []string) any {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	default:
		return list
	}
}
