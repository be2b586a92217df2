package devas_test

import (
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/umagate/umagate/demo/devas"
)

// person is a browser that is driven by hand.
type person struct {
	*http.Client
	k *kit
}

func newPerson(t *testing.T, k *kit) *person {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &person{k: k, Client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (p *person) do(t *testing.T, method, path string, f url.Values) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.k.Issuer()+path, strings.NewReader(f.Encode()))
	require.NoError(t, err)
	if f != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := p.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	require.NoError(t, a.read(resp.Body))
	return a
}

// hidden reads the hidden fields of the page.
func hidden(t *testing.T, a answer) url.Values {
	t.Helper()
	f := url.Values{}
	for _, m := range regexp.MustCompile(`type="hidden" name="(\w+)" value="([^"]*)"`).FindAllStringSubmatch(a.raw, -1) {
		f.Set(m[1], m[2])
	}
	require.NotEmpty(t, f, a.raw)
	return f
}

func with(f url.Values, pairs ...string) url.Values {
	out := url.Values{}
	maps.Copy(out, f)
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

var challenge = oauth2.S256ChallengeFromVerifier("a-verifier-of-at-least-forty-three-characters-0")

func authorize(more ...string) string {
	f := with(url.Values{
		"client_id": {"app"}, "response_type": {"code"}, "redirect_uri": {redirectURI}, "scope": {"openid profile"}, "state": {"s"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}, more...)
	return "/authorize?" + f.Encode()
}

// signIn takes a person through both pages and returns where it is sent.
func (p *person) signIn(t *testing.T, path, user string) *url.URL {
	t.Helper()
	login := p.do(t, http.MethodGet, path, nil)
	consent := p.do(t, http.MethodPost, "/login", with(hidden(t, login), "username", user, "password", user))
	require.Equal(t, 200, consent.status, consent.raw)
	back := p.do(t, http.MethodPost, "/consent", with(hidden(t, consent), "decision", "allow"))
	return location(t, back)
}

func location(t *testing.T, a answer) *url.URL {
	t.Helper()
	require.Equal(t, http.StatusSeeOther, a.status, a.raw)
	u, err := url.Parse(a.header.Get("Location"))
	require.NoError(t, err)
	return u
}

func TestFormsCannotBeForged(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	alice, mallory := newPerson(t, k), newPerson(t, k)
	page := alice.do(t, http.MethodGet, authorize(), nil)
	require.Equal(t, 200, page.status)
	require.Contains(t, page.header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Equal(t, "no-store", page.header.Get("Cache-Control"))
	good := with(hidden(t, page), "username", "alice", "password", "alice")
	mallory.do(t, http.MethodGet, authorize(), nil) // Has a browser cookie of its own.

	for _, tt := range []struct {
		name string
		who  *person
		form url.Values
	}{
		{"another csrf token", alice, with(good, "csrf", "x")},
		{"no csrf token", alice, with(good, "csrf", "")},
		{"another dialog", alice, with(good, "dialog", "x")},
		{"another browser", mallory, good},
		{"no cookies", newPerson(t, k), good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := tt.who.do(t, http.MethodPost, "/login", tt.form)
			require.Equal(t, 403, a.status)
			require.Empty(t, a.header.Values("Set-Cookie"))
		})
	}
	a := alice.do(t, http.MethodPost, "/login", with(good, "password", "wrong"))
	require.Equal(t, 401, a.status)
	require.Contains(t, a.raw, "wrong")

	consent := alice.do(t, http.MethodPost, "/login", good)
	require.Equal(t, 200, consent.status, consent.raw)
	require.Contains(t, consent.raw, "<strong>The App</strong>")
	a = mallory.do(t, http.MethodPost, "/consent", with(hidden(t, consent), "decision", "allow"))
	require.Equal(t, 403, a.status)
	back := location(t, alice.do(t, http.MethodPost, "/consent", with(hidden(t, consent), "decision", "deny")))
	require.Equal(t, "access_denied", back.Query().Get("error"))
	require.Equal(t, "s", back.Query().Get("state"))
	require.Equal(t, k.Issuer(), back.Query().Get("iss"))
	a = alice.do(t, http.MethodPost, "/consent", with(hidden(t, consent), "decision", "allow"))
	require.Equal(t, 403, a.status, "a dialog ends once")
}

func TestNamesAreEscapedOnPages(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{Clients: []devas.Client{{ID: "x", Metadata: devas.Metadata{
		ClientName: `<script>alert(1)</script>`, TokenEndpointAuthMethod: devas.AuthNone, RedirectURIs: []string{redirectURI},
	}}}})
	a := newPerson(t, k).do(t, http.MethodGet, authorize("client_id", "x"), nil)
	require.Equal(t, 200, a.status)
	require.NotContains(t, a.raw, "<script>")
	require.Contains(t, a.raw, "&lt;script&gt;")
}

func TestAuthorizationRefusals(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	p := newPerson(t, k)
	for _, tt := range []struct {
		name  string
		path  string
		code  string // told to the client; "" is an error page
		state string
	}{
		{"an unknown client", authorize("client_id", "x"), "", ""},
		{"an address with another host", authorize("redirect_uri", "http://127.0.0.2/callback"), "", ""},
		{"an address with userinfo", authorize("redirect_uri", "http://a@127.0.0.1/callback"), "", ""},
		{"an address with a query", authorize("redirect_uri", redirectURI+"?a=b"), "", ""},
		{"another response type", authorize("response_type", "token"), "unsupported_response_type", "s"},
		{"no PKCE of a public client", authorize("code_challenge", "", "code_challenge_method", ""), "invalid_request", "s"},
		{"plain PKCE", authorize("code_challenge_method", "plain"), "invalid_request", "s"},
		{"an unknown scope", authorize("scope", "openid fly"), "invalid_scope", "s"},
		{"a parameter twice", authorize() + "&nonce=a&nonce=b", "invalid_request", "s"},
		{"another response mode", authorize("response_mode", "x"), "invalid_request", "s"},
		{"a request object", authorize("request", "x"), "request_not_supported", "s"},
		{"prompt none with another", authorize("prompt", "none login"), "invalid_request", "s"},
		{"a max_age that is no number", authorize("max_age", "x"), "invalid_request", "s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := p.do(t, http.MethodGet, tt.path, nil)
			if tt.code == "" {
				require.Equal(t, 400, a.status)
				require.Empty(t, a.header.Get("Location"))
				return
			}
			back := location(t, a)
			require.Equal(t, tt.code, back.Query().Get("error"))
			require.Equal(t, tt.state, back.Query().Get("state"))
		})
	}
	t.Run("a loopback address with any port", func(t *testing.T) {
		back := p.signIn(t, authorize("redirect_uri", "http://127.0.0.1:4711/callback"), "alice")
		require.Equal(t, "127.0.0.1:4711", back.Host)
	})
}

