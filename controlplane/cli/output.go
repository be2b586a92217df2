package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

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
	cmd.Flags().VarP(&outputValue{to: to, choices: choices}, "output", "o", fmt.Sprintf("how to print the result: %s", list(choices)))
	_ = cmd.RegisterFlagCompletionFunc("output", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := make([]string, len(choices))
		for i, c := range choices {
			names[i] = string(c)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

type outputValue struct {
	to      *output
	choices []output
}

func (o *outputValue) String() string { return string(*o.to) }

// Type implements pflag.Value.
func (*outputValue) Type() string { return "FORM" }

// Set implements pflag.Value.
func (o *outputValue) Set(s string) error {
	for _, c := range o.choices {
		if string(c) == s {
			*o.to = c
			return nil
		}
	}
	return fmt.Errorf("must be one of %s", list(o.choices))
}

func list(choices []output) string {
	names := make([]string, len(choices))
	for i, c := range choices {
		names[i] = string(c)
	}
	return strings.Join(names, ", ")
}

// printJSON writes one document, indented, with no HTML escapes in it.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
