// Package registration keeps what a site has at its authorization server (AS): the
// client that it is, the client's keys, the PAT and the resources.
//
// Four owners look after that, each with a state of its own that nobody else touches,
// and each says when it is due next (worker.go):
//
//	client     the file's, or registered (RFC 7591), renewed and replaced (client.go, register.go, manage.go)
//	keys       made, published, used, taken back (keys.go, keyring.go)
//	pat        by the client or by a person's login, renewed before it ends (pat.go, login.go)
//	resources  at the AS as the file declares them (resources.go)
//
// What they need of each other they are given: the AS's metadata, which discovery.go
// reads, the client, the PAT's source. What others may see is a [Snapshot].
//
// A [Worker] has the owners act in order whenever one is due, as "umagate serve"
// needs it. An [Operation] has them do what somebody asks for once, as "umagate apply"
// does.
//
// A step that fails is tried again, with growing waits, and takes nothing back that
// is known.
package registration
