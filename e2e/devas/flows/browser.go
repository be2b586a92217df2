package flows

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// browser is a person in front of one: it keeps cookies, follows redirects, and
// fills in the forms that it is shown.
type browser struct {
	client *http.Client
	forms  int // how many it has filled in
}

func newBrowser(t *testing.T, w *world) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &browser{client: &http.Client{
		Jar: jar, Transport: w.client().Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// visit goes to an address, logs in and allows where it is asked to, and returns
// the address it is sent back to, which begins with until.
func (b *browser) visit(t *testing.T, address, until, user, password string) *url.URL {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	for range 10 {
		page, next := b.step(t, req)
		if next != "" {
			if strings.HasPrefix(next, until) {
				u, err := url.Parse(next)
				require.NoError(t, err)
				return u
			}
			req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, next, nil)
			require.NoError(t, err)
			continue
		}
		action, fields := page.form(t)
		b.forms++
		if fields.Has("username") {
			fields.Set("username", user)
		}
		if fields.Has("password") {
			fields.Set("password", password)
		}
		if fields.Has("decision") {
			fields.Set("decision", "allow")
		}
		target, err := req.URL.Parse(action)
		require.NoError(t, err)
		req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), strings.NewReader(fields.Encode()))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	require.Fail(t, "ten steps and not back at "+until)
	return nil
}

// shownPage is an HTML page and its status.
type shownPage struct {
	status int
	root   *html.Node
}

// step sends a request and returns the page, or where it redirects to.
func (b *browser) step(t *testing.T, req *http.Request) (shownPage, string) {
	t.Helper()
	resp, err := b.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 3 {
		next, err := req.URL.Parse(resp.Header.Get("Location"))
		require.NoError(t, err)
		return shownPage{}, next.String()
	}
	root, err := html.Parse(http.MaxBytesReader(nil, resp.Body, 4<<20))
	require.NoError(t, err)
	return shownPage{status: resp.StatusCode, root: root}, ""
}

// form returns the action and the fields of the first form.
func (p shownPage) form(t *testing.T) (string, url.Values) {
	t.Helper()
	var form *html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			form = n
			break
		}
	}
	require.NotNil(t, form, "status %d and no form on the page: %s", p.status, p.text())
	fields := url.Values{}
	for n := range form.Descendants() {
		if name := attribute(n, "name"); name != "" && !fields.Has(name) {
			fields.Set(name, attribute(n, "value"))
		}
	}
	return attribute(form, "action"), fields
}

func (p shownPage) text() string {
	var b strings.Builder
	for n := range p.root.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(strings.TrimSpace(n.Data) + " ")
		}
	}
	return b.String()
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
