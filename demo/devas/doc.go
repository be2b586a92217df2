// Package devas is an Authorization Server for development and tests: OpenID
// Connect and UMA 2.0, in process, in memory, on loopback.
//
// It does what a real one does. Tokens are random or signed, tickets are used
// once, policies are evaluated, PKCE and client assertions are verified. What a
// test may want otherwise is asked for by name: a [Dialect] (how a product
// departs from the specifications), a [Fault] (what goes wrong, where and how
// often) or an action such as [Server.RotateKeys]. A recorder counts the calls of
// each endpoint.
//
//	as, err := devas.New(devas.Options{Users: []devas.User{{Name: "alice", Password: "alice"}}})
//	stop, err := as.Start(ctx) // as.Issuer() is now http://127.0.0.1:<port>
//	defer stop()
//
// Sources: OpenID Connect Core and Discovery 1.0, RP-Initiated Logout 1.0; RFC
// 6749, 6750, 7009, 7521, 7523, 7591, 7592, 7636, 7662, 8414; UMA 2.0 Grant and
// UMA 2.0 Federated Authorization (Kantara).
//
// Files: server.go routes and listens; options.go and dialect.go are what a user
// sets; state.go is everything that is remembered; policy.go decides; each
// endpoint has a file of its own.
//
// It keeps everything in memory and its admin API asks for no password: it is no
// server for production.
package devas
