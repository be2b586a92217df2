package rpt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxBody bounds every answer that is read.
const maxBody = 8 << 20

// ErrTooLarge says that an answer is longer than 8 MiB.
var ErrTooLarge = errors.New("the answer is larger than 8 MiB")

// Step is one HTTP exchange, as it may be shown: without credentials.
type Step struct {
	// Title says what the exchange is for.
	Title  string            `json:"title"`
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Sent   map[string]string `json:"sent,omitempty"`
	Status int               `json:"status,omitempty"`
	Got    map[string]string `json:"got,omitempty"`
	// Note is what was made of the answer.
	Note string `json:"note,omitempty"`
}

// Answer is an HTTP answer, read whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// send makes one exchange and reads the answer through a limit.
func send(ctx context.Context, client *http.Client, method, address string, header http.Header, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	req.Header = header.Clone()
	if host := header.Get("Host"); host != "" {
		req.Host = host
		req.Header.Del("Host")
	}
	resp, err := client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return Answer{}, fmt.Errorf("read the answer of %s: %w", address, err)
	}
	if len(data) > maxBody {
		return Answer{}, fmt.Errorf("%s: %w", address, ErrTooLarge)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: data}, nil
}

// noRedirects makes a client that shows a redirect instead of following it: a
// credential must not go where an answer says.
func noRedirects(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// shown lists the headers that matter, credentials and tickets cut.
func shown(h http.Header, names ...string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		if v := strings.Join(h.Values(name), ", "); v != "" {
			out[name] = redact(name, v)
		}
	}
	return out
}

func redact(name, value string) string {
	if strings.EqualFold(name, "Authorization") {
		scheme, _, _ := strings.Cut(value, " ")
		return scheme + " [redacted]"
	}
	return value
}

// shownForm is a form as it may be shown.
func shownForm(form url.Values) map[string]string {
	out := map[string]string{}
	for name, values := range form {
		switch name {
		case "client_secret", "client_assertion", "claim_token", "pct", "rpt", "password", "code", "code_verifier":
			out[name] = "[redacted]"
		default:
			out[name] = strings.Join(values, " ")
		}
	}
	return out
}
