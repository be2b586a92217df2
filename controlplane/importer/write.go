package importer

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

const (
	placeholderHost   = "api.example.com"
	placeholderIssuer = "https://as.example.com"
	secretVariable    = "CLIENT_SECRET"
)

// printer keeps the first error and counts bytes.
type printer struct {
	to  io.Writer
	n   int64
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err != nil {
		return
	}
	n, err := fmt.Fprintf(p.to, format+"\n", args...)
	p.n += int64(n)
	p.err = err
}

// WriteTo prints the draft as umagate.yaml, with its notes as comments.
func (d *Draft) WriteTo(w io.Writer) (int64, error) {
	p := &printer{to: w}
	p.line("# Made by umagate import from %s.", comment(d.Source))
	p.line("# Look through it, see to every TODO, and check it: umagate validate -c FILE")
	for _, shown := range d.Show() {
		p.line("#\n# %s:", headings()[shown.Severity])
		for _, text := range shown.Lines {
			p.line("#   %s", comment(text))
		}
	}
	d.writeSite(p)
	for i := range d.Resources {
		d.Resources[i].write(p)
	}
	return p.n, p.err
}

func (d *Draft) writeSite(p *printer) {
	p.line("sites:\n- name: %s", quote(d.Site))
	if len(d.Hosts) > 0 {
		p.line("  hosts: %s", quotes(d.Hosts))
	} else {
		p.line("  hosts: [%s] # TODO: the host names of the API", placeholderHost)
	}
	p.line("  # upstream: http://127.0.0.1:8080 # TODO: the API, as Envoy reaches it, for umagate render")
	p.line("  authorization_server:")
	if d.Issuer != "" {
		p.line("    issuer: %s", quote(d.Issuer))
	} else {
		p.line("    issuer: %s # TODO: the authorization server", placeholderIssuer)
	}
	if strings.HasPrefix(d.Issuer, "http://") {
		p.line("    insecure_http: true # TODO: https, and take this out")
	}
	if d.Dialect != "" {
		p.line("    dialect: %s", quote(d.Dialect))
	}
	if d.ClientID != "" {
		p.line("    client: {id: %s, secret: {env: %s}} # TODO: set the variable", quote(d.ClientID), secretVariable)
	} else {
		p.line("    client: {register: {}}")
	}
	for _, setting := range []struct{ key, value string }{{"mode", d.Mode}, {"unmatched", d.Unmatched}, {"case", d.Case}} {
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
	p.line("  - name: %s", quote(r.Name))
	if r.Type != "" {
		p.line("    type: %s", quote(r.Type))
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
	parts := []string{"paths: " + quotes(c.Paths)}
	if len(c.Methods) > 0 {
		parts = append(parts, "methods: "+quotes(c.Methods))
	}
	switch {
	case c.Public:
		parts = append(parts, "public: true")
	case c.Deny:
		parts = append(parts, "deny: true")
	case len(c.Data) > 0:
		parts = append(parts, "scope_expression: {rule: "+c.Rule+", data: "+quotes(c.Data)+"}")
	default:
		parts = append(parts, "scopes: "+quotes(c.Scopes))
	}
	if len(c.TicketScopes) > 0 {
		parts = append(parts, "ticket_scopes: "+quotes(c.TicketScopes))
	}
	return strings.Join(parts, ", ")
}

// quote writes a YAML string: JSON's form is one. "${" would be taken as a
// variable by umagate.yaml.
func quote(s string) string {
	text, err := json.Marshal(strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "${", "$${"))
	if err != nil {
		return `""` // a string always encodes
	}
	return string(text)
}

func quotes(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func headings() map[Severity]string {
	return map[Severity]string{
		Changed:     "Decided otherwise than in the source: look at each",
		Narrowed:    "Less passes than in the source",
		Information: "For information",
	}
}

const maxComment = 400

// comment is text on one line that cannot end the comment.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > maxComment {
		s = string(runes[:maxComment]) + "…"
	}
	return s
}
