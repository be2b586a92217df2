package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/xds"
)

func newStatus(env Environment) *cobra.Command {
	var (
		flags controlFlags
		watch interval
	)
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is the matter, every site's registration and what every Envoy has",
		Long: `Show the state of a running "umagate serve". First what is the matter, each with its name,
since when, whom it hits and what to do; docs/status.md lists all that there can be. Then for
each site its phase, client, PAT and resources; for each Envoy the versions that it was sent,
accepted or refused.

If umagate.yaml has faults, they are printed. The state of what runs, by the file before,
is shown all the same.

Exit codes: 0 all is well, 1 something is wrong or nothing answers, 64 wrong usage. With
--watch, 0 when it is stopped.`,
		Example: `  umagate status -c umagate.yaml
  umagate status -c umagate.yaml --watch 1s
  umagate status --server http://127.0.0.1:8090 --output json | jq .conditions`,
		Args: watch.args,
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, _ []string) error {
			show := func(ctx context.Context) (ok bool, err error) {
				var got server.Status
				if err := control.Do(ctx, http.MethodGet, "/v1/status", nil, &got); err != nil {
					return false, called(err)
				}
				return got.OK, flags.form.show(env, got, func(p *page) { printStatus(p, got, time.Now()) })
			}
			if watch > 0 {
				return watchStatus(ctx, env, time.Duration(watch), flags.form == outputText && isTerminal(env.Stdout), show)
			}
			ok, err := show(ctx)
			if err == nil && !ok {
				err = &exitError{code: ExitFailed}
			}
			return err
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().Var(&watch, "watch", "show it again after each `INTERVAL` until Ctrl-C: a duration, or a number of seconds")
	cmd.Flags().Lookup("watch").NoOptDefVal = "2s"
	return cmd
}

// interval is the value of --watch: "1s", or seconds without a unit; 0 for none.
type interval time.Duration

// shortestInterval is what a control plane can be asked in without noticing.
const shortestInterval = 100 * time.Millisecond

// String implements pflag.Value.
func (i *interval) String() string {
	if *i == 0 {
		return ""
	}
	return time.Duration(*i).String()
}

// Type implements pflag.Value.
func (*interval) Type() string { return "INTERVAL" }

// Set implements pflag.Value.
func (i *interval) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil {
		d, err = time.ParseDuration(s + "s")
	}
	if err != nil || d < shortestInterval {
		return fmt.Errorf("write a duration such as 2s or 500ms, or a number of seconds, from %s", shortestInterval)
	}
	*i = interval(d)
	return nil
}

// args takes "--watch 1s" for what it means: the flag, whose value may be left out, does
// not take the argument that follows.
func (i *interval) args(cmd *cobra.Command, args []string) error {
	if len(args) != 1 || !cmd.Flags().Changed("watch") {
		return cobra.NoArgs(cmd, args)
	}
	if err := i.Set(args[0]); err != nil {
		return fmt.Errorf("invalid argument %q for --watch: %w", args[0], err)
	}
	return nil
}

// clearScreen puts what follows into the place of what stood there.
const clearScreen = "\x1b[H\x1b[2J"

