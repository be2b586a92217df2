// Package as is the client of an authorization server (AS): discovery, client
// registration, PAT, protection API and introspection.
//
// A [Client] knows an issuer. [Client.Discover] makes a [Server] of it, the AS as
// its metadata and its [Dialect] describe it; [Client.Known] makes the same from
// what an earlier discovery stored, for a start while the AS is down. Everything
// else is a method of Server, or of [Protection], which adds the PAT.
//
// What real ASs do otherwise than the specifications is in the dialect table
// (dialect.go, dialects.go), as data; the code that reads it names no product.
//
// Every failure is an [*Error] that names the operation, the endpoint, the
// status and the AS's own code and words, and that unwraps to one of the
// sentinels of errors.go. Answers are read through a limit of 1 MiB, no redirect
// is followed but that of a discovery document within the AS's own origin, and no
// message holds a secret that the call sent.
//
// Sources: UMA 2.0 Grant and Federated Authorization (Kantara), RFC 6749, 7591,
// 7592, 7662, 8414, OpenID Connect Discovery 1.0.
package as
