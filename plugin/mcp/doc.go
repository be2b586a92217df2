// Package mcp reads one message of the Model Context Protocol, as the body of a POST to a
// streamable-HTTP server, so that whoever reads it after this package reads the same.
//
// JSON-RPC leaves much to its readers: which of two members of one name counts, whether
// "Method" is "method" (Go's encoding/json takes it), what comes after the value, what a text
// in UTF-16 means. [Read] takes what all of them read alike, and refuses the rest with a
// [Problem]. It does not look at what a tool's arguments are. [List.Filter] reads what a server
// lists in the same way.
//
// It has no state, and what it returns does not refer to the body.
package mcp
