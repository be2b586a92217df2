package config

import (
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Path is where, such as "sites[0].resources[2].conditions[1].paths[0]".
	Path string
	// Problem is what is wrong and what to write instead.
	Problem string
}

// String returns the fault as one line.
func (f Fault) String() string {
	if f.Path == "" {
		return f.Problem
	}
	return f.Path + ": " + f.Problem
}

// Faults is an error that has every fault of a configuration.
type Faults []Fault //nolint:errname // it is a list, and reads as one

// maxShown bounds the length of the message; a document can be wrong in
// thousands of places for one reason.
const maxShown = 20

// Error implements error, one fault a line.
func (f Faults) Error() string {
	var b strings.Builder
	for i, fault := range f {
		if i == maxShown {
			b.WriteString("\n… and " + strconv.Itoa(len(f)-i) + " more")
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	return b.String()
}

// Add records a fault.
func (f *Faults) Add(path, problem string) { *f = append(*f, Fault{path, problem}) }

// Err returns f as an error, or nil when there is no fault.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Index returns the path of an element of a list.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