func TestResponseModes(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{SkipConsent: true})
	p := newPerson(t, k)
	login := p.do(t, http.MethodGet, authorize(), nil)
	back := location(t, p.do(t, http.MethodPost, "/login", with(hidden(t, login), "username", "alice", "password", "alice")))
	require.NotEmpty(t, back.Query().Get("code"))

	back = location(t, p.do(t, http.MethodGet, authorize("response_mode", "fragment"), nil))
	require.Empty(t, back.RawQuery)
	values, err := url.ParseQuery(back.Fragment)
	require.NoError(t, err)
	require.NotEmpty(t, values.Get("code"))

	a := p.do(t, http.MethodGet, authorize("response_mode", "form_post", "state", `"><b>`), nil)
	require.Equal(t, 200, a.status)
	require.Contains(t, a.raw, `action="`+redirectURI+`"`)
	require.Contains(t, a.raw, `name="state" value="&#34;&gt;&lt;b&gt;"`)
	require.NotEmpty(t, hidden(t, a).Get("code"))
}

func TestMaxAgeAsksAgain(t *testing.T) {
	t.Parallel()
	c := newClock()
	k := newKit(t, devas.Options{Clock: c.Now})
	p := newPerson(t, k)
	p.signIn(t, authorize(), "alice")
	location(t, p.do(t, http.MethodGet, authorize("max_age", "60"), nil))
	c.advance(2 * time.Minute)
	require.Equal(t, 200, p.do(t, http.MethodGet, authorize("max_age", "60"), nil).status)
	require.Equal(t, "login_required", location(t, p.do(t, http.MethodGet, authorize("max_age", "60", "prompt", "none"), nil)).Query().Get("error"))
	require.Equal(t, "consent_required",
		location(t, p.do(t, http.MethodGet, authorize("scope", "openid email", "prompt", "none"), nil)).Query().Get("error"))
	c.advance(24 * time.Hour)
	require.Equal(t, 200, p.do(t, http.MethodGet, authorize(), nil).status, "the session is over")
}

func TestLogout(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	p := newPerson(t, k)
	back := p.signIn(t, authorize(), "alice")
	a, err := k.send(t, http.MethodPost, "/token", "none", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"app"}, "code": {back.Query().Get("code")}, "redirect_uri": {redirectURI},
		"code_verifier": {"a-verifier-of-at-least-forty-three-characters-0"},
	}.Encode())
	require.NoError(t, err)
	require.Equal(t, 200, a.status, a.raw)
	access, _ := a.body["access_token"].(string)
	idToken, _ := a.body["id_token"].(string)
	require.Equal(t, true, k.introspect(t, access).body["active"])

	require.Equal(t, 400, p.do(t, http.MethodGet, "/logout?id_token_hint=garbage", nil).status)
	require.Equal(t, 400, p.do(t, http.MethodGet, "/logout?client_id=other&id_token_hint="+idToken, nil).status)
	require.Equal(t, true, k.introspect(t, access).body["active"])

	q := url.Values{"id_token_hint": {idToken}, "post_logout_redirect_uri": {redirectURI}, "state": {"bye"}}
	// From a server that has no cookie of hers: the hint is enough.
	back = location(t, newPerson(t, k).do(t, http.MethodGet, "/logout?"+q.Encode(), nil))
	require.Equal(t, "bye", back.Query().Get("state"))
	require.Equal(t, false, k.introspect(t, access).body["active"])
	require.Equal(t, 200, p.do(t, http.MethodGet, authorize(), nil).status, "she is asked to sign in again")

	q.Set("post_logout_redirect_uri", "https://evil.example/")
	require.Equal(t, 400, p.do(t, http.MethodGet, "/logout?"+q.Encode(), nil).status)
	require.Equal(t, 200, p.do(t, http.MethodGet, "/logout", nil).status)
}
