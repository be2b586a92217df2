package cli

import (
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
)

// print writes the plan for people.
func (full fullPlan) print(p *page) {
	for _, s := range full.Sites {
		printSite(p, s)
	}
	for _, a := range full.Applications {
		hosts := "no host of Envoy"
		if len(a.Hosts) > 0 {
			hosts = printable(strings.Join(a.Hosts, ", "))
		}
		p.printf("Site %s at %s was made by an application, for %s: %d of %s registered. umagate serve keeps it in step.\n\n",
			printable(a.Site), printable(a.Issuer), hosts, a.Registered, count(a.Resources, "resource"))
	}
	for _, l := range full.Left {
		p.printf("Site %s at %s is not in the file any more: its %s there stay as they are.\n\n", printable(l.Site), printable(l.Issuer), count(l.Resources, "resource"))
	}
	p.printf("%s\n", p.bold(full.Summary.sentence()))
}

func printSite(p *page, s sitePlan) {
	p.printf("%s\n", p.bold("Site "+s.Site+" at "+printable(s.Issuer)))
	if s.Error != "" {
		p.failure(s.Error)
		p.remedy(s.Remedy)
		p.printf("\n")
		return
	}
	if s.RegisterClient != "" {
		p.printf("  %s client %s is registered\n", p.green("+"), printable(s.RegisterClient))
	}
	if s.Kept != nil {
		s.Kept.print(p)
		p.printf("\n")
		return
	}
	for _, c := range s.Changes {
		printChange(p, c)
	}
	if len(s.Changes) == 0 && s.RegisterClient == "" {
		p.printf("  in step, %s\n", count(s.Unchanged, "resource"))
	}
	for _, t := range s.Instances {
		p.printf("    %s\n", instanceLine(t))
	}
	p.printf("\n")
}

// instanceLine says how the instances of a resource stand.
func instanceLine(t instance.Counts) string {
	line := printable(t.Resource) + ": " + count(t.Registered, "instance") + " registered"
	if t.Pending > 0 {
		line += fmt.Sprintf(", %d to be registered", t.Pending)
	}
	if t.Removing > 0 {
		line += fmt.Sprintf(", %d to be removed", t.Removing)
	}
	if !t.Declared {
		line += "; it is not declared any more, and they stay at the authorization server with their owners' policies: remove them with DELETE /v1/sites/{site}/resources/{name}"
	}
	return line
}

func printChange(p *page, c planChange) {
	sign, colour, what := mark(p.paint, c.Kind)
	p.printf("  %s %s", colour(sign), printable(c.Name))
	if what != "" {
		p.printf("  (%s)", what)
	}
	if c.ID != "" {
		p.printf("  %s", p.faint("id "+printable(c.ID)))
	}
	p.printf("\n")
	for _, f := range c.Fields {
		if f.From == nil {
			p.printf("      %-8s  %s\n", f.Name, value(f.To))
			continue
		}
		p.printf("      %-8s  %s → %s", f.Name, p.red(value(f.From)), p.green(value(f.To)))
		if f.Drift && c.Kind == reconcile.Update {
			p.printf("  (changed at the authorization server)")
		}
		p.printf("\n")
	}
	for _, warning := range c.Warnings {
		p.printf("      %s %s\n", p.yellow("warning:"), warning)
	}
	if c.Problem != "" {
		p.printf("      %s\n", printable(c.Problem))
	}
	p.remedy(c.Remedy)
}

// mark is how a kind is shown.
func mark(p paint, kind reconcile.Kind) (sign string, colour func(string) string, what string) {
	switch kind {
	case reconcile.Create:
		return "+", p.green, ""
	case reconcile.Adopt:
		return "←", p.green, "adopted by name"
	case reconcile.Update:
		return "~", p.yellow, ""
	case reconcile.Repair:
		return "↺", p.yellow, "changed at the authorization server, put back"
	case reconcile.Recreate:
		return "+", p.green, "lost by the authorization server, registered anew"
	case reconcile.Delete:
		return "-", p.red, ""
	case reconcile.Conflict:
		return "!", p.red, "conflict"
	}
	return "?", p.red, string(kind)
}

// sentence is the last line.
func (t tally) sentence() string {
	text := "Plan: "
	if t.steps() == 0 && t.Conflict == 0 && t.Errors == 0 {
		return text + "nothing to change, " + count(t.Unchanged, "resource") + " in step."
	}
	for _, part := range []struct {
		n    int
		what string
	}{
		{t.Clients, "to register as client"},
		{t.Create + t.Recreate, "to create"},
		{t.Adopt, "to adopt"},
		{t.Update, "to update"},
		{t.Repair, "to repair"},
		{t.Delete, "to delete"},
		{t.Conflict, "in conflict"},
	} {
		if part.n > 0 {
			text += fmt.Sprintf("%d %s, ", part.n, part.what)
		}
	}
	text += fmt.Sprintf("%d unchanged", t.Unchanged)
	if t.Errors > 0 {
		text += "; " + count(t.Errors, "site") + " not compared"
	}
	return text + "."
}
