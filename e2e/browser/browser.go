// Package browser is a person in front of a browser, for tests that log in at an
// authorization server.
package browser

import (
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// Browser keeps cookies, follows redirects, and fills in the forms that it is
// shown.
type Browser struct {
	// Forms is how many it has filled in.
	Forms int

	client *http.Client
}

// New makes a browser without cookies. transport may be nil.
func New(t *testing.T, transport http.RoundTripper) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return &Browser{client: &http.Client{
		Jar: jar, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Visit goes to an address, logs in and allows where it is asked to, and returns
// the address it is sent back to, which begins with until.
func (b *Browser) Visit(t *testing.T, address, until, user, password string) *url.URL {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	require.NoError(t, err)
	for range 10 {
		page, next := b.Step(t, req)
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
		action, fields := page.Form(t)
		b.Forms++
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

// Page is an HTML page and its status.
type Page struct {
	Status int

	root *html.Node
}

// Step sends a request and returns the page, or where it redirects to.
func (b *Browser) Step(t *testing.T, req *http.Request) (Page, string) {
	t.Helper()
	resp, err := b.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 3 {
		next, err := req.URL.Parse(resp.Header.Get("Location"))
		require.NoError(t, err)
		return Page{}, next.String()
	}
	root, err := html.Parse(http.MaxBytesReader(nil, resp.Body, 4<<20))
	require.NoError(t, err)
	return Page{Status: resp.StatusCode, root: root}, ""
}

// Form returns the action and the fields of the first form.
func (p Page) Form(t *testing.T) (string, url.Values) {
	t.Helper()
	var form *html.Node
	for n := range p.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" {
			form = n
			break
		}
	}
	require.NotNil(t, form, "status %d and no form on the page: %s", p.Status, p.Text())
	fields := url.Values{}
	for n := range form.Descendants() {
		if name := attribute(n, "name"); name != "" && !fields.Has(name) {
			fields.Set(name, attribute(n, "value"))
		}
	}
	return attribute(form, "action"), fields
}

// Text is what the page says.
func (p Page) Text() string {
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
