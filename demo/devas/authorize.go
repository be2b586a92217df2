package devas

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// authorizationRequest is a checked request to the authorization endpoint
// (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2.1).
type authorizationRequest struct {
	redirectURI  string
	state        string
	nonce        string
	responseMode string
	scopes       []string
	challenge    string
	acr          string
	maxAge       time.Duration // negative: any
	prompt       []string
}

// serveAuthorization is the authorization endpoint. What is wrong with the
// client or its redirect_uri is told to the person, the rest to the client.
func (s *Server) serveAuthorization(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return bodyError(err)
	}
	client, ok := s.state.client(r.Form.Get("client_id"))
	if !ok {
		return showError(w, http.StatusBadRequest, "The application is not known here.")
	}
	redirectURI := r.Form.Get("redirect_uri")
	if redirectURI == "" && len(client.RedirectURIs) == 1 {
		redirectURI = client.RedirectURIs[0]
	}
	if !slices.ContainsFunc(client.RedirectURIs, func(u string) bool { return sameRedirect(u, redirectURI) }) {
		return showError(w, http.StatusBadRequest, "The application has not registered the address that it wants you sent back to.")
	}
	req, refusal := s.readAuthorizationRequest(r, client, redirectURI)
	if refusal != nil {
		return s.sendBack(w, r, req, url.Values{"error": {refusal.code}, "error_description": {refusal.description}})
	}
	d := s.newDialog(w, r, client)
	d.authorization = req
	return s.proceed(w, r, d)
}

// sameRedirect compares exactly, except for the port of a loopback address
// (RFC 8252 section 7.3).
func sameRedirect(registered, given string) bool {
	if registered == given {
		return true
	}
	a, errA := url.Parse(registered)
	b, errB := url.Parse(given)
	if errA != nil || errB != nil || a.Scheme != "http" || (a.Hostname() != "127.0.0.1" && a.Hostname() != "::1") || b.User != nil {
		return false
	}
	return a.Scheme == b.Scheme && a.Hostname() == b.Hostname() && a.EscapedPath() == b.EscapedPath() && a.RawQuery == b.RawQuery && b.Fragment == ""
}

func (s *Server) readAuthorizationRequest(r *http.Request, client *Client, redirectURI string) (*authorizationRequest, *protocolError) {
	f := r.Form
	req := &authorizationRequest{
		redirectURI: redirectURI, state: f.Get("state"), nonce: f.Get("nonce"), responseMode: f.Get("response_mode"),
		challenge: f.Get("code_challenge"), maxAge: -1, prompt: strings.Fields(f.Get("prompt")),
	}
	for k, v := range f {
		if len(v) > 1 && k != "resource" && k != "audience" {
			return req, invalidRequest("parameter " + k + " stands more than once")
		}
	}
	if acr := strings.Fields(f.Get("acr_values")); len(acr) > 0 {
		req.acr = acr[0]
	}
	switch req.responseMode {
	case "", "query", "fragment", "form_post":
	default:
		req.responseMode = ""
		return req, invalidRequest("response_mode is not supported")
	}
	switch {
	case f.Get("response_type") != "code":
		return req, newError(400, "unsupported_response_type", "response_type must be code")
	case !client.allows(GrantAuthorizationCode):
		return req, unauthorizedClient("the client has not registered the grant type authorization_code")
	case f.Get("request") != "":
		return req, newError(400, "request_not_supported", "")
	case f.Get("request_uri") != "":
		return req, newError(400, "request_uri_not_supported", "")
	case req.challenge != "" && f.Get("code_challenge_method") != "S256":
		return req, invalidRequest("code_challenge_method must be S256")
	case req.challenge == "" && client.TokenEndpointAuthMethod == AuthNone:
		return req, invalidRequest("a public client needs PKCE")
	case slices.Contains(req.prompt, "none") && len(req.prompt) > 1:
		return req, invalidRequest("prompt none stands alone")
	}
	scopes, err := s.allowScopes(client, f.Get("scope"))
	if err != nil {
		return req, invalidScope(err.Error())
	}
	req.scopes = scopes
	if text := f.Get("max_age"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return req, invalidRequest("max_age must be a number of seconds")
		}
		req.maxAge = time.Duration(n) * time.Second
	}
	return req, nil
}

