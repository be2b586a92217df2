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
	none, _ := env.LookupEnv("NO_COLOR")
	kind, _ := env.LookupEnv("TERM")
	return paint{on: none == "" && kind != "dumb" && isTerminal(to)}
}

// isTerminal reports whether a stream of the [Environment] is one.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
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
