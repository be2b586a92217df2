// Package cli is the command line of umagate. Each command is in a file of its
// own; root.go joins them, and [Run] is what package main calls.
//
// Exit codes, the same for every command: 0 done; 1 failed; 2 done, and something
// would change (plan); 3 done, and the answer is no (denied); 64 the command line
// itself is wrong; 130 interrupted (demo).
//
// A command writes its result to Stdout and everything else to Stderr, so that
// the result can be piped. With --output json the result is one JSON document.
package cli