// finishAuthorization makes the code and sends the person back to the client.
func (s *Server) finishAuthorization(w http.ResponseWriter, r *http.Request, d *dialog, login *session) error {
	req := d.authorization
	c := &code{
		value: randomToken(), clientID: d.clientID, user: login.user, redirectURI: req.redirectURI, scopes: req.scopes, nonce: req.nonce,
		challenge: req.challenge, session: login.sid, acr: req.acr, authTime: login.authTime,
		expires: s.now().Add(s.options.Lifetimes.Code), family: randomID(),
	}
	s.state.mu.Lock()
	s.state.codes[c.value] = c
	s.state.mu.Unlock()
	return s.sendBack(w, r, req, url.Values{"code": {c.value}, "session_state": {login.sid}})
}

// sendBack redirects to the client, with state and iss (RFC 9207).
func (s *Server) sendBack(w http.ResponseWriter, r *http.Request, req *authorizationRequest, values url.Values) error {
	if req.state != "" {
		values.Set("state", req.state)
	}
	values.Set("iss", s.Issuer())
	if req.responseMode == "form_post" {
		return showForm(w, req.redirectURI, values)
	}
	target, err := url.Parse(req.redirectURI)
	if err != nil {
		return invalidRequest("redirect_uri: " + err.Error())
	}
	if req.responseMode == "fragment" {
		target.Fragment, target.RawFragment = "", ""
		redirect(w, r, target.String()+"#"+values.Encode())
		return nil
	}
	q := target.Query()
	maps.Copy(q, values)
	target.RawQuery = q.Encode()
	redirect(w, r, target.String())
	return nil
}

// redirect uses 303, so that a POST of a password is never repeated elsewhere.
func redirect(w http.ResponseWriter, r *http.Request, target string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, target, http.StatusSeeOther) //nolint:gosec // A registered address, checked by the caller.
}

// grantCode exchanges an authorization code (RFC 6749 section 4.1.3, RFC 7636
// section 4.6).
func (s *Server) grantCode(r *http.Request, client *Client) (tokenAnswer, error) {
	f := r.PostForm
	s.state.mu.Lock()
	c, ok := s.state.codes[f.Get("code")]
	if ok && c.clientID == client.ID && !c.used {
		spent := *c
		spent.used = true
		s.state.codes[c.value] = &spent
	}
	s.state.mu.Unlock()
	switch {
	case !ok || c.clientID != client.ID:
		return tokenAnswer{}, invalidGrant("the code is not known")
	case c.used:
		s.state.dropTokens(func(_, _, family, _ string) bool { return family == c.family })
		return tokenAnswer{}, invalidGrant("the code was used before: what came of it is revoked")
	case !s.now().Before(c.expires):
		return tokenAnswer{}, invalidGrant("the code has expired")
	case f.Get("redirect_uri") != c.redirectURI && (f.Get("redirect_uri") != "" || len(client.RedirectURIs) != 1):
		return tokenAnswer{}, invalidGrant("redirect_uri is not that of the authorization request")
	case c.challenge != "" && !challengeMet(c.challenge, f.Get("code_verifier")):
		return tokenAnswer{}, invalidGrant("code_verifier does not fit code_challenge")
	case c.challenge == "" && f.Get("code_verifier") != "":
		return tokenAnswer{}, invalidGrant("code_verifier without code_challenge")
	}
	user, ok := s.state.user(c.user)
	if !ok {
		return tokenAnswer{}, invalidGrant("the user is gone")
	}
	return s.issue(issueOrder{
		client: client, user: user, scopes: c.scopes, audience: audience(r), session: c.session, nonce: c.nonce, acr: c.acr,
		authTime: c.authTime, family: c.family, refresh: client.allows(GrantRefreshToken),
	})
}

func challengeMet(challenge, verifier string) bool {
	sum := sha256.Sum256([]byte(verifier))
	return Secret(challenge).matches(base64.RawURLEncoding.EncodeToString(sum[:]))
}

func showForm(w http.ResponseWriter, action string, values url.Values) error {
	fields := map[string]string{}
	for k := range values {
		fields[k] = values.Get(k)
	}
	// The page must run its own submit and go to the client: a policy of its own.
	nonce := randomID()
	return show(w, http.StatusOK, page{
		Title: "Sending you back", PostTo: template.URL(action), Fields: fields, ScriptNonce: nonce, //nolint:gosec // A registered redirect_uri.
	})
}
