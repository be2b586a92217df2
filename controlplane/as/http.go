package as

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/printable"
	"github.com/umagate/umagate/controlplane/secret"
)

// MaxBody bounds every answer of an AS, in bytes.
const MaxBody = 1 << 20

// DefaultTimeout bounds a call when [Config.Timeout] is 0.
const DefaultTimeout = 10 * time.Second

// caller makes the HTTP calls of this package. It is safe for concurrent use.
type caller struct {
	client *http.Client
	now    func() time.Time
}

func newCaller(transport http.RoundTripper, timeout time.Duration, now func() time.Time) *caller {
	if now == nil {
		now = time.Now
	}
	return &caller{now: now, client: HTTPClient(transport, timeout)}
}

// HTTPClient makes calls the way of this package, for a library that is given a
// client: answers are limited ([ErrTooLarge]), and no redirect is followed. A nil
// transport and a timeout of 0 mean the defaults.
func HTTPClient(transport http.RoundTripper, timeout time.Duration) *http.Client {
	if transport == nil {
		transport = http.DefaultTransport
	}
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	return &http.Client{
		Transport: limitTransport{next: transport},
		Timeout:   timeout,
		// A redirect would carry the credential to wherever it points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// call is one request to the AS.
type call struct {
	operation Operation
	// op is the same in words, for errors.
	op     string
	method string
	url    string
	// header is sent as it is; Authorization comes from bearer or proof.
	header http.Header
	bearer secret.Text
	proof  *clientauth.Proof
	// form or json is the body; at most one is set. proof's members join form.
	form url.Values
	json any
	// kinds maps a status to a sentinel where it means something here.
	kinds map[int]error
	// follow takes redirects within one origin: for documents, which carry no
	// credential.
	follow bool
	// raw leaves the reading of the answer to the caller, its "error" included.
	raw bool
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes the call and answers for 2xx; everything else is an [*Error].
func (c *caller) do(ctx context.Context, in call) (answer, error) {
	fail := func(kind, cause error) error {
		return &Error{Op: in.op, Method: in.method, URL: printableURL(in.url), Kind: kind, Cause: cause}
	}
	if in.url == "" {
		return answer{}, &Error{Op: in.op, Kind: ErrMissingEndpoint}
	}
	req, err := in.request(ctx)
	if err != nil {
		return answer{}, fail(ErrRejected, transportCause(err))
	}
	var sent atomic.Bool
	ctx = context.WithValue(ctx, operationKey{}, in.operation)
	req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	client := c.client
	if in.follow {
		following := *c.client
		following.CheckRedirect = sameOrigin
		client = &following
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Kind: ErrUnavailable, Sent: sent.Load(),
			Cause: in.scrubError(transportCause(err)),
		}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		if errors.Is(err, ErrTooLarge) {
			return answer{}, &Error{Op: in.op, Method: in.method, URL: printableURL(in.url), Status: resp.StatusCode, Kind: ErrTooLarge}
		}
		return answer{}, &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Kind: ErrUnavailable, Sent: true, Cause: in.scrubError(err),
		}
	}
	out := answer{status: resp.StatusCode, header: resp.Header, body: body}
	if resp.StatusCode < 200 || resp.StatusCode >= 300 || !in.raw && refusedAsSuccess(out.body) {
		return out, c.failure(in, out)
	}
	return out, nil
}

// refusedAsSuccess reports whether an answer of status 200 is an error by its body. No
// document that this package reads has a member "error" otherwise.
func refusedAsSuccess(body []byte) bool {
	var said struct {
		Error any `json:"error"`
	}
	return json.Unmarshal(body, &said) == nil && said.Error != nil && said.Error != ""
}

// maxRedirects bounds how many are followed for one document.
const maxRedirects = 3

// sameOrigin follows a redirect that stays at the AS. The answer to any other is
// the redirect itself.
func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects || req.URL.Scheme != first.Scheme || req.URL.Host != first.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// doJSON is do with the answer decoded into target.
func (c *caller) doJSON(ctx context.Context, in call, target any) (answer, error) {
	out, err := c.do(ctx, in)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(out.body, target); err != nil {
		// The decoder's words may quote the answer.
		e := &Error{
			Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrNotJSON,
			Description: describeMedia(out.header),
		}
		if json.Valid(out.body) {
			e.Kind, e.Description = ErrMalformed, "a member is of another type than it must be"
		}
		return out, e
	}
	return out, nil
}

// doProved is doJSON with the client's proof; audience is that of an assertion. A nil
// target leaves the answer unread.
func (s *Server) doProved(ctx context.Context, in call, auth clientauth.Auth, audience string, target any) (answer, error) {
	proof, err := auth.Prove(audience)
	if err != nil {
		return answer{}, &Error{Op: in.op, Kind: ErrClientRefused, Cause: err}
	}
	in.proof = &proof
	if target == nil {
		return s.caller.do(ctx, in)
	}
	return s.caller.doJSON(ctx, in, target)
}

// malformed is the error of an answer that lacks what it must have.
func (in call) malformed(out answer, description string) *Error {
	return &Error{
		Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status, Kind: ErrMalformed, Description: description,
	}
}

func (in call) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	header := in.header.Clone()
	if header == nil {
		header = http.Header{}
	}
	form := in.form
	if in.proof != nil {
		form = mergeForm(form, in.proof.Form)
		if !in.proof.Authorization.IsZero() {
			header.Set("Authorization", in.proof.Authorization.Reveal())
		}
	}
	switch {
	case in.json != nil:
		encoded, err := json.Marshal(in.json)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(encoded)
		header.Set("Content-Type", "application/json")
	case form != nil:
		body = strings.NewReader(form.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if !in.bearer.IsZero() {
		header.Set("Authorization", "Bearer "+in.bearer.Reveal())
	}
	header.Set("Accept", "application/json")
	req, err := http.NewRequestWithContext(ctx, in.method, in.url, body)
	if err != nil {
		return nil, err
	}
	req.Header = header
	return req, nil
}

// failure makes the error of an answer that is not 2xx.
func (c *caller) failure(in call, out answer) *Error {
	e := &Error{
		Op: in.op, Method: in.method, URL: printableURL(in.url), Status: out.status,
		RetryAfter: parseRetryAfter(out.header.Get("Retry-After"), c.now()),
	}
	e.Kind = kindOf(in.kinds, out.status)
	code, description, ok := said(out.body)
	e.Code, e.Description = clip(in.scrubCode(code)), clip(in.scrub(description))
	if !ok && len(out.body) > 0 {
		e.Description = describeMedia(out.header)
	}
	if errors.Is(e.Kind, ErrRedirect) {
		e.Description = "to " + printableURL(clip(in.scrub(out.header.Get("Location"))))
	}
	return e
}

// said reads an AS's words about an error: RFC 6749 section 5.2, and what the
// APIs beside it have for the same.
func said(body []byte) (code, description string, ok bool) {
	var members map[string]any
	if json.Unmarshal(body, &members) != nil {
		return "", "", false
	}
	first := func(names ...string) string {
		for _, name := range names {
			if text, ok := members[name].(string); ok && text != "" {
				return text
			}
		}
		return ""
	}
	return first("error", "code"), first("error_description", "description", "reason", "message", "errorMessage"), true
}

func kindOf(kinds map[int]error, status int) error {
	if kind, ok := kinds[status]; ok {
		return kind
	}
	switch {
	case status >= 300 && status < 400:
		return ErrRedirect
	case status == http.StatusTooManyRequests:
		return ErrRateLimited
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusConflict:
		return ErrConflict
	case status >= 500, status == http.StatusRequestTimeout:
		return ErrUnavailable
	default:
		return ErrRejected
	}
}

// secrets lists what the call sends that no message may repeat, from a length on:
// an AS can echo it in its error_description.
func (in call) secrets(shortest int) []string {
	var out []string
	add := func(s string) {
		if len(s) >= shortest {
			out = append(out, s)
		}
	}
	add(in.bearer.Reveal())
	form := in.form
	if in.proof != nil {
		form = mergeForm(form, in.proof.Form)
		full := in.proof.Authorization.Reveal()
		add(full)
		if _, credential, ok := strings.Cut(full, " "); ok {
			add(credential)
		}
		for _, s := range in.proof.Secrets {
			add(s.Reveal())
		}
	}
	for _, name := range []string{
		"client_secret", "client_assertion", "token", "refresh_token", "code", "code_verifier", "password", "claim_token", "pct", "rpt",
	} {
		add(form.Get(name))
	}
	return out
}

// scrub takes every secret out of a text.
func (in call) scrub(s string) string { return in.scrubFrom(1, s) }

// scrubCode takes secrets out of what is compared: short ones, which any word may
// hold, stay.
func (in call) scrubCode(s string) string { return in.scrubFrom(4, s) }

func (in call) scrubFrom(shortest int, s string) string {
	hidden := in.secrets(shortest)
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) }) // one may begin another
	var pairs []string
	for _, h := range hidden {
		pairs = append(pairs, h, secret.Redacted)
	}
	return strings.NewReplacer(pairs...).Replace(s)
}

