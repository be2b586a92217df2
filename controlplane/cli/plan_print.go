package cli

import (
	"fmt"
	"io"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/reconcile"
)

// printPlan writes the plan for people.
func printPlan(to io.Writer, paint paint, p fullPlan) error {
	w := &errWriter{to: to}
	for _, s := range p.Sites {
		printSite(w, paint, s)
	}
	for _, l := range p.Left {
		w.printf("Site %s at %s is not in the file any more: its %s there stay as they are.\n\n", printable(l.Site), printable(l.Issuer), count(l.Resources, "resource"))
	}
	w.printf("%s\n", paint.bold(p.Summary.sentence()))
	return w.err
}

func printSite(w *errWriter, paint paint, s sitePlan) {
	w.printf("%s\n", paint.bold("Site "+s.Site+" at "+printable(s.Issuer)))
	if s.Error != "" {
		w.printf("  %s %s\n", paint.red("!"), printable(s.Error))
		if s.Remedy != "" {
			w.printf("      = %s\n", s.Remedy)
		}
		w.printf("\n")
		return
	}
	if s.RegisterClient != "" {
		w.printf("  %s client %s is registered\n", paint.green("+"), printable(s.RegisterClient))
	}
	for _, c := range s.Changes {
		printChange(w, paint, c)
	}
	if len(s.Changes) == 0 && s.RegisterClient == "" {
		w.printf("  in step, %s\n", count(s.Unchanged, "resource"))
	}
	for _, t := range s.Instances {
		w.printf("    %s\n", instanceLine(t))
	}
	w.printf("\n")
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

func printChange(w *errWriter, paint paint, c planChange) {
	sign, colour, what := mark(paint, c.Kind)
	w.printf("  %s %s", colour(sign), printable(c.Name))
	if what != "" {
		w.printf("  (%s)", what)
	}
	if c.ID != "" {
		w.printf("  %s", paint.faint("id "+printable(c.ID)))
	}
	w.printf("\n")
	for _, f := range c.Fields {
		if f.From == nil {
			w.printf("      %-8s  %s\n", f.Name, value(f.To))
			continue
		}
		w.printf("      %-8s  %s → %s", f.Name, paint.red(value(f.From)), paint.green(value(f.To)))
		if f.Drift && c.Kind == reconcile.Update {
			w.printf("  (changed at the authorization server)")
		}
		w.printf("\n")
	}
	for _, warning := range c.Warnings {
		w.printf("      %s %s\n", paint.yellow("warning:"), warning)
	}
	if c.Problem != "" {
		w.printf("      %s\n", printable(c.Problem))
	}
	if c.Remedy != "" {
		w.printf("      = %s\n", c.Remedy)
	}
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
