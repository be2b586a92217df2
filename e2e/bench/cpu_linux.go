package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what a process has used, of user and system time, in all its threads,
// those that have ended included. It is the clock behind utime and stime of
// /proc/PID/stat, which counts in steps of 10 ms; this one counts in nanoseconds
// (clock_getcpuclockid(3)).
func cpuTime(pid int) (time.Duration, error) {
	const perProcess = 2                 // CPUCLOCK_SCHED of the kernel's posix-timers.h
	clock := int32(^pid)<<3 | perProcess //nolint:gosec // a pid has 22 bits
	var t unix.Timespec
	if err := unix.ClockGettime(clock, &t); err != nil {
		return 0, fmt.Errorf("the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// memory is the resident set of a process in bytes.
func memory(pid int) (int, error) {
	return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
}

// cpuModel is what /proc/cpuinfo calls the processor.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// field reads "Name:  123 kB" and returns bytes.
func field(path, name string) (int, error) {
	text, err := os.ReadFile(path) //nolint:gosec // a path of /proc
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", name, err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kilobytes, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				return 0, fmt.Errorf("reading %s in %s: %w", name, path, err)
			}
			return kilobytes << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no %s", path, name)
}
