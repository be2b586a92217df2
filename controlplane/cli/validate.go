package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/site"
)

// fileFlags are the flags of every command that reads umagate.yaml.
type fileFlags struct{ path string }

func (f *fileFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.path, "config", "c", "umagate.yaml", "the configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// environment is where secrets of the file come from.
func (f *fileFlags) environment(env Environment) site.Environment {
	e := site.OSEnvironment(filepath.Dir(f.path))
	if env.LookupEnv != nil {
		e.LookupEnv = env.LookupEnv
	}
	return e
}

// load reads the file; its faults are printed with what they are about, its
// warnings too.
func (f *fileFlags) load(env Environment) (*site.File, error) {
	file, err := site.LoadIn(f.path, f.environment(env))
	if err != nil {
		faults := site.Faults(err)
		if len(faults) == 0 {
			return nil, failed(err)
		}
		printFaults(env.Stderr, source(f.path), faults, "error")
		return nil, &exitError{code: ExitFailed, err: fmt.Errorf("%s has %s", f.path, count(len(faults), "fault"))}
	}
	printFaults(env.Stderr, source(f.path), file.Warnings, "warning")
	return file, nil
}

func newValidate(env Environment) *cobra.Command {
	var (
		flags       fileFlags
		form        output
		skipSecrets bool
		strict      bool
	)
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check umagate.yaml and name every fault with its line and remedy",
		Long: `Check umagate.yaml: that it can be read, that every value makes sense, and that the
filter takes what is made of it. The authorization server is not asked.

Exit codes: 0 no fault, 1 faults, 64 wrong usage.`,
		Example: `  umagate validate -c umagate.yaml
  umagate validate --skip-secrets --strict    # in a pull request's checks
  umagate validate --output json | jq '.faults[].line'`,
		Args: cobra.NoArgs,
		RunE: run(func(context.Context, []string) error {
			sources := flags.environment(env)
			sources.SkipSecrets = skipSecrets
			file, err := site.LoadIn(flags.path, sources)
			return reportValidity(env, flags.path, form, strict, file, err)
		}),
	}
	flags.register(cmd)
	outputFlag(cmd, &form, outputText, outputJSON)
	cmd.Flags().BoolVar(&skipSecrets, "skip-secrets", false, "accept secrets whose variable or file is missing here")
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as faults")
	return cmd
}

type validity struct {
	Valid    bool         `json:"valid"`
	Faults   []site.Fault `json:"faults"`
	Warnings []site.Fault `json:"warnings"`
}

func reportValidity(env Environment, path string, form output, strict bool, file *site.File, err error) error {
	result := validity{Faults: site.Faults(err), Warnings: []site.Fault{}}
	if err != nil && len(result.Faults) == 0 {
		if errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("%w; name the file with -c FILE", err)
		}
		return err
	}
	if file != nil {
		result.Warnings = append(result.Warnings, file.Warnings...)
	}
	result.Valid = len(result.Faults) == 0 && (!strict || len(result.Warnings) == 0)
	if form == outputJSON {
		if result.Faults == nil {
			result.Faults = []site.Fault{}
		}
		if err := printJSON(env.Stdout, result); err != nil {
			return err
		}
	} else {
		text := source(path)
		printFaults(env.Stdout, text, result.Faults, "error")
		printFaults(env.Stdout, text, result.Warnings, "warning")
		_, _ = fmt.Fprintln(env.Stdout, verdict(path, file, result))
	}
	if !result.Valid {
		return &exitError{code: ExitFailed}
	}
	return nil
}

func verdict(path string, file *site.File, v validity) string {
	if len(v.Faults) > 0 {
		return fmt.Sprintf("%s: %s", path, count(len(v.Faults), "fault"))
	}
	resources, conditions := 0, 0
	for i := range file.Sites {
		resources += len(file.Sites[i].Resources)
		for j := range file.Sites[i].Resources {
			conditions += len(file.Sites[i].Resources[j].Conditions)
		}
	}
	s := fmt.Sprintf("%s: valid: %s, %s, %s", path, count(len(file.Sites), "site"), count(resources, "resource"), count(conditions, "condition"))
	if n := len(v.Warnings); n > 0 {
		s += ", " + count(n, "warning")
	}
	return s
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func printFaults(w io.Writer, text []string, faults []site.Fault, kind string) {
	for _, f := range faults {
		place := f.File
		if f.Line > 0 {
			place = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
		}
		what := f.Problem
		if f.Path != "" {
			what = f.Path + ": " + what
		}
		_, _ = fmt.Fprintf(w, "%s: %s: %s\n", place, kind, what)
		printExcerpt(w, text, f.Path, f.Line, f.Column)
		if f.Remedy != "" {
			_, _ = fmt.Fprintf(w, "      = %s\n", f.Remedy)
		}
	}
}
