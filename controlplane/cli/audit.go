package cli

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/server"
)

// auditFlags choose events.
type auditFlags struct {
	controlFlags

	site, action, actor string
	since               time.Duration
	limit               int
}

func newAudit(env Environment) *cobra.Command {
	var flags auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what and when",
		Long: `Ask a running "umagate serve" for its audit log, the newest first: what was changed at
the authorization servers, in the store and in umagate.yaml, by whom, and in which
request. Events are kept for api.audit_retention.

Exit codes: 0 done, 1 nothing answers or it refuses, 64 wrong usage.`,
		Example: `  umagate audit -c umagate.yaml
  umagate audit --site photos --action resource.delete --since 24h
  umagate audit --output json | jq '.[] | select(.outcome == "failed")'`,
		Args: cobra.NoArgs,
		RunE: flags.withClient(env, func(ctx context.Context, control *client.Client, _ []string) error {
			events, err := flags.fetch(ctx, control)
			if err != nil {
				return called(err)
			}
			return flags.form.show(env, events, func(p *page) { printAudit(p, events) })
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().StringVar(&flags.site, "site", "", "only of the site with this `NAME`")
	cmd.Flags().StringVar(&flags.action, "action", "", "only this `ACTION`, such as resource.create")
	cmd.Flags().StringVar(&flags.actor, "actor", "", "only by who has this `NAME`")
	cmd.Flags().DurationVar(&flags.since, "since", 0, "only of the last `TIME`, such as 24h")
	cmd.Flags().IntVarP(&flags.limit, "limit", "n", 50, "how many to show at most; 0 for all")
	return cmd
}

// errEnough ends the listing.
var errEnough = errors.New("enough")

func (f *auditFlags) fetch(ctx context.Context, control *client.Client) ([]server.AuditEvent, error) {
	query := url.Values{}
	for name, value := range map[string]string{"site": f.site, "action": f.action, "actor": f.actor} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.since > 0 {
		query.Set("since", time.Now().Add(-f.since).UTC().Format(time.RFC3339))
	}
	const page = 1000
	if f.limit > 0 {
		query.Set("limit", strconv.Itoa(min(f.limit, page)))
	}
	events := []server.AuditEvent{}
	err := client.Pages(ctx, control, "/v1/audit", query, func(e server.AuditEvent) error {
		events = append(events, e)
		if len(events) == f.limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return events, nil
}

func printAudit(p *page, events []server.AuditEvent) {
	if len(events) == 0 {
		p.printf("No event.\n")
		return
	}
	rows := [][]string{{"TIME", "WHO", "ACTION", "SITE", "TARGET", "DETAIL"}}
	for _, e := range events {
		who := string(e.Actor.Kind)
		if e.Actor.Name != "" {
			who += " " + printable(e.Actor.Name)
		}
		target := "-"
		if e.Target != "" {
			target = printable(e.Target)
		}
		var detail []string
		if e.Outcome != "done" {
			detail = append(detail, string(e.Outcome))
		}
		for _, key := range slices.Sorted(maps.Keys(e.Detail)) {
			if e.Detail[key] != "" && key != "sha256" {
				detail = append(detail, key+"="+printable(e.Detail[key]))
			}
		}
		rows = append(rows, []string{e.At.Local().Format(time.DateTime), who, string(e.Action), dash(e.Site), target, strings.Join(detail, " ")})
	}
	p.table(rows...)
}
