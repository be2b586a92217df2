package demo

import (
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// person is somebody before the pages of the authorization server, with a browser that
// keeps cookies.
type person struct {
	name    string // and password
	browser *http.Client
}

func newPerson(name string) (*person, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &person{name: name, browser: &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	formField  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// maxPages is more than a login has.
const maxPages = 10

// logIn opens a page, logs in and agrees to what is asked, and returns where the browser is
// sent back to, which begins with back.
func (p *person) logIn(ctx context.Context, page, back string) (*url.URL, error) {
	method, at, form := http.MethodGet, page, url.Values(nil)
	for range maxPages {
		r, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(form.Encode()))
		if err != nil {
			return nil, err
		}
		if form != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		text, next, err := p.step(r)
		switch {
		case err != nil:
			return nil, err
		case next != nil && strings.HasPrefix(next.String(), back):
			return next, nil
		case next != nil:
			method, at, form = http.MethodGet, next.String(), nil
			continue
		}
		action := formAction.FindStringSubmatch(text)
		if action == nil {
			return nil, fmt.Errorf("the page %s has no form: %w", r.URL.Path, ErrNotAsTold)
		}
		target, err := r.URL.Parse(html.UnescapeString(action[1]))
		if err != nil {
			return nil, err
		}
		form = url.Values{"username": {p.name}, "password": {p.name}, "decision": {"allow"}}
		for _, field := range formField.FindAllStringSubmatch(text, -1) {
			form.Set(html.UnescapeString(field[1]), html.UnescapeString(field[2]))
		}
		method, at = http.MethodPost, target.String()
	}
	return nil, fmt.Errorf("%s is not logged in after %d pages: %w", p.name, maxPages, ErrNotAsTold)
}

// step returns a page, or where it leads to.
func (p *person) step(r *http.Request) (text string, next *url.URL, err error) {
	response, err := p.browser.Do(r)
	if err != nil {
		return "", nil, fmt.Errorf("the login: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	if response.StatusCode/100 == 3 {
		next, err = response.Location()
		return "", next, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return string(body), nil, err
}
