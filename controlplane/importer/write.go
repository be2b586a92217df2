package importer

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/umagate/umagate/controlplane/site"
)

const (
	placeholderHost   = "api.example.com"
	placeholderIssuer = "https://as.example.com"
	secretVariable    = "CLIENT_SECRET"
)

// printer is umagate.yaml in the making.
type printer struct{ bytes.Buffer }

func (p *printer) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// WriteTo prints the draft as umagate.yaml, with its notes as comments.
func (d *Draft) WriteTo(w io.Writer) (int64, error) {
	p := &printer{}
	p.line("# Made by umagate import from %s.", comment(d.Source))
	p.line("# Look through it, see to every TODO, and check it: umagate validate -c FILE")
	for _, shown := range d.Show() {
		p.line("#\n# %s:", shown.heading)
		for _, text := range shown.Lines {
			p.line("#   %s", comment(text))
		}
	}
	d.writeSite(p)
	for i := range d.Resources {
		d.Resources[i].write(p)
	}
	return p.WriteTo(w)
}

func (d *Draft) writeSite(p *printer) {
	p.line("sites:\n- name: %s", site.Quote(d.Site))
	if len(d.Hosts) > 0 {
		p.line("  hosts: %s", site.QuoteList(d.Hosts))
	} else {
		p.line("  hosts: [%s] # TODO: the host names of the API", placeholderHost)
	}
	p.line("  # upstream: http://127.0.0.1:8080 # TODO: the API, as Envoy reaches it, for umagate render")
	p.line("  authorization_server:")
	if d.Issuer != "" {
		p.line("    issuer: %s", site.Quote(d.Issuer))
	} else {
		p.line("    issuer: %s # TODO: the authorization server", placeholderIssuer)
	}
	if strings.HasPrefix(d.Issuer, "http://") {
		p.line("    insecure_http: true # TODO: https, and take this out")
	}
	if d.Dialect != "" {
		p.line("    dialect: %s", site.Quote(d.Dialect))
	}
	if d.ClientID != "" {
		p.line("    client: {id: %s, secret: {env: %s}} # TODO: set the variable", site.Quote(d.ClientID), secretVariable)
	} else {
		p.line("    client: {register: {}}")
	}
	if token := d.flowToken(); token != "" {
		p.line("  token: {%s}", token)
	}
	for _, setting := range []struct{ key, value string }{
		{"require", d.Require},
		{"challenge", d.Challenge},
		{"mode", d.Mode},
		{"unmatched", d.Unmatched},
		{"case", d.Case},
	} {
		if setting.value != "" {
			p.line("  %s: %s", setting.key, setting.value)
		}
	}
	if len(d.Resources) == 0 {
		p.line("  resources: []")
		return
	}
	p.line("  resources:")
}

func (r *Resource) write(p *printer) {
	p.line("  - name: %s", site.Quote(r.Name))
	if r.ID != "" {
		p.line("    id: %s", site.Quote(r.ID))
	}
	if r.Type != "" {
		p.line("    type: %s", site.Quote(r.Type))
	}
	p.line("    conditions:")
	for i := range r.Conditions {
		c := &r.Conditions[i]
		if c.Comment != "" {
			p.line("    # %s", comment(c.Comment))
		}
		p.line("    - {%s}", c.flow())
	}
}

func (c *Condition) flow() string {
	parts := []string{"paths: " + site.QuoteList(c.Paths)}
	if len(c.Methods) > 0 {
		parts = append(parts, "methods: "+site.QuoteList(c.Methods))
	}
	switch {
	case c.Public:
		parts = append(parts, "public: true")
	case c.Deny:
		parts = append(parts, "deny: true")
	case len(c.Data) > 0:
		parts = append(parts, "scope_expression: {rule: "+c.Rule+", data: "+site.QuoteList(c.Data)+"}")
	default:
		parts = append(parts, "scopes: "+site.QuoteList(c.Scopes))
	}
	if len(c.TicketScopes) > 0 {
		parts = append(parts, "ticket_scopes: "+site.QuoteList(c.TicketScopes))
	}
	if claims := c.flowClaims(); claims != "" {
		parts = append(parts, claims)
	}
	return strings.Join(parts, ", ")
}

const maxComment = 400

// comment is text on one line, of that many characters at most.
func comment(s string) string {
	s = site.Comment(s)
	if runes := []rune(s); len(runes) > maxComment {
		s = string(runes[:maxComment]) + "…"
	}
	return s
}
