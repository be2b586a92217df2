package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/revoke"
)

// maxTokenLine bounds a token read from standard input.
const maxTokenLine = 64 << 10

// revocationPoll is how often it is asked whether every Envoy refuses by now.
const revocationPoll = 50 * time.Millisecond

func newRevoke(env Environment) *cobra.Command {
	var (
		flags        controlFlags
		request      revoke.RevocationRequest
		issuedBefore string
		wait         time.Duration
	)
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Have every Envoy refuse tokens before they expire",
		Long: `Have every Envoy refuse tokens before they expire, whatever the authorization
server (AS) says of them: one token, or those of a subject, a client or a session,
or those issued before a time. The names are the claims sub, client_id and sid.

For a subject or client, it revokes the tokens issued up to now: who logs in again gets
in, unless in this very second. --issued-before revokes those issued before that time. A
token that does not say when it was issued counts as issued before. If a token issued
before does not say whose it is, Envoys ask the AS; if the AS does not say either, they
refuse the token. A token without a session is not reached by --session.

It waits until every Envoy that is connected to this replica has acknowledged it, for
--wait at most. Other replicas find it in the store about a second later.

Exit codes: 0 every connected Envoy refuses them; 1 failed, or stored and not in
force everywhere yet; 64 wrong usage.`,
		Example: `  umagate revoke --token - < token.txt
  umagate revoke --subject 7353444b-22f3-47ec-b9e5-f25caf73b975 --site photos
  umagate revoke --client app --issued-before 2026-01-31T12:00:00Z
  umagate revoke --issued-before now
  umagate revoke list --output json | jq '.[].id'
  umagate revoke undo ID`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			if err := completeRevocation(env, &request, issuedBefore, time.Now()); err != nil {
				return &exitError{code: ExitUsage, err: err}
			}
			control, err := flags.client(env)
			if err != nil {
				return err
			}
			var made revoke.Revocation
			if err := control.Do(ctx, http.MethodPost, "/v1/revocations", request, &made); err != nil {
				return called(err)
			}
			atAS := made.AtAuthorizationServer
			made, err = awaitRefusal(ctx, control, made, wait)
			made.AtAuthorizationServer = atAS
			err = errors.Join(err, flags.form.show(env, made, func(p *page) { printRevocation(p, made, time.Now()) }))
			if err == nil && made.Envoys.Refusing < made.Envoys.Connected {
				err = &exitError{code: ExitFailed, err: errors.New("it is stored, and not in force at every Envoy yet: see umagate status")}
			}
			return err
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	f := cmd.Flags()
	f.StringVar(&request.Token, "token", "", "`TOKEN` to refuse; - reads it from standard input, where no list of processes shows it")
	f.StringVar(&request.Subject, "subject", "", "`SUB` of the tokens to refuse")
	f.StringVar(&request.ClientID, "client", "", "`CLIENT_ID` of the tokens to refuse")
	f.StringVar(&request.SessionID, "session", "", "`SID` of the tokens to refuse")
	f.StringVar(&issuedBefore, "issued-before", "", "`TIME` as 2026-01-31T12:00:00Z, or now")
	f.StringVar(&request.Site, "site", "", "`NAME` of a site; every site when left out")
	f.BoolVar(&request.AtAuthorizationServer, "at-as", false, "revoke the token at the AS, too (RFC 7009), where it lets the site's client")
	f.DurationVar(&wait, "wait", 10*time.Second, "how long to wait for the Envoys at most; 0 does not wait")
	cmd.MarkFlagsOneRequired("token", "subject", "client", "session", "issued-before")
	cmd.MarkFlagsMutuallyExclusive("token", "subject", "client", "session")
	cmd.MarkFlagsMutuallyExclusive("token", "issued-before")
	cmd.MarkFlagsMutuallyExclusive("session", "issued-before")
	cmd.AddCommand(newRevokeList(env), newRevokeUndo(env))
	return cmd
}

// completeRevocation reads what is not a flag's own text.
func completeRevocation(env Environment, r *revoke.RevocationRequest, issuedBefore string, now time.Time) error {
	switch issuedBefore {
	case "":
	case "now":
		r.IssuedBefore = now.UTC()
	default:
		at, err := time.Parse(time.RFC3339, issuedBefore)
		if err != nil {
			return fmt.Errorf("--issued-before %q: write a time such as 2026-01-31T12:00:00Z, or now", issuedBefore)
		}
		if at.After(now) {
			return fmt.Errorf("--issued-before %q is in the future, and would refuse every token until then: write now, or a time that has been", issuedBefore)
		}
		r.IssuedBefore = at
	}
	if r.AtAuthorizationServer && r.Token == "" {
		return errors.New("--at-as goes with --token: RFC 7009 knows nothing else")
	}
	if r.Token != "-" {
		return nil
	}
	line, err := bufio.NewReader(io.LimitReader(env.Stdin, maxTokenLine)).ReadString('\n')
	if r.Token = strings.TrimSpace(line); r.Token == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("there is none")
		}
		return fmt.Errorf("--token -: read the token from standard input: %w", err)
	}
	return nil
}

