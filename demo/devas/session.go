package devas

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	loginPath     = "/login"
	consentPath   = "/consent"
	browserCookie = "devas_browser"
	sessionCookie = "devas_session"
	dialogLife    = 15 * time.Minute
)

// session is a person's login in one browser.
type session struct {
	id       string // the cookie
	sid      string // the sid claim
	user     string
	authTime time.Time
	expires  time.Time
	consents []string // "client scope" pairs the person has agreed to
}

// dialog is what a person is in the middle of: an authorization request or a
// claims interaction. It is bound to the browser that began it, and each form
// carries its csrf token, so that no other page can finish it.
type dialog struct {
	id            string
	browser       string
	csrf          string
	clientID      string
	authorization *authorizationRequest
	claims        *claimsRequest
	loggedIn      bool // the login happened in this dialog, which prompt=login asks for
	expires       time.Time
}

// newDialog begins a dialog in the browser of the request.
func (s *Server) newDialog(w http.ResponseWriter, r *http.Request, client *Client) *dialog {
	browser := cookie(r, browserCookie)
	if browser == "" {
		browser = randomToken()
		s.setCookie(w, browserCookie, browser)
	}
	return &dialog{
		id: randomID(), browser: browser, csrf: randomToken(), clientID: client.ID, expires: s.now().Add(dialogLife),
	}
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{ //nolint:gosec // Secure where the issuer is https; on loopback it is http.
		Name: name, Value: value, Path: s.prefix + "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: strings.HasPrefix(s.Issuer(), "https:"),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func (s *Server) sessionOf(r *http.Request) (*session, bool) {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	login, ok := s.state.sessions[cookie(r, sessionCookie)]
	if !ok || !s.now().Before(login.expires) {
		return nil, false
	}
	return login, true
}

// proceed takes a dialog one step further: login page, consent page, or the end.
func (s *Server) proceed(w http.ResponseWriter, r *http.Request, d *dialog) error {
	login, ok := s.sessionOf(r)
	if ok && !d.loggedIn && d.authorization != nil {
		req := d.authorization
		old := req.maxAge >= 0 && s.now().Sub(login.authTime) > req.maxAge
		ok = !old && !slices.Contains(req.prompt, "login")
	}
	silent := d.authorization != nil && slices.Contains(d.authorization.prompt, "none")
	if !ok {
		if silent {
			return s.sendBack(w, r, d.authorization, url.Values{"error": {"login_required"}})
		}
		return s.showDialog(w, d, page{Title: "Sign in", Login: true})
	}
	return s.afterLogin(w, r, d, login, silent)
}

func (s *Server) afterLogin(w http.ResponseWriter, r *http.Request, d *dialog, login *session, silent bool) error {
	if s.hasConsent(d, login) {
		return s.finish(w, r, d, login)
	}
	if silent {
		return s.sendBack(w, r, d.authorization, url.Values{"error": {"consent_required"}})
	}
	p := page{Title: "Allow access", Consent: true, User: login.user}
	if d.authorization != nil {
		p.Scopes = d.authorization.scopes
	}
	return s.showDialog(w, d, p)
}

func (s *Server) hasConsent(d *dialog, login *session) bool {
	if d.authorization != nil && slices.Contains(d.authorization.prompt, "consent") {
		return false
	}
	if s.options.SkipConsent {
		return true
	}
	return !slices.ContainsFunc(d.consents(), func(c string) bool { return !slices.Contains(login.consents, c) })
}

// consents are the pairs the person is asked to agree to.
func (d *dialog) consents() []string {
	if d.claims != nil {
		return []string{d.clientID + " claims"}
	}
	list := []string{d.clientID}
	for _, scope := range d.authorization.scopes {
		list = append(list, d.clientID+" "+scope)
	}
	return list
}

func (s *Server) finish(w http.ResponseWriter, r *http.Request, d *dialog, login *session) error {
	s.state.mu.Lock()
	delete(s.state.dialogs, d.id)
	s.state.mu.Unlock()
	if d.claims != nil {
		return s.finishClaims(w, r, d, login)
	}
	return s.finishAuthorization(w, r, d, login)
}

// showDialog stores the dialog and shows a page whose form continues it.
func (s *Server) showDialog(w http.ResponseWriter, d *dialog, p page) error {
	s.state.mu.Lock()
	s.state.dialogs[d.id] = d
	client := s.state.clients[d.clientID]
	s.state.mu.Unlock()
	if client != nil {
		p.Client = client.name()
	}
	p.Dialog, p.CSRF, p.ForClaims = d.id, d.csrf, d.claims != nil
	p.LoginPath, p.ConsentPath = s.prefix+loginPath, s.prefix+consentPath
	status := http.StatusOK
	if p.Problem != "" {
		status = http.StatusUnauthorized
	}
	return show(w, status, p)
}

// continued returns the dialog a form belongs to, if it comes from the browser
// that began it and carries its csrf token.
func (s *Server) continued(r *http.Request) (*dialog, bool) {
	if err := readForm(r); err != nil {
		return nil, false
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	d, ok := s.state.dialogs[r.PostForm.Get("dialog")]
	if !ok || !s.now().Before(d.expires) || !Secret(d.csrf).matches(r.PostForm.Get("csrf")) || !Secret(d.browser).matches(cookie(r, browserCookie)) {
		return nil, false
	}
	return d, true
}

// serveLogin takes the login form.
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) error {
	d, ok := s.continued(r)
	if !ok {
		return showError(w, http.StatusForbidden, "This form is not from a sign-in that you began here, or it has expired. Go back to the application and start again.")
	}
	user, ok := s.state.user(r.PostForm.Get("username"))
	if !ok || !user.Password.matches(r.PostForm.Get("password")) {
		return s.showDialog(w, d, page{Title: "Sign in", Login: true, Problem: "User name or password is wrong."})
	}
	login := &session{
		id: randomToken(), sid: randomID(), user: user.Name, authTime: s.now(), expires: s.now().Add(s.options.Lifetimes.Session),
	}
	s.state.mu.Lock()
	if old, ok := s.state.sessions[cookie(r, sessionCookie)]; ok {
		delete(s.state.sessions, old.id)
		if old.user == user.Name {
			login.consents = old.consents
		}
	}
	s.state.sessions[login.id] = login
	next := *d
	next.loggedIn = true
	s.state.dialogs[d.id] = &next
	s.state.mu.Unlock()
	s.setCookie(w, sessionCookie, login.id)
	return s.afterLogin(w, r, &next, login, false)
}

// serveConsent takes the consent form.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) error {
	d, ok := s.continued(r)
	login, loggedIn := s.sessionOf(r)
	if !ok || !loggedIn {
		return showError(w, http.StatusForbidden, "This form is not from a sign-in that you began here, or it has expired. Go back to the application and start again.")
	}
	if r.PostForm.Get("decision") != "allow" {
		s.state.mu.Lock()
		delete(s.state.dialogs, d.id)
		s.state.mu.Unlock()
		if d.claims != nil {
			return sendBackClaims(w, r, d.claims, url.Values{"error": {"access_denied"}})
		}
		return s.sendBack(w, r, d.authorization, url.Values{"error": {"access_denied"}})
	}
	agreed := *login
	agreed.consents = union(login.consents, d.consents())
	s.state.mu.Lock()
	s.state.sessions[login.id] = &agreed
	s.state.mu.Unlock()
	return s.finish(w, r, d, &agreed)
}

