package site

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// ErrInvalid is wrapped by what Load and Parse return for a file with faults.
var ErrInvalid = errors.New("invalid configuration")

// Fault is one thing that is wrong in a file, where, and what to do about it. The
// error of [Load] and [Parse] joins all of a file's faults; [Faults] lists them.
type Fault struct { //nolint:errname // it is what a reader of the file calls it
	// File is the name the file was read by.
	File string `json:"file"`
	// Line and Column count from 1; both are 0 when the fault is not at a place.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Path is the place in the document, such as sites[0].hosts[1].
	Path string `json:"path,omitempty"`
	// Problem says what is wrong, Remedy what to do about it.
	Problem string `json:"problem"`
	Remedy  string `json:"remedy,omitempty"`
}

// Error is FILE:LINE:COLUMN: PATH: PROBLEM; REMEDY.
func (f Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", f.Line, f.Column)
	}
	b.WriteString(": ")
	if f.Path != "" {
		b.WriteString(f.Path)
		b.WriteString(": ")
	}
	b.WriteString(f.Problem)
	if f.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(f.Remedy)
	}
	return b.String()
}

// Unwrap makes errors.Is(err, [ErrInvalid]) hold.
func (Fault) Unwrap() error { return ErrInvalid }

// Faults lists every Fault that err joins or wraps, in the order of the file.
func Faults(err error) []Fault {
	if err == nil {
		return nil
	}
	switch e := err.(type) { //nolint:errorlint // the tree is walked by hand, to find all of them
	case Fault:
		return []Fault{e}
	case interface{ Unwrap() []error }:
		var list []Fault
		for _, inner := range e.Unwrap() {
			list = append(list, Faults(inner)...)
		}
		return list
	case interface{ Unwrap() error }:
		return Faults(e.Unwrap())
	default:
		return nil
	}
}

// inOrder sorts faults as they stand in the file.
func inOrder(a, b Fault) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// position is where a value stands in the file.
type position struct{ line, column int }

// positions maps the path of each value to where it stands.
type positions map[string]position

// at returns where the value of that path stands, or its nearest parent.
func (p positions) at(path string) position {
	for {
		if pos, ok := p[path]; ok {
			return pos
		}
		i := strings.LastIndexAny(path, ".[")
		if i < 0 {
			return p[""]
		}
		path = path[:i]
	}
}
