package rpt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/secret"
)

// Errors of the walk.
var (
	// ErrNoChallenge: the API answered 401 without a UMA challenge.
	ErrNoChallenge = errors.New("the API answered 401 without a UMA challenge")
	// ErrUntrustedAS: the API named an AS that must not get credentials.
	ErrUntrustedAS = errors.New("the API names an authorization server that is not trusted")
	// ErrDenied: the AS does not give an RPT, or the requesting party's own token.
	ErrDenied = errors.New("the authorization server gives no token")
	// ErrClientRefused: the AS does not accept how the client authenticates, or that it
	// does not.
	ErrClientRefused = errors.New("the authorization server does not accept the client's authentication")
	// ErrGrantRefused: the AS lets the client not use this grant.
	ErrGrantRefused = errors.New("the authorization server does not let this client use this grant")
	// ErrNotPermitted: the API answered 401 or 403 to a fresh RPT.
	ErrNotPermitted = errors.New("the API does not accept the RPT")
)

// Request is what is asked of the API.
type Request struct {
	Method string
	URL    string
	// Header may have a Host.
	Header http.Header
	Body   []byte
}

// Flow walks the client's side. The zero value of what is not said to be needed
// will do. It is used by one goroutine at a time.
type Flow struct {
	// Transport carries all calls; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// ASTransport carries the calls to the AS instead: it may present the client's
	// certificate, which is not for the API.
	ASTransport http.RoundTripper
	// Client authenticates the client at the AS, [clientauth.NewPublic] a public one; nil
	// where there is none.
	Client clientauth.Auth
	// Party gets the requesting party's token; needed.
	Party Party
	// PartyMode says how the requesting party is told to the AS.
	PartyMode PartyMode
	// Scope is asked for in addition to the ticket's (UMA Grant section 3.3.1).
	Scope []string
	// ExpectAS is the only AS that gets credentials, when not empty.
	ExpectAS string
	// InsecureHTTP lets credentials go to an http AS that is not on loopback.
	InsecureHTTP bool
	// Gather shows the requesting party an address where the AS gathers claims, and
	// waits for the ticket that comes back; nil fails instead.
	Gather func(ctx context.Context, redirectUser *url.URL) (ticket string, err error)
	// Wait is called before the grant is tried again; nil does not try again.
	Wait func(ctx context.Context, seconds int) error
	// Observe is shown each exchange; may be nil.
	Observe func(Step)
	// TokenOnly ends the walk with the RPT in hand, before the second request.
	TokenOnly bool
}

// Result is how the walk ended.
type Result struct {
	// Answer is the API's last answer.
	Answer Answer
	// RPT and PCT are what the AS gave; zero when there was no need for one.
	RPT secret.Text
	PCT secret.Text
}

// Run walks. An error wraps a sentinel of this package or of package as.
func (f *Flow) Run(ctx context.Context, request Request) (Result, error) {
	client := noRedirects(f.Transport)
	first, err := f.ask(ctx, client, request, "ask without a token", secret.Text{})
	if err != nil {
		return Result{}, err
	}
	if first.Status != http.StatusUnauthorized {
		return Result{Answer: first}, nil
	}
	challenge, err := umaChallenge(first.Header)
	if err != nil {
		return Result{Answer: first}, err
	}
	if err := f.trust(challenge["as_uri"]); err != nil {
		return Result{Answer: first}, err
	}
	server, err := f.discover(ctx, challenge["as_uri"])
	if err != nil {
		return Result{Answer: first}, err
	}
	granted, err := f.grant(ctx, server, challenge["ticket"])
	if err != nil {
		return Result{Answer: first}, err
	}
	result := Result{Answer: first, RPT: granted.Value, PCT: granted.PCT}
	if f.TokenOnly {
		return result, nil
	}
	result.Answer, err = f.ask(ctx, client, request, "ask again, with the RPT", granted.Value)
	if err == nil && (result.Answer.Status == http.StatusUnauthorized || result.Answer.Status == http.StatusForbidden) {
		err = fmt.Errorf("%w: it answered %d", ErrNotPermitted, result.Answer.Status)
	}
	return result, err
}

