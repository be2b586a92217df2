package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/rpt"
	"github.com/umagate/umagate/demo/devas"
)

// clientID is the application that alice and bob use.
const clientID = "app"

// request is one request of the story.
type request struct {
	who, to string // "bob", "gateway"
	method  string
	// target is sent byte for byte.
	target string
	header [][2]string
	form   url.Values
	// brief prints it in one line.
	brief bool
}

// exchange is a request with what came of it.
type exchange struct {
	request

	status int
	answer http.Header
	body   []byte
	seen   *http.Request // what the API saw; nil when it saw nothing
}

// teller sends requests, prints them, and holds what does not fit the story
// against it.
type teller struct {
	world *world
	print *printer
	http  *http.Client
	count int
	wrong []string
}

func newTeller(w *world, p *printer) *teller {
	return &teller{world: w, print: p, http: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// do sends a request and prints the exchange. What is expected comes after: see
// expect.
func (t *teller) do(ctx context.Context, r request) (exchange, error) {
	x := exchange{request: r}
	base := t.world.gateway.address()
	if r.to == toAS {
		base = t.world.as.Address()
	}
	var body io.Reader = http.NoBody
	if r.form != nil {
		body = strings.NewReader(r.form.Encode())
	}
	out, err := http.NewRequestWithContext(ctx, r.method, "http://"+base, body)
	if err != nil {
		return x, err
	}
	out.URL.Opaque = r.target // sent as it is, neither cleaned nor encoded
	for _, h := range r.header {
		out.Header.Add(h[0], h[1])
	}
	if r.form != nil {
		out.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	t.world.api.take()
	response, err := t.http.Do(out)
	if err != nil {
		return x, fmt.Errorf("%s %s: %w", r.method, r.target, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	if x.body, err = io.ReadAll(io.LimitReader(response.Body, 1<<20)); err != nil {
		return x, fmt.Errorf("%s %s: %w", r.method, r.target, err)
	}
	x.status, x.answer = response.StatusCode, response.Header
	if seen := t.world.api.take(); len(seen) > 0 {
		x.seen = seen[len(seen)-1]
	}
	t.count++
	if r.brief {
		t.print.brief(x)
	} else {
		t.print.exchange(x)
	}
	return x, nil
}

// ask is do for a request to the API, with a token or without.
func (t *teller) ask(ctx context.Context, who, method, target, token string, header ...[2]string) (exchange, error) {
	if token != "" {
		header = append(header, [2]string{"Authorization", "Bearer " + token})
	}
	return t.do(ctx, request{who: who, to: toGateway, method: method, target: target, header: header})
}

// expect holds a condition against the story.
func (t *teller) expect(ok bool, format string, args ...any) {
	if !ok {
		what := fmt.Sprintf(format, args...)
		t.wrong = append(t.wrong, what)
		t.print.wrong(what)
	}
}

// expectStatus holds the status, and whether the API saw the request at all.
func (t *teller) expectStatus(x exchange, want int) {
	t.expect(x.status == want, "%s %s: %d instead of %d: %.200s", x.method, x.target, x.status, want, x.body)
	if x.to == toGateway {
		t.expect((x.seen != nil) == (want < 300), "%s %s: whether the API saw it", x.method, x.target)
	}
}

// challenge returns the parameters of the UMA challenge.
func (t *teller) challenge(x exchange) map[string]string {
	challenges, err := rpt.ParseChallenges(x.answer.Values("WWW-Authenticate"))
	i := slices.IndexFunc(challenges, func(c rpt.Challenge) bool { return c.Scheme == "UMA" })
	if err != nil || i < 0 {
		t.expect(false, "%s %s: no UMA challenge: %q", x.method, x.target, x.answer.Values("WWW-Authenticate"))
		return nil
	}
	params := challenges[i].Params
	t.expect(params["ticket"] != "", "%s %s: no ticket", x.method, x.target)
	t.expect(params["as_uri"] == t.world.as.Issuer(), "%s %s: as_uri %q", x.method, x.target, params["as_uri"])
	return params
}

// end prints how it went. The error is that something was not as told.
func (t *teller) end() error {
	t.print.end(t.count, t.wrong)
	if len(t.wrong) > 0 {
		return fmt.Errorf("%d checks: %w", len(t.wrong), ErrNotAsTold)
	}
	return nil
}

// answered reads a member of a JSON answer.
func (x exchange) answered(name string) string {
	var members map[string]any
	if json.Unmarshal(x.body, &members) != nil {
		return ""
	}
	value, _ := members[name].(string)
	return value
}

// sawHeader is what the API saw of a header.
func (x exchange) sawHeader(name string) string {
	if x.seen == nil {
		return ""
	}
	return strings.Join(x.seen.Header.Values(name), ", ")
}

// trade takes a ticket to the authorization server, as a person's application.
func (t *teller) trade(ctx context.Context, who, ticket, token string) (exchange, error) {
	return t.do(ctx, request{
		who: who, to: toAS, method: http.MethodPost, target: "/token", form: url.Values{
			"grant_type": {devas.GrantUMA}, "client_id": {clientID}, "ticket": {ticket},
			"claim_token": {token}, "claim_token_format": {devas.FormatAccessToken},
		},
	})
}

// login gets the access token of a person. It is plain OAuth, and no part of the
// story: it is not printed.
func (t *teller) login(ctx context.Context, name string) (string, error) {
	form := url.Values{"grant_type": {"password"}, "client_id": {clientID}, "username": {name}, "password": {name}}
	out, err := http.NewRequestWithContext(ctx, http.MethodPost, t.world.as.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	out.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := t.http.Do(out)
	if err != nil {
		return "", fmt.Errorf("log %s in: %w", name, err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("log %s in: %s %s: %w", name, response.Status, answer.Error, ErrNotAsTold)
	}
	return answer.AccessToken, nil
}
