package xds

import (
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/config"
)

// Module is the filter's module that an Envoy runs, as it says itself.
type Module struct {
	// Build tells it from others.
	Build string `json:"build"`
	// Level is what it can read: [config.Level].
	Level int `json:"level"`
}

// starts is the operation of a count of a module's starts. No call has it.
const starts = "module_starts"

// modulePrefix is how Envoy names the filter's counters of starts.
const modulePrefix = "wasmcustom." + config.BuildMark

// startOf takes the name of such a counter apart.
func startOf(name string) (key countKey, ok bool) {
	rest, begins := strings.CutPrefix(name, modulePrefix)
	rest, ends := strings.CutSuffix(rest, config.StartsSuffix)
	build, level, two := strings.Cut(rest, config.LevelMark)
	_, err := strconv.ParseUint(build, 16, 64)
	_, err2 := strconv.ParseUint(level, 10, 8)
	ok = begins && ends && two && len(build) == config.BuildSize && err == nil && err2 == nil
	return countKey{site: build, operation: starts, outcome: level}, ok
}

// noteModule finds the module that started last. An Envoy that is told of another one
// keeps the counts of the one before: of two, it is known once one of them grows.
func (r *reports) noteModule(counts map[countKey]uint64, first bool) {
	var started []countKey
	for key, n := range counts {
		if key.operation == starts && (first || n > r.counts[key]) {
			started = append(started, key)
		}
	}
	switch {
	case len(started) == 1:
		level, err := strconv.Atoi(started[0].outcome)
		if err == nil {
			r.module = &Module{Build: started[0].site, Level: level}
		}
	case len(started) > 1:
		r.module = &Module{}
	}
}
