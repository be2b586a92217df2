package demo

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// The places of the story.
const (
	toGateway = "gateway"
	toAS      = "AS"
)

// width is how wide the output gets at most.
const width = 98

// printer lays the story out. It colours where the output is a terminal.
type printer struct {
	w      io.Writer
	colour bool
	scenes int
}

func newPrinter(w io.Writer) *printer {
	file, ok := w.(*os.File)
	return &printer{w: w, colour: ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

// style is the parameter of an ANSI colour sequence.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "1;31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

func (p *printer) in(s style, text string) string {
	if !p.colour || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func (p *printer) line(text string) { _, _ = fmt.Fprintln(p.w, text) }

func (p *printer) title(text string) {
	p.line("")
	p.line(p.in(bold, text))
	p.line("")
}

func (p *printer) wait(what string) {
	_, _ = fmt.Fprint(p.w, p.in(dim, what+" …"))
}

func (p *printer) waited(d time.Duration) {
	p.line(p.in(dim, fmt.Sprintf(" %.1f s", d.Seconds())))
	p.line("")
}

// world prints who is who.
func (p *printer) world(w *world) {
	for _, row := range [][3]string{
		{"API", "http://" + w.api.address, w.play.about},
		{"gateway", "http://" + w.gateway.address(), "stands in front of it: " + w.gateway.about()},
		{"AS", w.as.Issuer(), "the authorization server, where alice and bob log in"},
		{"control plane", "http://" + w.plane, "registered the API at the AS, and configured the gateway"},
	} {
		for i, line := range wrap(row[2], width-16-24, " ") {
			if i > 0 {
				row[0], row[1] = "", ""
			}
			p.line("  " + p.in(bold, fmt.Sprintf("%-14s", row[0])) + fmt.Sprintf("%-24s", row[1]) + line)
		}
	}
	p.line("")
}

// scene begins a scene with a sentence.
func (p *printer) scene(title string, sentences ...string) {
	p.scenes++
	p.line(p.in(dim, strings.Repeat("─", width)))
	p.line(p.in(bold, fmt.Sprintf("%2d  %s", p.scenes, title)))
	for _, s := range sentences {
		for _, line := range wrap(s, width-4, " ") {
			p.line("    " + line)
		}
	}
	p.line("")
}

// act prints something that happens without a request to the gateway.
func (p *printer) act(who, what string) {
	p.line("    " + p.in(cyan, fmt.Sprintf("%-18s", who)) + what)
	p.line("")
}

// brief prints an exchange that was refused in one line.
func (p *printer) brief(x exchange) {
	p.line("    " + p.in(cyan, fmt.Sprintf("%-18s", x.who+" → "+x.to)) + p.in(bold, x.method) +
		fmt.Sprintf(" %-22s", x.target) + p.in(cyan, "← ") + p.status(x.status) + "  " + x.answered("code"))
}

const indent = "                      " // under the request line

// exchange prints a request and its answer, with the headers that matter.
func (p *printer) exchange(x exchange) {
	p.line("    " + p.in(cyan, fmt.Sprintf("%-18s", x.who+" → "+x.to)) + p.in(bold, x.method) + " " + x.target)
	for _, h := range x.header {
		p.header(h[0], h[1])
	}
	if x.form != nil {
		p.form(x)
	}
	p.line("    " + p.in(cyan, fmt.Sprintf("%17s ", "←")) + p.status(x.status))
	for _, name := range []string{"WWW-Authenticate", "Warning", "Retry-After"} {
		for _, value := range x.answer.Values(name) {
			p.header(name, value)
		}
	}
	switch {
	case x.to == toAS:
		p.grant(x)
	case x.answered("code") != "":
		p.header("body", x.answered("code")+": "+x.answered("detail"))
	}
	p.seen(x)
	p.line("")
}

func (p *printer) form(x exchange) {
	for _, name := range []string{"grant_type", "ticket", "claim_token"} {
		value := x.form.Get(name)
		if name == "claim_token" {
			value += " (who " + x.who + " is: the token of the login)"
		}
		p.header(name, strings.TrimPrefix(value, "urn:ietf:params:oauth:grant-type:"))
	}
}

// grant prints what the authorization server says.
func (p *printer) grant(x exchange) {
	if rpt := x.answered("access_token"); rpt != "" {
		p.header("access_token", rpt+" (this is the RPT)")
		return
	}
	p.header("error", strings.TrimSpace(x.answered("error")+" "+x.answered("error_description")))
}

// seen prints what reached the API, if anything did.
func (p *printer) seen(x exchange) {
	if x.to != toGateway {
		return
	}
	if x.seen == nil {
		if x.status >= http.StatusBadRequest {
			p.line(indent + p.in(dim, "the API saw nothing of it"))
		}
		return
	}
	parts := []string{x.seen.Method + " " + x.seen.RequestURI}
	names := make([]string, 0, 4)
	for name := range x.seen.Header {
		if strings.HasPrefix(name, "X-Uma-") {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b)) })
	for _, name := range names {
		parts = append(parts, strings.ToLower(name)+": "+shorten(x.sawHeader(name)))
	}
	for i, line := range wrap(strings.Join(parts, "   "), width-len(indent)-13, "   ") {
		label := strings.Repeat(" ", 13)
		if i == 0 {
			label = "the API saw  "
		}
		p.line(indent + p.in(green, label+line))
	}
}

// rank puts the subject first.
func rank(name string) int {
	if name == "X-Uma-Subject" {
		return 0
	}
	return 1
}

func (p *printer) status(code int) string {
	s := green
	switch {
	case code >= http.StatusInternalServerError:
		s = red
	case code >= http.StatusBadRequest:
		s = yellow
	}
	return p.in(s, fmt.Sprintf("%d %s", code, http.StatusText(code)))
}

// header prints one header, in as many lines as it takes.
func (p *printer) header(name, value string) {
	const gap = 2
	lines := wrap(shorten(value), width-len(indent)-len(name)-gap, " ")
	for i, line := range lines {
		if i == 0 {
			p.line(indent + p.in(dim, name+": ") + line)
			continue
		}
		p.line(indent + strings.Repeat(" ", len(name)+gap) + line)
	}
}

func (p *printer) wrong(what string) {
	p.line("    " + p.in(red, "✗ not as told: "+what))
	p.line("")
}

func (p *printer) end(count int, wrong []string) {
	p.line(p.in(dim, strings.Repeat("─", width)))
	if len(wrong) == 0 {
		p.line(p.in(green, fmt.Sprintf("✓ %d exchanges, all as told.", count)))
		return
	}
	p.line(p.in(red, fmt.Sprintf("✗ %d of the checks on %d exchanges failed:", len(wrong), count)))
	for _, what := range wrong {
		p.line("  " + what)
	}
}

// longWord is a token, a ticket or an id: nobody reads it to its end.
var longWord = regexp.MustCompile(`[A-Za-z0-9_-]{20,}(?:\.[A-Za-z0-9_-]+)*`)

func shorten(s string) string {
	return longWord.ReplaceAllStringFunc(s, func(word string) string {
		const kept = 8
		if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz_") == "" {
			return word // a code such as insufficient_permission
		}
		return word[:kept] + "…"
	})
}

// wrap breaks a text into lines of at most n characters, where sep is.
func wrap(text string, n int, sep string) []string {
	var lines []string
	line := ""
	for part := range strings.SplitSeq(text, sep) {
		switch {
		case line == "":
			line = part
		case utf8.RuneCountInString(line)+utf8.RuneCountInString(sep)+utf8.RuneCountInString(part) > n:
			lines = append(lines, line)
			line = part
		default:
			line += sep + part
		}
	}
	return append(lines, line)
}