// awaitRefusal asks until every connected Envoy refuses, or the time is over.
func awaitRefusal(ctx context.Context, control *client.Client, made revoke.Revocation, wait time.Duration) (revoke.Revocation, error) {
	deadline := time.Now().Add(wait)
	for made.Envoys.Refusing < made.Envoys.Connected && time.Now().Before(deadline) {
		if err := sleep(ctx, revocationPoll); err != nil {
			return made, err
		}
		var now revoke.Revocation
		if err := control.Do(ctx, http.MethodGet, made.Location(), nil, &now); err != nil {
			return made, called(err)
		}
		made = now
	}
	return made, nil
}

func printRevocation(p *page, r revoke.Revocation, now time.Time) {
	p.printf("revoked  %s\n", describeRevocation(r))
	p.printf("until    %s (%s)\n", r.ExpiresAt.Format(time.RFC3339), until(r.ExpiresAt, now))
	p.printf("id       %s\n", r.ID)
	if r.Envoys.Connected == 0 {
		p.printf("envoys   none is connected here; each gets it when it connects\n")
	} else {
		p.printf("envoys   %d of %d connected here refuse\n", r.Envoys.Refusing, r.Envoys.Connected)
	}
	if r.AtAuthorizationServer != "" {
		p.printf("AS       %s\n", r.AtAuthorizationServer)
	}
	if note := reach(r); note != "" {
		p.printf("note     %s\n", note)
	}
}

// reach says what becomes of tokens that do not name what is revoked.
func reach(r revoke.Revocation) string {
	switch r.Kind {
	case revoke.Subject:
		return "a token issued before then is refused, too, if the AS does not say whose it is"
	case revoke.Client:
		return "a token issued before then is refused, too, if the AS does not say which client's it is"
	case revoke.Session:
		return "a token that names no session (sid), and of which the AS names none, is not reached: revoke its subject"
	case revoke.Token, revoke.Issued:
	}
	return ""
}

// describeRevocation says in words which tokens are meant.
func describeRevocation(r revoke.Revocation) string {
	var text string
	switch r.Kind {
	case revoke.Token:
		text = "the token with SHA-256 " + r.SHA256
	case revoke.Issued:
		text = "every token"
	case revoke.Subject, revoke.Client, revoke.Session:
		text = fmt.Sprintf("tokens of %s %s", r.Kind, r.Value)
	}
	if !r.IssuedBefore.IsZero() {
		text += " issued before " + r.IssuedBefore.Format(time.RFC3339)
	}
	if r.Site != "" {
		return text + ", at site " + r.Site
	}
	return text
}

func newRevokeList(env Environment) *cobra.Command {
	var flags controlFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what is revoked",
		Long: `List what is revoked and has not ended yet.

Exit codes: 0 listed, 1 failed, 64 wrong usage.`,
		Example: `  umagate revoke list -c umagate.yaml
  umagate revoke list --output json | jq '.[].id'`,
		Args: cobra.NoArgs,
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, _ []string) error {
			all := []revoke.Revocation{}
			err := client.Pages(ctx, control, "/v1/revocations", url.Values{"limit": {"1000"}}, func(r revoke.Revocation) error {
				all = append(all, r)
				return nil
			})
			if err != nil {
				return called(err)
			}
			return flags.form.show(env, all, func(p *page) {
				rows := [][]string{{"ID", "SOURCE", "ENDS", "ENVOYS", "TOKENS"}}
				for _, r := range all {
					rows = append(rows, []string{r.ID, string(r.Source), until(r.ExpiresAt, time.Now()), fmt.Sprintf("%d/%d", r.Envoys.Refusing, r.Envoys.Connected), describeRevocation(r)})
				}
				p.table(rows...)
			})
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	return cmd
}

func newRevokeUndo(env Environment) *cobra.Command {
	var flags controlFlags
	cmd := &cobra.Command{
		Use:   "undo ID",
		Short: "Take a revocation back",
		Long: `Undo a revocation that was a mistake: again, the authorization server alone says whether
its tokens are active. Envoys follow in a moment; "umagate revoke list" shows what is in
force.

Exit codes: 0 taken back, 1 failed, 64 wrong usage.`,
		Example: `  umagate revoke undo bq5XkA1_pZ0tY6Vn`,
		Args:    cobra.ExactArgs(1),
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, args []string) error {
			return called(control.Do(ctx, http.MethodDelete, "/v1/revocations/"+url.PathEscape(args[0]), nil, nil))
		}),
	}
	flags.register(cmd)
	return cmd
}