func (f *Flow) observe(s Step) {
	if f.Observe != nil {
		f.Observe(s)
	}
}

func (f *Flow) ask(ctx context.Context, client *http.Client, r Request, title string, token secret.Text) (Answer, error) {
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if !token.IsZero() {
		header.Set("Authorization", "Bearer "+token.Reveal())
	}
	step := Step{Title: title, Method: r.Method, URL: r.URL, Sent: shown(header, "Host", "Authorization", "Content-Type")}
	answer, err := send(ctx, client, r.Method, r.URL, header, r.Body)
	if err != nil {
		step.Note = err.Error()
		f.observe(step)
		return answer, err
	}
	step.Status = answer.Status
	step.Got = shown(answer.Header, "Www-Authenticate", "Warning", "Content-Type", "Location")
	f.observe(step)
	return answer, nil
}

// umaChallenge finds the one UMA challenge of an answer (UMA Grant section 3.2.1).
func umaChallenge(h http.Header) (map[string]string, error) {
	challenges, err := ParseChallenges(h.Values("WWW-Authenticate"))
	if err != nil {
		return nil, err
	}
	for _, c := range challenges {
		if !strings.EqualFold(c.Scheme, "UMA") {
			continue
		}
		for _, name := range []string{"as_uri", "ticket"} {
			if c.Params[name] == "" {
				return nil, fmt.Errorf("%w: the UMA challenge has no %s", ErrChallenge, name)
			}
		}
		return c.Params, nil
	}
	return nil, ErrNoChallenge
}

// trust judges the AS that the API named, before any credential goes there.
func (f *Flow) trust(asURI string) error {
	u, err := url.Parse(asURI)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%w: %q is no URL", ErrUntrustedAS, clip(asURI))
	}
	if f.ExpectAS != "" && strings.TrimSuffix(asURI, "/") != strings.TrimSuffix(f.ExpectAS, "/") {
		return fmt.Errorf("%w: it names %s, expected is %s", ErrUntrustedAS, clip(asURI), f.ExpectAS)
	}
	return f.trustScheme(u)
}

// trustScheme takes https, and http where nobody can listen or the user says so.
func (f *Flow) trustScheme(u *url.URL) error {
	if u.Scheme == "https" || (u.Scheme == "http" && (loopback.IsHost(u.Hostname()) || f.InsecureHTTP)) {
		return nil
	}
	return fmt.Errorf("%w: %s is not https; say that credentials may go in the clear", ErrUntrustedAS, clip(u.String()))
}

func (f *Flow) asTransport() http.RoundTripper {
	if f.ASTransport != nil {
		return f.ASTransport
	}
	return f.Transport
}

// usesTLS reports whether the client's certificate authenticates it.
func (f *Flow) usesTLS() bool { return f.Client != nil && f.Client.Method().UsesTLS() }

func (f *Flow) discover(ctx context.Context, asURI string) (*as.Server, error) {
	client, err := as.New(as.Config{Issuer: asURI, Transport: f.asTransport(), CertificateAuth: f.usesTLS()})
	if err != nil {
		return nil, err
	}
	server, err := client.Discover(ctx)
	step := Step{Title: "discover the authorization server", Method: http.MethodGet, URL: strings.TrimSuffix(asURI, "/") + "/.well-known/…"}
	if err != nil {
		step.Note = err.Error()
		f.observe(step)
		return nil, err
	}
	m := server.Metadata()
	step.Note = "token endpoint " + m.TokenEndpoint + ", dialect " + string(server.Dialect().Name)
	f.observe(step)
	if m.TokenEndpoint == "" {
		return nil, fmt.Errorf("%w: token_endpoint", as.ErrMissingEndpoint)
	}
	if f.usesTLS() && !strings.HasPrefix(m.TokenEndpoint, "https:") {
		return nil, fmt.Errorf("%w: %s needs https, and the token endpoint is %s", ErrUntrustedAS, f.Client.Method(), clip(m.TokenEndpoint))
	}
	return server, nil
}
