package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/site"
)

// fileFlags are the flags of every command that reads umagate.yaml, and the --output of
// those that have one.
type fileFlags struct {
	// sitesElsewhere: others bring sites, and the file may have none.
	sitesElsewhere bool

	path string
	form output
}

// register adds the flags: --output with these choices, if there are any.
func (f *fileFlags) register(cmd *cobra.Command, forms ...output) {
	if len(forms) > 0 {
		outputFlag(cmd, &f.form, forms...)
	}
	cmd.Flags().StringVarP(&f.path, "config", "c", "umagate.yaml", "the configuration `FILE`")
	_ = cmd.MarkFlagFilename("config", "yaml", "yml")
}

// environment is where secrets of the file come from.
func (f *fileFlags) environment(env Environment) site.Environment {
	e := site.OSEnvironment(filepath.Dir(f.path))
	e.LookupEnv, e.SitesElsewhere = env.LookupEnv, f.sitesElsewhere
	return e
}

// load reads the file; its faults are printed with what they are about, its
// warnings too.
func (f *fileFlags) load(env Environment) (*site.File, error) {
	file, err := site.LoadIn(f.path, f.environment(env))
	if err != nil {
		faults := site.Faults(err)
		if len(faults) == 0 {
			return nil, err
		}
		f.tell(env, faults, slog.LevelError)
		return nil, &exitError{code: ExitFailed, err: fmt.Errorf("%s has %s", f.path, count(len(faults), "fault"))}
	}
	f.tell(env, file.Warnings, slog.LevelWarn)
	return file, nil
}

// tell prints or logs what is wrong with the file.
func (f *fileFlags) tell(env Environment, faults []site.Fault, level slog.Level) {
	kind := "warning"
	if level == slog.LevelError {
		kind = "error"
	}
	if env.log != nil {
		log := env.log.Warn
		if level == slog.LevelError {
			log = env.log.Error
		}
		logFaults(log, faults)
		return
	}
	printFaults(env.Stderr, source(f.path), faults, kind)
}

// withFile adapts a command's function that needs the file.
func (f *fileFlags) withFile(env Environment, do func(ctx context.Context, file *site.File, args []string) error) func(*cobra.Command, []string) error {
	return run(func(ctx context.Context, args []string) error {
		file, err := f.load(env)
		if err != nil {
			return err
		}
		return do(ctx, file, args)
	})
}

func newValidate(env Environment) *cobra.Command {
	var (
		flags       fileFlags
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
			return reportValidity(env, flags, strict, file, err)
		}),
	}
	flags.register(cmd, outputText, outputJSON)
	cmd.Flags().BoolVar(&skipSecrets, "skip-secrets", false, "accept secrets whose variable or file is missing here")
	cmd.Flags().BoolVar(&strict, "strict", false, "treat warnings as faults")
	return cmd
}

type validity struct {
	Valid    bool         `json:"valid"`
	Faults   []site.Fault `json:"faults"`
	Warnings []site.Fault `json:"warnings"`
}

func reportValidity(env Environment, flags fileFlags, strict bool, file *site.File, err error) error {
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
	if result.Faults == nil {
		result.Faults = []site.Fault{}
	}
	err = flags.form.show(env, result, func(p *page) {
		text := source(flags.path)
		printFaults(p, text, result.Faults, "error")
		printFaults(p, text, result.Warnings, "warning")
		p.printf("%s\n", verdict(flags.path, file, result))
	})
	if err == nil && !result.Valid {
		return &exitError{code: ExitFailed}
	}
	return err
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
	var elsewhere []string
	for i := range file.Sites {
		if file.Sites[i].ResourcesAtAS != nil {
			elsewhere = append(elsewhere, file.Sites[i].Name)
		}
	}
	if len(elsewhere) > 0 {
		s += ", and what the authorization server keeps of " + strings.Join(elsewhere, ", ") + " (umagate plan shows it)"
	}
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
