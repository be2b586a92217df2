package cli

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/rpt"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// rptFlags are the flags of "umagate rpt".
type rptFlags struct {
	method     string
	headers    []string
	data       string
	token      string
	user       string
	client     string
	auth       clientFlags
	browser    bool
	loopback   string
	shape      string
	scopes     []string
	expectAS   string
	caFile     string
	insecure   bool
	plainHTTP  bool
	printToken bool
	quiet      bool
	maxWait    time.Duration
	form       output
}

func newRPT(env Environment) *cobra.Command {
	var flags rptFlags
	cmd := &cobra.Command{
		Use:   "rpt URL",
		Short: "Ask an API that UMA guards, as a client does: 401, ticket, RPT, and again",
		Long: `Ask any UMA 2.0 API for something, and walk the client's side: the request, the 401 with
its ticket, the authorization server's discovery, the requesting party's own token, the
UMA grant, and the request again with the RPT. Each step is shown on standard error as
curl -v would, without credentials; the API's answer goes to standard output.

Who the requesting party is:
  --user NAME       logs in with a password: $UMAGATE_PASSWORD, or it is asked for
  --browser         logs in at the authorization server, by authorization code and PKCE
  --token TOKEN     has a token of the authorization server already ($UMAGATE_TOKEN)
  none of these     the client itself, when it authenticates; otherwise nobody, and the
                    authorization server may ask (need_info)
The client is --client ID. It authenticates by --auth-method: with its secret, which is
$UMAGATE_CLIENT_SECRET, with the private key of --key, or with the certificate of --cert.

The API says which authorization server gets the credentials. --as URL lets them go to
that one alone.

Exit codes: 0 the API answered, with an RPT where it wants one; 1 failed; 3 denied;
64 wrong usage.`,
		Example: `  umagate rpt --client app --user alice https://photos.example.com/albums/1
  umagate rpt --client app --browser -X DELETE https://photos.example.com/albums/1
  umagate rpt --client app --user alice -H 'Host: photos.example.com' http://127.0.0.1:10000/albums/1
  curl -H "Authorization: Bearer $(umagate rpt --print-token --client app --user alice $URL)" $URL`,
		Args: cobra.ExactArgs(1),
		RunE: run(func(ctx context.Context, args []string) error {
			return runRPT(ctx, env, flags, args[0])
		}),
	}
	flags.register(cmd)
	return cmd
}

func (f *rptFlags) register(cmd *cobra.Command) {
	outputFlag(cmd, &f.form, outputText, outputJSON)
	s := cmd.Flags()
	s.StringVarP(&f.method, "request", "X", "", "the `METHOD`; GET, or POST with --data, when left out")
	s.StringArrayVarP(&f.headers, "header", "H", nil, "a `HEADER` of the request, as \"name: value\"; may be repeated")
	s.StringVarP(&f.data, "data", "d", "", "the `BODY` of the request; @FILE reads it from a file")
	s.StringVar(&f.token, "token", "", "the requesting party's `TOKEN` of the authorization server; better in $UMAGATE_TOKEN")
	s.StringVarP(&f.user, "user", "u", "", "the requesting party's `NAME`, who logs in with a password")
	s.StringVar(&f.client, "client", "", "the client's `ID` at the authorization server")
	f.auth.register(s)
	s.BoolVar(&f.browser, "browser", false, "log in with the browser, and open it where the authorization server asks for more")
	s.StringVar(&f.loopback, "loopback", "", "`HOST:PORT` on loopback that the browser comes back to; a free port of 127.0.0.1 when left out")
	s.StringVar(&f.shape, "grant", "auto", "how the requesting party is told: auto, bearer (Keycloak), claim-token")
	s.StringSliceVar(&f.scopes, "scope", nil, "`SCOPES` to ask for besides the ticket's")
	s.StringVar(&f.expectAS, "as", "", "the only authorization server, by `URL`, that gets credentials")
	s.StringVar(&f.caFile, "cacert", "", "`FILE` with the certificates to trust, instead of the system's")
	s.BoolVarP(&f.insecure, "insecure", "k", false, "take any certificate")
	s.BoolVar(&f.plainHTTP, "insecure-http", false, "send credentials to an http authorization server that is not on loopback")
	s.BoolVar(&f.printToken, "print-token", false, "print the RPT, and nothing else, instead of asking again")
	s.BoolVarP(&f.quiet, "quiet", "q", false, "do not show the steps")
	s.DurationVar(&f.maxWait, "max-wait", 0, "how long to wait for a resource owner's answer; not at all when left out")
	cmd.MarkFlagsMutuallyExclusive("user", "browser", "token")
}

