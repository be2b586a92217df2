package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/grpclog"

	"github.com/umagate/umagate/controlplane/site"
)

// The values of --log-format.
const (
	logText = "text"
	logJSON = "json"
)

// logFlags are those of the commands that run until they are stopped.
type logFlags struct {
	format, level string
	verbose, json bool
}

func (f *logFlags) register(cmd *cobra.Command) {
	f.format, f.level = logText, "info"
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "the same as --log-level debug")
	cmd.Flags().Var(&choice[string]{&f.format, "NAME", []string{logText, logJSON}}, "log-format", "how to log: text or json, one event a line")
	cmd.Flags().Var(&choice[string]{&f.level, "NAME", []string{"debug", "info", "warn", "error"}}, "log-level", "the least that is logged: debug, info, warn or error")
	cmd.Flags().BoolVar(&f.json, "log-json", false, "the same as --log-format json")
}

func (f *logFlags) logger(env Environment) *slog.Logger {
	if f.json {
		f.format = logJSON
	}
	if f.verbose {
		f.level = "debug"
	}
	logger := newLogger(env.Stderr, f.level, f.format)
	if env.Logs != nil {
		env.Logs(logger)
	}
	return logger
}

// wantsJSON reports whether a command line asks for a log of JSON, whatever else is
// wrong with it.
func wantsJSON(args []string) bool {
	for i, a := range args {
		if a == "--" {
			return false
		}
		if a == "--log-format="+logJSON || a == "--log-json" || a == "--log-json=true" || a == "--log-format" && slices.Contains(args[i+1:min(i+2, len(args))], logJSON) {
			return true
		}
	}
	return false
}

func newLogger(w io.Writer, level, format string) *slog.Logger {
	var least slog.Level
	_ = least.UnmarshalText([]byte(level)) // one of the flag's choices
	options := &slog.HandlerOptions{Level: least}
	if format == logJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// logFaults logs the faults of a file, one event each.
func logFaults(log func(message string, args ...any), faults []site.Fault) {
	for _, f := range faults {
		log("fault in the configuration", slog.String("problem", f.Problem), slog.String("file", f.File), slog.Int("line", f.Line), slog.Int("column", f.Column),
			slog.String("path", f.Path), slog.String("remedy", f.Remedy))
	}
}

// CaptureLogs has what libraries log of their own accord logged by logger: Go's log, which
// net/http tells of failed handshakes and of panics, and gRPC's. It is for the whole
// process.
func CaptureLogs(logger *slog.Logger) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(logger)
	grpclog.SetLoggerV2(grpcLogger{logger})
}

// grpcLogger logs what gRPC has to tell. What it calls information is for debugging.
type grpcLogger struct{ logger *slog.Logger }

func (g grpcLogger) log(level slog.Level, text string) {
	g.logger.Log(context.Background(), level, "grpc", slog.String("text", strings.TrimSuffix(text, "\n")))
}

func (g grpcLogger) Info(args ...any)   { g.log(slog.LevelDebug, fmt.Sprint(args...)) }
func (g grpcLogger) Infoln(args ...any) { g.log(slog.LevelDebug, fmt.Sprintln(args...)) }

func (g grpcLogger) Infof(f string, args ...any)    { g.log(slog.LevelDebug, fmt.Sprintf(f, args...)) }
func (g grpcLogger) Warning(args ...any)            { g.log(slog.LevelWarn, fmt.Sprint(args...)) }
func (g grpcLogger) Warningln(args ...any)          { g.log(slog.LevelWarn, fmt.Sprintln(args...)) }
func (g grpcLogger) Warningf(f string, args ...any) { g.log(slog.LevelWarn, fmt.Sprintf(f, args...)) }
func (g grpcLogger) Error(args ...any)              { g.log(slog.LevelError, fmt.Sprint(args...)) }
func (g grpcLogger) Errorln(args ...any)            { g.log(slog.LevelError, fmt.Sprintln(args...)) }

func (g grpcLogger) Errorf(f string, args ...any) { g.log(slog.LevelError, fmt.Sprintf(f, args...)) }
func (g grpcLogger) Fatal(args ...any)            { g.log(slog.LevelError, fmt.Sprint(args...)) }
func (g grpcLogger) Fatalln(args ...any)          { g.log(slog.LevelError, fmt.Sprintln(args...)) }

func (g grpcLogger) Fatalf(f string, args ...any) { g.log(slog.LevelError, fmt.Sprintf(f, args...)) }

// V reports whether details are wanted.
func (g grpcLogger) V(int) bool { return false }
