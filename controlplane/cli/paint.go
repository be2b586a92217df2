package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// paint colours text on a terminal that wants it (https://no-color.org).
type paint struct{ on bool }

func newPaint(env Environment, to io.Writer) paint {
	lookup := env.LookupEnv
	if lookup == nil {
		lookup = func(string) (string, bool) { return "", false }
	}
	if none, _ := lookup("NO_COLOR"); none != "" {
		return paint{}
	}
	if kind, _ := lookup("TERM"); kind == "dumb" {
		return paint{}
	}
	return paint{on: isTerminalWriter(to)}
}

func isTerminalWriter(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (p paint) code(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) red(s string) string    { return p.code("31", s) }
func (p paint) green(s string) string  { return p.code("32", s) }
func (p paint) yellow(s string) string { return p.code("33", s) }
func (p paint) bold(s string) string   { return p.code("1", s) }
func (p paint) faint(s string) string  { return p.code("2", s) }

// printable quotes what could steer a terminal: names come from the AS, too.
func printable(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// value shows a field's value.
func value(v any) string {
	switch v := v.(type) {
	case []string:
		shown := make([]string, len(v))
		for i, s := range v {
			shown[i] = printable(s)
		}
		return "[" + strings.Join(shown, " ") + "]"
	case string:
		return printable(v)
	default:
		return fmt.Sprintf("%q", v)
	}
}

// errWriter keeps the first error of several writes.
type errWriter struct {
	to  io.Writer
	err error
}

func (w *errWriter) printf(format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.to, format, args...)
	}
}
