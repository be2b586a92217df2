// Package client calls the control plane's API: what the commands, and tests, have
// in common.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/secret"
)

const (
	timeout = 30 * time.Second
	// maxAnswer bounds an answer: the status of thousands of Envoys.
	maxAnswer = 64 << 20
)

// ErrNotUmagate says that something else answers there.
var ErrNotUmagate = errors.New("what answers there is not umagate serve")

// Client calls one control plane. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token secret.Text
	http  *http.Client
}

// New makes a client of the control plane at base, such as http://127.0.0.1:8090.
// Without a token, the transport may have a certificate.
func New(base string, token secret.Text, transport http.RoundTripper) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not the URL of a control plane, such as http://127.0.0.1:8090", base)
	}
	return &Client{base: u, token: token, http: &http.Client{
		Transport: transport, Timeout: timeout,
		// A redirect would carry the token to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Local makes a client of the control plane on this machine at address, HOST:PORT,
// which made the token in tokenFile.
func Local(address, tokenFile string) (*Client, error) {
	token, err := api.ReadLocalToken(tokenFile)
	if err != nil {
		return nil, err
	}
	return New("http://"+address, token, nil)
}

// Do calls an operation: path is escaped and may have a query; in is sent as JSON
// unless nil, and the answer decoded into out unless nil. A failure that the server
// tells of is an [*api.Problem].
func (c *Client) Do(ctx context.Context, method, path string, in, out any) error {
	target, err := c.base.Parse(strings.TrimSuffix(c.base.Path, "/") + path)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.token.IsZero() {
		req.Header.Set("Authorization", "Bearer "+c.token.Reveal())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, target.Redacted(), err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return problem(resp, answer)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%w (%s): %w", ErrNotUmagate, target.Redacted(), err)
	}
	return nil
}

func problem(resp *http.Response, answer []byte) error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // an error leaves it empty
	p := &api.Problem{}
	if media != "application/problem+json" || json.Unmarshal(answer, p) != nil || p.Code == "" {
		return fmt.Errorf("%w: %s %s answers %s", ErrNotUmagate, resp.Request.Method, resp.Request.URL.Redacted(), resp.Status)
	}
	return p
}

// Pages calls an operation that lists until its last page, and gives each item to
// each, until that gives an error.
func Pages[T any](ctx context.Context, c *Client, path string, query url.Values, each func(T) error) error {
	at := url.Values{}
	maps.Copy(at, query)
	for {
		full := path
		if len(at) > 0 {
			full += "?" + at.Encode()
		}
		var page api.Page[T]
		if err := c.Do(ctx, http.MethodGet, full, nil, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if err := each(item); err != nil {
				return err
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		at.Set("cursor", page.NextCursor)
	}
}