// rptResult is what --output json prints.
type rptResult struct {
	Steps   []rpt.Step  `json:"steps"`
	Status  int         `json:"status,omitempty"`
	Header  http.Header `json:"header,omitempty"`
	Body    string      `json:"body,omitempty"`
	RPT     string      `json:"rpt,omitempty"`
	Error   string      `json:"error,omitempty"`
	Granted bool        `json:"granted"`
}

func runRPT(ctx context.Context, env Environment, flags rptFlags, address string) error {
	request, err := flags.request(address)
	if err != nil {
		return &exitError{code: ExitUsage, err: err}
	}
	flow, err := flags.flow(env)
	if err != nil {
		return err
	}
	result := rptResult{Steps: []rpt.Step{}}
	flow.Observe = func(s rpt.Step) {
		result.Steps = append(result.Steps, s)
		if flags.form == outputText && !flags.quiet {
			printStep(env.Stderr, len(result.Steps), s)
		}
	}
	got, walkErr := flow.Run(ctx, request)
	walkErr = flags.explain(env, walkErr)
	result.Status, result.Header = got.Answer.Status, got.Answer.Header
	result.Granted = !got.RPT.IsZero()
	if flags.printToken {
		result.RPT = got.RPT.Reveal()
	}
	if walkErr != nil {
		result.Error = walkErr.Error()
	}
	if utf8.Valid(got.Answer.Body) {
		result.Body = string(got.Answer.Body)
	}
	if result.RPT != "" {
		warnReadable(env, "the RPT", "")
	}
	err = flags.form.show(env, result, func(p *page) {
		switch {
		case !flags.printToken:
			_, _ = p.Write(got.Answer.Body)
		case result.RPT != "":
			p.printf("%s\n", result.RPT)
		}
	})
	switch {
	case err != nil:
		return err
	case errors.Is(walkErr, rpt.ErrDenied), errors.Is(walkErr, rpt.ErrNotPermitted):
		return &exitError{code: ExitDenied, err: walkErr}
	case walkErr == nil && flags.printToken && got.RPT.IsZero():
		return fmt.Errorf("there is no RPT: the API answered %d without asking for one", got.Answer.Status)
	}
	return walkErr
}

// explain adds what to do about a client that the authorization server refuses.
func (f *rptFlags) explain(env Environment, err error) error {
	switch {
	case errors.Is(err, rpt.ErrClientRefused) && lookupSecret(env, "UMAGATE_CLIENT_SECRET").IsZero() && f.auth == (clientFlags{}):
		return fmt.Errorf("%w\n  = The client is not public, or is not there: put its secret into $UMAGATE_CLIENT_SECRET, or say how it authenticates with --auth-method", err)
	case errors.Is(err, rpt.ErrClientRefused):
		return fmt.Errorf("%w\n  = See that --client, --auth-method and the client's secret ($UMAGATE_CLIENT_SECRET), key or certificate are those of the authorization server", err)
	case errors.Is(err, rpt.ErrGrantRefused) && f.user != "":
		return fmt.Errorf("%w\n  = Let the client use passwords (at Keycloak: switch on Direct access grants), or log in with --browser instead of --user", err)
	case errors.Is(err, rpt.ErrGrantRefused):
		return fmt.Errorf("%w\n  = Let the client use this grant (at Keycloak: Standard flow for --browser, Service account roles for a client by itself)", err)
	}
	return err
}

func printStep(w io.Writer, n int, s rpt.Step) {
	_, _ = fmt.Fprintf(w, "* %d. %s\n> %s %s\n", n, s.Title, s.Method, s.URL)
	printSorted(w, "> ", s.Sent)
	if s.Status > 0 {
		_, _ = fmt.Fprintf(w, "< %d %s\n", s.Status, http.StatusText(s.Status))
	}
	printSorted(w, "< ", s.Got)
	if s.Note != "" {
		_, _ = fmt.Fprintf(w, "* %s\n", s.Note)
	}
	_, _ = fmt.Fprintln(w, "*")
}

// request is what the flags describe.
func (f *rptFlags) request(address string) (rpt.Request, error) {
	r := rpt.Request{Method: f.method, URL: address, Header: http.Header{"User-Agent": {"umagate"}}}
	for _, h := range f.headers {
		name, value, err := splitHeader(h)
		if err != nil {
			return r, err
		}
		r.Header.Add(name, value)
	}
	if f.data != "" {
		r.Body = []byte(f.data)
		if path, ok := strings.CutPrefix(f.data, "@"); ok {
			body, err := os.ReadFile(path) //nolint:gosec // the user names the file
			if err != nil {
				return r, fmt.Errorf("--data: %w", err)
			}
			r.Body = body
		}
		if r.Header.Get("Content-Type") == "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if json.Valid(r.Body) {
				r.Header.Set("Content-Type", "application/json")
			}
		}
	}
	switch {
	case r.Method != "":
	case f.data != "":
		r.Method = http.MethodPost
	default:
		r.Method = http.MethodGet
	}
	return r, nil
}