// watchStatus shows the status until ctx ends. A control plane that does not answer
// may come back: that is shown too.
func watchStatus(ctx context.Context, env Environment, every time.Duration, redraw bool, show func(context.Context) (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if redraw {
			_, _ = fmt.Fprint(env.Stdout, clearScreen)
		}
		if _, err := show(ctx); err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprintf(env.Stderr, "umagate status: %v\n", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// printStatus writes the tables. now is what durations count from.
func printStatus(p *page, s server.Status, now time.Time) {
	printConditions(p, s.Conditions, now)
	p.printf("%s\n", leadership(s, now))
	rows := [][]string{{"SITE", "PHASE", "DIALECT", "CLIENT", "PAT EXPIRES", "RESOURCES"}}
	for _, site := range s.Sites {
		rows = append(rows, []string{
			site.Name, string(site.Phase), dash(site.Dialect), dash(site.ClientID), until(site.PATExpiresAt, now),
			fmt.Sprintf("%d/%d", site.Resources.Registered, site.Resources.Declared),
		})
	}
	p.table(rows...)
	for _, site := range s.Sites {
		if site.Kept != nil {
			printKept(p, site.Name, site.Kept, now)
		}
		for _, t := range site.Resources.Instances {
			p.printf("site %s: %s\n", site.Name, instanceLine(t))
		}
		if f := site.Failure; f != nil {
			p.printf("site %s: %s failed %s in %s, next try %s\n",
				site.Name, site.Phase, count(f.Attempts, "time"), since(f.Since, now), until(f.NextRetry, now))
		}
	}
	p.printf("\n")
	printEnvoys(p, s, now)
}

// printKept writes what is in force of resources that a site's AS keeps.
func printKept(p *page, name string, k *server.KeptStatus, now time.Time) {
	if k.ReadAt.IsZero() {
		p.printf("site %s: the resources kept at its authorization server are not read yet, and nothing passes\n", name)
		return
	}
	p.printf("site %s: %s with %s kept at its authorization server, read %s ago\n", name, count(k.Resources, "resource"), count(k.Paths, "path"), since(k.ReadAt, now))
	if k.Withheld > 0 {
		p.printf("  %d of them are gone there, and stay as they were\n", k.Withheld)
	}
	for _, n := range k.Notes {
		p.printf("  narrower than there: %s: %s\n", printable(dash(n.Resource)), printable(n.Text))
	}
}

// printConditions writes what is the matter, since when, whom it hits and what to do.
func printConditions(p *page, conditions []health.Condition, now time.Time) {
	if len(conditions) == 0 {
		p.printf("all is well\n\n")
	}
	for _, c := range conditions {
		where := ""
		if c.Site != "" {
			where = "site " + c.Site + ", "
		}
		p.printf("%s (%sfor %s): %s\n  %s\n  hits: %s\n  = %s\n\n", c.Name, where, since(c.Since, now), c.Summary, c.Message, c.Affects, c.Remedy)
	}
}

// printEnvoys writes what each Envoy has, what it refused, and who is turned away.
func printEnvoys(p *page, s server.Status, now time.Time) {
	if len(s.Envoys) == 0 {
		p.printf("No Envoy has connected. Print a bootstrap for one with: umagate render bootstrap\n")
	} else {
		var rows [][]string
		if len(s.Groups) > 1 || len(s.Groups) == 1 && s.Groups[0].Name != xds.Default {
			rows = append(rows, []string{"GROUP", "SITES", "CONNECTED", "UP TO DATE", "REFUSING"})
			for _, g := range s.Groups {
				rows = append(rows, []string{g.Name, strings.Join(g.Sites, ","), fmt.Sprint(g.Connected), fmt.Sprint(g.Current), fmt.Sprint(g.Refusing)})
			}
			rows = append(rows, nil)
		}
		rows = append(rows, []string{"ENVOY", "GROUP", "VERSION", "MODULE", "CONNECTED", "CALLS TO AS", "FILTER (ECDS)", "CLUSTERS (CDS)", "CREDENTIALS (SDS)", "LISTENER (LDS)", "ROUTES (RDS)"})
		for _, e := range s.Envoys {
			connected := "gone " + since(e.DisconnectedAt, now)
			if e.Connected {
				connected = since(e.ConnectedSince, now)
			}
			row := []string{e.NodeID, dash(e.Group), dash(e.Version), moduleOf(&e), connected, calls(&e, now)}
			for _, kind := range []xds.Type{xds.ECDS, xds.CDS, xds.SDS, xds.LDS, xds.RDS} {
				row = append(row, typeState(e.Types[kind]))
			}
			rows = append(rows, row)
		}
		p.table(rows...)
	}
	printAgents(p, s.Agents, now)
	for _, e := range s.Envoys {
		for _, kind := range xds.Types() {
			if state := e.Types[kind]; state.Refused != "" {
				printRefusal(p, e.NodeID, kind, state, now)
			}
		}
	}
	for _, t := range s.TurnedAway {
		p.printf("\nenvoy %s at %s is turned away: no group has it\n  cluster %q, certificate %q, tried %s, last %s ago\n  = Look at the match of groups in umagate.yaml.\n",
			t.NodeID, t.Address, t.Cluster, t.Certificate, count(t.Attempts, "time"), since(t.Last, now))
	}
}

// printAgents writes what keeps what is good beside Envoys.
func printAgents(p *page, agents []xds.Envoy, now time.Time) {
	if len(agents) == 0 {
		return
	}
	rows := [][]string{nil, {"AGENT BESIDE", "GROUP", "CONNECTED", "KEEPS"}}
	for _, a := range agents {
		connected := "gone " + since(a.DisconnectedAt, now)
		if a.Connected {
			connected = since(a.ConnectedSince, now)
		}
		rows = append(rows, []string{a.NodeID, dash(a.Group), connected, typeState(a.Types[xds.LastGood])})
	}
	p.table(rows...)
}

// leadership tells which replica answers, and which leads.
func leadership(s server.Status, now time.Time) string {
	switch {
	case s.Leader:
		return fmt.Sprintf("replica %s leads, for %s\n", dash(s.Replica), since(s.LeaderSince, now))
	case s.LeaderName == "":
		return fmt.Sprintf("replica %s follows; who leads is not known\n", dash(s.Replica))
	default:
		return fmt.Sprintf("replica %s follows %s\n", dash(s.Replica), s.LeaderName)
	}
}

// printRefusal tells what an Envoy would not take, what that means for requests,
// and where to look.
func printRefusal(p *page, node string, kind xds.Type, state xds.State, now time.Time) {
	keeps := "keeps " + state.Acknowledged
	if state.Acknowledged == "" {
		keeps = "has none"
		if kind == xds.ECDS {
			keeps = "has no filter: it answers every request 500"
		}
	}
	p.printf("\nenvoy %s refused %s %s, %s ago, and %s\n  %s\n", node, kind, state.Refused, since(state.RefusedAt, now), keeps, state.ErrorMessage)
	if kind == xds.ECDS {
		p.printf("  = If it is about the path: plugin.wasm is where Envoy finds the module, from the folder that Envoy was started in.\n")
	}
}

// moduleOf names the build of the filter that an Envoy runs.
func moduleOf(e *xds.Envoy) string {
	if e.Module == nil {
		return "-"
	}
	return dash(e.Module.Build)
}

// calls tells how an Envoy's calls to authorization servers end, if it reports that.
func calls(e *xds.Envoy, now time.Time) string {
	switch {
	case !e.Connected:
		return "-"
	case now.Sub(e.ReportedAt) > xds.ReportsFor:
		return "not reported"
	case len(e.Failing) > 0:
		return "failing"
	}
	return "ok"
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

func dash(s string) string { return cmp.Or(s, "-") }

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
