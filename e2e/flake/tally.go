package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is a line of "go tool test2json".
type event struct {
	Action, Package, Test, Output string
}

// test names a test; Name is empty for the package as a whole.
type test struct{ Package, Name string }

func (t test) String() string {
	return strings.TrimSuffix(t.Package+" "+t.Name, " ")
}

// tally is what came of each test, over all runs.
type tally struct {
	runs     map[string]int // of a package
	outcomes map[test]map[string]int
}

func newTally() *tally {
	return &tally{runs: map[string]int{}, outcomes: map[test]map[string]int{}}
}

// add counts one run of a package, as test2json prints it, and returns what the
// tests that failed have printed. It is empty when none has.
func (t *tally) add(pkg string, events io.Reader) (failures string, err error) {
	t.runs[pkg]++
	printed := map[string]*strings.Builder{}
	var failed []string
	ended := false
	lines := bufio.NewReader(events)
	for {
		line, readErr := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if err := json.Unmarshal(line, &e); err != nil {
				return "", fmt.Errorf("%s: not an event of test2json: %q: %w", pkg, line, err)
			}
			switch e.Action {
			case "output":
				if printed[e.Test] == nil {
					printed[e.Test] = &strings.Builder{}
				}
				printed[e.Test].WriteString(e.Output)
			case "pass", "fail", "skip":
				t.count(test{pkg, e.Test}, e.Action)
				ended = ended || e.Test == ""
				if e.Action == "fail" {
					failed = append(failed, e.Test)
				}
			}
		}
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return "", readErr
		}
	}
	if !ended {
		t.count(test{pkg, ""}, "fail") // it was killed, or ended itself
		failed = append(failed, "")
	}
	var out strings.Builder
	for _, name := range failed {
		if text := printed[name]; text != nil {
			fmt.Fprintf(&out, "--- %s\n%s", test{pkg, name}, text)
		}
	}
	return out.String(), nil
}

func (t *tally) count(of test, outcome string) {
	if t.outcomes[of] == nil {
		t.outcomes[of] = map[string]int{}
	}
	t.outcomes[of][outcome]++
}

// suspects lists, in order, the tests that failed, whose outcome differed, or that
// were there in some runs only, each with its outcomes.
func (t *tally) suspects() []string {
	var found []string
	for of, outcomes := range t.outcomes {
		total := 0
		for _, n := range outcomes {
			total += n
		}
		if len(outcomes) == 1 && outcomes["fail"] == 0 && total == t.runs[of.Package] {
			continue
		}
		var parts []string
		for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
			parts = append(parts, fmt.Sprintf("%s %d", outcome, outcomes[outcome]))
		}
		if missing := t.runs[of.Package] - total; missing > 0 {
			parts = append(parts, fmt.Sprintf("not run %d", missing))
		}
		found = append(found, fmt.Sprintf("%s: %s", of, strings.Join(parts, ", ")))
	}
	slices.Sort(found)
	return found
}

// counts returns how many tests were run, subtests included, and how many of them
// passed each time.
func (t *tally) counts() (tests, steady int) {
	for of, outcomes := range t.outcomes {
		if of.Name == "" {
			continue
		}
		tests++
		if len(outcomes) == 1 && outcomes["pass"] == t.runs[of.Package] {
			steady++
		}
	}
	return tests, steady
}