// serveEndSession is the logout endpoint (OpenID Connect RP-Initiated Logout
// section 2). It ends the session of the browser and of the ID token that is
// hinted, with the tokens that came of it.
func (s *Server) serveEndSession(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return bodyError(err)
	}
	clientID := r.Form.Get("client_id")
	ended := map[string]bool{}
	if hint := r.Form.Get("id_token_hint"); hint != "" {
		_, claims, err := s.userOfIDToken(hint, true)
		if err != nil || (clientID != "" && clientID != claims.Audience) {
			return showError(w, http.StatusBadRequest, "The application's id_token_hint is not a token of this server for that client.")
		}
		clientID = claims.Audience
		ended[claims.Session] = true
	}
	if login, ok := s.sessionOf(r); ok {
		ended[login.sid] = true
	}
	delete(ended, "")
	s.state.mu.Lock()
	expire(s.state.sessions, func(login *session) bool { return ended[login.sid] })
	s.state.mu.Unlock()
	s.state.dropTokens(func(_, _, _, sid string) bool { return ended[sid] })
	s.setCookie(w, sessionCookie, "")
	target := r.Form.Get("post_logout_redirect_uri")
	client, ok := s.state.client(clientID)
	if target == "" || !ok || !slices.Contains(client.PostLogoutRedirectURIs, target) {
		if target != "" {
			return showError(w, http.StatusBadRequest, "You are signed out. The application has not registered the address that it wants you sent back to.")
		}
		return show(w, http.StatusOK, page{Title: "Signed out", Message: "You are signed out."})
	}
	u, err := url.Parse(target)
	if err != nil {
		return invalidRequest("post_logout_redirect_uri: " + err.Error())
	}
	if state := r.Form.Get("state"); state != "" {
		q := u.Query()
		q.Set("state", state)
		u.RawQuery = q.Encode()
	}
	redirect(w, r, u.String())
	return nil
}
