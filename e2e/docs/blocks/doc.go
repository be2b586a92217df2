// Package blocks runs what the documents tell a reader to run.
//
// Each document is followed from its first line to its last, in a folder of its own.
// A yaml block is validated, and is the umagate.yaml of the sh blocks below it. These
// run in bash, beside a development authorization server and a control plane. A
// block of another kind fails the test, and so does a command that is not known here.
package blocks