// scrubError keeps err where it holds no secret, and its words only where it
// does.
func (in call) scrubError(err error) error {
	if err == nil {
		return nil
	}
	if words := in.scrubCode(err.Error()); words != err.Error() {
		return errors.New(words)
	}
	return err
}

// transportCause drops the method and URL that net/http puts before the cause:
// Error names them already.
func transportCause(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}

// printableURL leaves out user information and query, where credentials stand.
func printableURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an address that cannot be parsed"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// clip makes one line of what an AS said.
func clip(s string) string {
	const most = 300
	return printable.Line(s, most)
}

func describeMedia(header http.Header) string {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	switch {
	case err != nil:
		return "an answer of no stated type"
	case media == "text/html":
		return "an HTML page"
	default:
		return "an answer of type " + clip(media)
	}
}

func mergeForm(a, b url.Values) url.Values {
	if b == nil {
		return a
	}
	out := url.Values{}
	for _, values := range []url.Values{a, b} {
		for name, v := range values {
			out[name] = slices.Clone(v)
		}
	}
	return out
}

// limitTransport bounds every answer, those that libraries read included.
type limitTransport struct{ next http.RoundTripper }

func (t limitTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &limitedBody{ReadCloser: resp.Body, left: MaxBody}
	return resp, nil
}

type limitedBody struct {
	io.ReadCloser
	left int64
}

// Read returns [ErrTooLarge] instead of the byte after the limit.
func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, ErrTooLarge
	}
	return n, err
}

func isJSON(header http.Header) bool {
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	return err == nil && (media == "application/json" || strings.HasSuffix(media, "+json"))
}
