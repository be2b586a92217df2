package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/xds"
)

const (
	statusTimeout = 10 * time.Second
	maxStatus     = 64 << 20
)

func newStatus(env Environment) *cobra.Command {
	var (
		flags   fileFlags
		form    output
		address string
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every site's registration and what every Envoy has",
		Long: `Ask a running "umagate serve" how things stand: for each site its phase, client, PAT
and resources; for each Envoy the versions that it was sent, accepted or refused.

Exit codes: 0 all is as it should be, 1 something is not or nothing answers, 64 wrong
usage.`,
		Example: `  umagate status -c umagate.yaml
  umagate status --server http://127.0.0.1:8090 --output json | jq .problems`,
		Args: cobra.NoArgs,
		RunE: run(func(ctx context.Context, _ []string) error {
			if address == "" {
				var err error
				if address, err = apiAddress(env, flags); err != nil {
					return err
				}
			}
			got, err := fetchStatus(ctx, env, address)
			if err != nil {
				return err
			}
			if form == outputJSON {
				err = printJSON(env.Stdout, got)
			} else {
				err = printStatus(env.Stdout, got, time.Now())
			}
			if err == nil && !got.OK {
				err = &exitError{code: ExitFailed}
			}
			return err
		}),
	}
	flags.register(cmd)
	outputFlag(cmd, &form, outputText, outputJSON)
	cmd.Flags().StringVar(&address, "server", "", "the control plane's `URL` instead of the file's listen.api")
	return cmd
}

// apiAddress is where the file says that the control plane answers. Secrets need
// not be at hand for that.
func apiAddress(env Environment, flags fileFlags) (string, error) {
	sources := flags.environment(env)
	sources.SkipSecrets = true
	file, err := site.LoadIn(flags.path, sources)
	if err != nil {
		return "", fmt.Errorf("%w; name the file with -c FILE or the control plane with --server URL", err)
	}
	host, port, err := net.SplitHostPort(file.Listen.API)
	if err != nil {
		return "", fmt.Errorf("listen.api: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

func fetchStatus(ctx context.Context, env Environment, address string) (server.Status, error) {
	var out server.Status
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	target, err := url.JoinPath(address, "v1/status")
	if err != nil {
		return out, fmt.Errorf("--server: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return out, fmt.Errorf("--server: %w", err)
	}
	resp, err := (&http.Client{Transport: env.Transport}).Do(req)
	if err != nil {
		return out, fmt.Errorf("%w; is umagate serve running?", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return out, fmt.Errorf("%s answers %s; is it umagate's listen.api?", target, resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&out); err != nil {
		return out, fmt.Errorf("%s does not answer as umagate serve does: %w", target, err)
	}
	return out, nil
}

// printStatus writes the tables. now is what durations count from.
func printStatus(to io.Writer, s server.Status, now time.Time) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) } // Flush tells of errors
	line("SITE", "PHASE", "DIALECT", "CLIENT", "PAT EXPIRES", "RESOURCES")
	for _, site := range s.Sites {
		line(site.Name, string(site.Phase), dash(site.Dialect), dash(site.ClientID), until(site.PATExpiresAt, now),
			fmt.Sprintf("%d/%d", site.Resources.Registered, site.Resources.Declared))
	}
	err := w.Flush()
	for _, site := range s.Sites {
		if f := site.Failure; f != nil {
			_, _ = fmt.Fprintf(to, "\nsite %s: %s failed %s in %s, next try %s\n  %s\n",
				site.Name, site.Phase, count(f.Attempts, "time"), since(f.Since, now), until(f.NextRetry, now), f.Message)
			if f.Remedy != "" {
				_, _ = fmt.Fprintf(to, "  = %s\n", f.Remedy)
			}
		}
	}
	_, _ = fmt.Fprintln(to)
	if len(s.Envoys) == 0 {
		_, _ = fmt.Fprintln(to, "No Envoy has connected. Print a bootstrap for one with: umagate render bootstrap")
	} else {
		line("ENVOY", "VERSION", "CONNECTED", "FILTER (ECDS)", "CLUSTERS (CDS)", "CREDENTIALS (SDS)")
		for _, e := range s.Envoys {
			connected := "gone " + since(e.DisconnectedAt, now)
			if e.Connected {
				connected = since(e.ConnectedSince, now)
			}
			line(e.NodeID, dash(e.Version), connected, typeState(e.Types[xds.ECDS]), typeState(e.Types[xds.CDS]), typeState(e.Types[xds.SDS]))
		}
		err = errors.Join(err, w.Flush())
	}
	for _, e := range s.Envoys {
		for _, kind := range xds.Types() {
			if state := e.Types[kind]; state.Refused != "" {
				printRefusal(to, e.NodeID, kind, state, now)
			}
		}
	}
	for _, message := range []string{s.ReloadError, s.PublishError} {
		if message != "" {
			_, _ = fmt.Fprintf(to, "\nnot taken over, what was before stays in force:\n  %s\n", message)
		}
	}
	return err
}

// printRefusal tells what an Envoy would not take, what that means for requests,
// and where to look.
func printRefusal(to io.Writer, node string, kind xds.Type, state xds.State, now time.Time) {
	keeps := "keeps " + state.Acknowledged
	if state.Acknowledged == "" {
		keeps = "has none"
		if kind == xds.ECDS {
			keeps = "has no filter: it answers every request 500"
		}
	}
	_, _ = fmt.Fprintf(to, "\nenvoy %s refused %s %s, %s ago, and %s\n  %s\n", node, kind, state.Refused, since(state.RefusedAt, now), keeps, state.Words)
	if kind == xds.ECDS {
		_, _ = fmt.Fprintln(to, "  = If it is about the path: plugin.wasm is where Envoy finds the module, from the folder that Envoy was started in.")
	}
}

func typeState(s xds.State) string {
	switch {
	case s.Refused != "":
		return "refused " + s.Refused
	case s.Sent == "" && s.Acknowledged == "":
		return "-"
	case s.Acknowledged == s.Sent || s.Sent == "":
		return "ok " + s.Acknowledged
	default:
		return "sent " + s.Sent
	}
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func until(t, now time.Time) string {
	switch d := t.Sub(now).Round(time.Second); {
	case t.IsZero():
		return "-"
	case d <= 0:
		return "now"
	default:
		return "in " + d.String()
	}
}

func since(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return now.Sub(t).Round(time.Second).String()
}
