package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	to    io.Writer
	name  string
	shown time.Time
}

const barEvery = 100 * time.Millisecond

func newBar(env Environment, name string) *bar {
	if !isTerminal(env.Stderr) {
		return &bar{}
	}
	return &bar{to: env.Stderr, name: name}
}

// show is called one call at a time.
func (b *bar) show(done, total int) {
	if b.to == nil || done < total && time.Since(b.shown) < barEvery {
		return
	}
	b.shown = time.Now()
	const width = 30
	full := width * done / total
	_, _ = fmt.Fprintf(b.to, "\r%s [%s%s] %d/%d", b.name, strings.Repeat("=", full), strings.Repeat(" ", width-full), done, total)
}

func (b *bar) end() {
	if b.to != nil && !b.shown.IsZero() {
		_, _ = fmt.Fprintln(b.to)
	}
}
