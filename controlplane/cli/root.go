package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/module"
)

// The exit codes.
const (
	ExitOK      = 0
	ExitFailed  = 1
	ExitChanges = 2
	ExitDenied  = 3
	ExitUsage   = 64 // EX_USAGE of sysexits.h
	// ExitPanic is that of Go itself.
	ExitPanic = 2
	// ExitInterrupted is what a shell says of SIGINT.
	ExitInterrupted = 130
)

// Environment is what a command sees of the process it runs in.
type Environment struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// LookupEnv is [os.LookupEnv], also when nil.
	LookupEnv func(string) (string, bool)
	// Transport carries HTTP calls; http.DefaultTransport when nil.
	Transport http.RoundTripper
	// OpenBrowser shows a page to the user; nil prints its address only.
	OpenBrowser func(ctx context.Context, url string) error
	// Program is how the user called it, "umagate" when empty.
	Program string
	// Executable is [os.Executable]: the module is looked for beside it. Without it,
	// there is none.
	Executable func() (string, error)
	// Logs is given the logger of serve or agent, for what libraries log; may be nil.
	Logs func(*slog.Logger)

	// log is where everything goes that is no result, with --log-format json; or else nil.
	log *slog.Logger
}

func (e Environment) program() string { return cmp.Or(e.Program, "umagate") }

// module finds the filter's module that came with this program.
func (e Environment) module() (module.Module, error) {
	if e.Executable == nil {
		return module.Module{}, module.ErrNotFound
	}
	program, err := e.Executable()
	if err != nil {
		return module.Module{}, fmt.Errorf("where this program is: %w", err)
	}
	return module.Find(program)
}

// Run executes the command line and returns the process's exit code. What went
// wrong is on Stderr.
func Run(ctx context.Context, env Environment, args []string) int {
	return execute(ctx, env, Command, args)
}

func execute(ctx context.Context, env Environment, command func(Environment) *cobra.Command, args []string) (code int) {
	if env.LookupEnv == nil {
		env.LookupEnv = os.LookupEnv
	}
	if wantsJSON(args) {
		env.log = newLogger(env.Stderr, "info", logJSON)
		defer func() {
			if r := recover(); r != nil {
				env.log.Error("panic", slog.Any("error", r), slog.String("stack", string(debug.Stack())))
				code = ExitPanic
			}
		}()
	}
	root := command(env)
	root.SetArgs(args)
	called, err := root.ExecuteContextC(audit.WithActor(ctx, actor()))
	if err == nil {
		return ExitOK
	}
	var exit *exitError
	if !errors.As(err, &exit) {
		// Only cobra itself returns other errors: unknown commands and flags.
		env.complain(called.CommandPath(), err, "See: "+called.CommandPath()+" --help")
		return ExitUsage
	}
	if exit.err != nil {
		env.complain(called.CommandPath(), exit.err, "")
	}
	return exit.code
}

// complain tells why a command failed, and where to read on.
func (e Environment) complain(command string, err error, see string) {
	if e.log != nil {
		e.log.Error("failed", slog.String("command", command), slog.Any("error", err), slog.String("remedy", see))
		return
	}
	if see != "" {
		see += "\n"
	}
	_, _ = fmt.Fprintf(e.Stderr, "%s: %v\n%s", command, err, see)
}

// actor is who changes something by a command, for the audit log.
func actor() audit.Actor {
	a := audit.Actor{Kind: audit.KindCommand, Name: "uid " + strconv.Itoa(os.Getuid())}
	if u, err := user.Current(); err == nil {
		a.Name = u.Username
	}
	return a
}

// Command is the whole command line. [Run] executes it; mangen writes its man pages.
func Command(env Environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "umagate",
		Short: "UMA 2.0 for any API behind Envoy or Istio",
		Long: `umagate puts UMA 2.0 in front of any API that Envoy or Istio carries.

Exit codes: 0 done, 1 failed, 2 done and something would change (plan), 3 done and the
answer is no, 64 wrong usage, 130 interrupted (demo).`,
		Example: `  umagate demo
  umagate validate -c umagate.yaml
  umagate render envoy -c umagate.yaml --out envoy.yaml
  umagate rpt --client app --user alice https://photos.example.com/albums/1`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	version := root.Flags().Bool("version", false, "print which umagate this is")
	root.RunE = run(func(context.Context, []string) error {
		if *version {
			return printVersion(env, outputText)
		}
		return root.Help()
	})
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.AddCommand(
		newValidate(env),
		newCheck(env),
		newPlan(env),
		newApply(env),
		newBackup(env),
		newRestore(env),
		newRekey(env),
		newDeregister(env),
		newLogin(env),
		newKeys(env),
		newImport(env),
		newRender(env),
		newRPT(env),
		newRevoke(env),
		newServe(env),
		newAgent(env),
		newStatus(env),
		newAcknowledge(env),
		newRefresh(env),
		newAudit(env),
		newDemo(env),
		newVersion(env),
	)
	return root
}

// exitError ends the process with a code. A nil err means that everything has
// been said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// run adapts a command's function, whose errors mean exit code 1 unless they say
// otherwise.
func run(f func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		err := f(cmd.Context(), args)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		return &exitError{code: ExitFailed, err: err}
	}
}
