package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// output is the value of --output.
type output string

const (
	outputText output = "text"
	outputJSON output = "json"
	outputYAML output = "yaml"
)

// outputFlag adds --output with its choices, the first of which is the default.
func outputFlag(cmd *cobra.Command, to *output, choices ...output) {
	*to = choices[0]
	value := &choice[output]{to: to, kind: "FORM", choices: choices}
	cmd.Flags().VarP(value, "output", "o", "how to print the result: "+strings.Join(value.names(), ", "))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(value.names(), cobra.ShellCompDirectiveNoFileComp))
}

// choice is a flag with a few values.
type choice[T ~string] struct {
	to      *T
	kind    string // as --help names it
	choices []T
}

func (c *choice[T]) names() []string {
	var out []string
	for _, one := range c.choices {
		out = append(out, string(one))
	}
	return out
}

func (c *choice[T]) String() string { return string(*c.to) }

// Type implements pflag.Value.
func (c *choice[T]) Type() string { return c.kind }

// Set implements pflag.Value.
func (c *choice[T]) Set(s string) error {
	if !slices.Contains(c.choices, T(s)) {
		return fmt.Errorf("must be one of %s", strings.Join(c.names(), ", "))
	}
	*c.to = T(s)
	return nil
}

// show writes a result to Stdout: as one JSON document, or as text says it.
func (o output) show(env Environment, result any, text func(*page)) error {
	if o == outputJSON {
		return printJSON(env.Stdout, result)
	}
	p := &page{paint: newPaint(env, env.Stdout)}
	text(p)
	_, err := p.WriteTo(env.Stdout)
	return err
}

// printJSON writes one document, indented, with no HTML escapes in it.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// page is the text of a result, before it goes to Stdout.
type page struct {
	bytes.Buffer
	paint
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// failure writes a problem of a site, and remedy what to do about it, if there is
// something.
func (p *page) failure(text string) { p.printf("  %s %s\n", p.red("!"), printable(text)) }

func (p *page) remedy(text string) {
	if text != "" {
		p.printf("      = %s\n", text)
	}
}

// table writes rows in columns.
func (p *page) table(rows ...[]string) {
	w := tabwriter.NewWriter(p, 0, 0, 2, ' ', 0)
	for _, cells := range rows {
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // a page takes everything
}