// splitHeader reads the value of --header.
func splitHeader(h string) (name, value string, err error) {
	name, value, ok := strings.Cut(h, ":")
	if name = strings.TrimSpace(name); !ok || name == "" {
		return "", "", fmt.Errorf("--header %q: write \"name: value\"", h)
	}
	return name, strings.TrimSpace(value), nil
}

// flow puts the walk together.
func (f *rptFlags) flow(env Environment) (*rpt.Flow, error) {
	transport, err := f.transport(env, nil)
	if err != nil {
		return nil, err
	}
	shape, ok := map[string]rpt.PartyMode{"auto": rpt.PartyAuto, "bearer": rpt.PartyBearer, "claim-token": rpt.PartyClaimToken}[f.shape]
	if !ok {
		return nil, &exitError{code: ExitUsage, err: fmt.Errorf("--grant %q: write auto, bearer or claim-token", f.shape)}
	}
	client, err := f.auth.client(env, f.client)
	if err != nil {
		return nil, &exitError{code: ExitUsage, err: err}
	}
	flow := &rpt.Flow{
		Transport: transport, Client: client.auth, PartyMode: shape, Scope: f.scopes,
		ExpectAS: f.expectAS, InsecureHTTP: f.plainHTTP, TokenOnly: f.printToken,
	}
	if client.certificate != nil {
		if flow.ASTransport, err = f.transport(env, client.certificate); err != nil {
			return nil, err
		}
	}
	if f.browser || isTerminal(env.Stdin) {
		flow.Gather = rpt.GatherClaims(f.loopback, f.show(env))
	}
	if f.maxWait > 0 {
		flow.Wait = waiting(f.maxWait)
	}
	flow.Party, err = f.party(env, client.auth)
	return flow, err
}

func (f *rptFlags) party(env Environment, client clientauth.Auth) (rpt.Party, error) {
	credentials := rpt.Credentials{Client: client, Scopes: []string{"openid"}}
	token := secret.New(f.token)
	if token.IsZero() {
		token = lookupSecret(env, "UMAGATE_TOKEN")
	}
	needsClient := func(p rpt.Party) (rpt.Party, error) {
		if client == nil {
			return nil, &exitError{code: ExitUsage, err: errors.New("name the client with --client ID")}
		}
		return p, nil
	}
	switch {
	case f.user != "":
		return needsClient(rpt.Password{Credentials: credentials, User: f.user, Ask: askPassword(env, f.user)})
	case f.browser:
		return needsClient(rpt.Browser{Credentials: credentials, Loopback: f.loopback, Show: f.show(env)})
	case !token.IsZero():
		return rpt.StaticToken{Access: token}, nil
	case client != nil && client.Method() != clientauth.None:
		credentials.Scopes = nil
		return rpt.ClientCredentials{Credentials: credentials}, nil
	default:
		return rpt.Anonymous{}, nil
	}
}

// transport presents certificate where it is asked for one; nil for none.
func (f *rptFlags) transport(env Environment, certificate *tls.Certificate) (http.RoundTripper, error) {
	settings := site.TLS{InsecureSkipVerify: f.insecure, CAFile: f.caFile}
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, fmt.Errorf("--cacert: %w", err)
		}
		settings.CA = pem
	}
	if env.Transport != nil {
		return env.Transport, nil
	}
	return settings.Transport(func() *tls.Certificate { return certificate })
}

// show opens the address in the browser, and prints it in any case.
func (f *rptFlags) show(env Environment) func(context.Context, string) error {
	return func(ctx context.Context, address string) error {
		if _, err := fmt.Fprintf(env.Stderr, "* open this address, and come back here:\n*   %s\n", address); err != nil {
			return err
		}
		if f.browser && env.OpenBrowser != nil {
			_ = env.OpenBrowser(ctx, address) // the address has been printed: it can be opened by hand
		}
		return nil
	}
}

// waiting waits between two tries, for a while in all.
func waiting(most time.Duration) func(context.Context, int) error {
	deadline := time.Now().Add(most)
	return func(ctx context.Context, seconds int) error {
		pause := time.Duration(seconds) * time.Second
		if time.Now().Add(pause).After(deadline) {
			return fmt.Errorf("not within %s", most)
		}
		return sleep(ctx, pause)
	}
}

// sleep returns the context's error where that ends first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
