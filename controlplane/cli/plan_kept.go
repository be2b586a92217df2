package cli

import (
	"context"
	"strings"

	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/plugin/config"
)

// keptPlan is what comes of the resources that an AS keeps, as they are there now.
type keptPlan struct {
	// Resources are those with their conditions.
	Resources []config.Resource `json:"resources"`
	// Closed: what no condition names is denied, whatever unmatched says.
	Closed bool        `json:"closed"`
	Notes  []kept.Note `json:"notes"`
	// Added and Gone are the names of those that umagate serve has not taken over yet.
	Added []string `json:"added"`
	Gone  []string `json:"gone"`
	// Withheld counts those that are gone and stay until it is accepted.
	Withheld int `json:"removals_withheld"`
}

func planKept(ctx context.Context, m *registration.Operation) (*keptPlan, error) {
	now, before, err := m.Kept(ctx)
	if err != nil {
		return nil, err
	}
	names := func(resources []kept.Resource) []string {
		out := []string{}
		for i := range resources {
			out = append(out, resources[i].Name)
		}
		return out
	}
	withheld := map[string]bool{}
	for _, id := range now.Reading.Withheld {
		withheld[id] = true
	}
	gone := names(before.Reading.Gone(now.Reading.Resources))
	for i := range now.Reading.Resources {
		if r := &now.Reading.Resources[i]; withheld[r.ID] {
			gone = append(gone, r.Name)
		}
	}
	return &keptPlan{
		Resources: now.Resources, Closed: now.Closed, Notes: append([]kept.Note{}, now.Notes...), Withheld: len(now.Reading.Withheld),
		Added: names(now.Reading.Gone(before.Reading.Resources)), Gone: gone,
	}, nil
}

func (k *keptPlan) print(p *page) {
	p.printf("  kept at the authorization server, where umagate changes nothing; what comes of it:\n")
	for i := range k.Resources {
		r := &k.Resources[i]
		p.printf("    %s", printable(r.Name))
		if r.ID != "" {
			p.printf("  %s", p.faint("id "+printable(r.ID)))
		}
		p.printf("\n")
		for j := range r.Conditions {
			c := &r.Conditions[j]
			methods := strings.Join(c.Methods, ", ")
			if methods == "" {
				methods = "every method"
			}
			p.printf("      %s  %s: %s\n", printable(strings.Join(c.Paths, ", ")), printable(methods), printable(asks(c)))
		}
	}
	if len(k.Resources) == 0 {
		p.printf("    no condition\n")
	}
	if k.Closed {
		p.printf("    %s what no condition names is denied, whatever unmatched says\n", p.yellow("!"))
	}
	for _, name := range k.Added {
		p.printf("  %s %s is new\n", p.green("+"), printable(name))
	}
	for _, name := range k.Gone {
		p.printf("  %s %s is gone\n", p.red("-"), printable(name))
	}
	if k.Withheld > 0 {
		p.printf("  %s %s, which is more than resources_at_as.max_removals: each stays as it was until umagate refresh --accept-removals\n", p.yellow("!"), count(k.Withheld, "resource")+" gone")
	}
	for _, n := range k.Notes {
		sign := p.faint("i")
		if n.Narrowed {
			sign = p.yellow("!")
		}
		text := n.Text
		if n.Resource != "" {
			text = n.Resource + ": " + text
		}
		p.printf("  %s %s\n", sign, printable(text))
	}
}

// asks says what a condition asks for.
func asks(c *config.Condition) string {
	switch {
	case c.Public:
		return "public"
	case c.Deny:
		return "denied"
	case c.AnyPermission:
		return "any permission"
	case c.ScopeExpression != nil:
		return "scopes " + strings.Join(c.ScopeExpression.Data, ", ") + " by the rule " + string(c.ScopeExpression.Rule)
	}
	return "one of the scopes " + strings.Join(c.Scopes, ", ")
}
