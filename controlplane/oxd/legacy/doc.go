// Package legacy reads what an oxd-server leaves behind: its configuration, and its
// RP entries as JSON (bin/lsox.sh prints them). "umagate import oxd" is its caller.
//
// [Read] reads a folder (read.go, configuration.go, entry.go), [Found.WriteTo] prints
// the oxd section of umagate.yaml (write.go), [Found.Keep] puts the RPs into a store
// (keep.go). What cannot be carried over is a [Note]. No secret is printed.
package legacy
