// Package oxd serves the protocol of Gluu's oxd 3.x, for applications that were
// written for it: over HTTP (http.go) and over the TCP socket with its length
// prefix (socket.go, frame.go).
//
// [Server.Handle] is what both transports call. It finds the command in the table
// (command.go), decodes its parameters, loads the [RP] that oxd_id names, has the
// protection token checked (admission.go) and runs the command. Every answer is an
// envelope (envelope.go); every failure has a code of oxd's (error.go).
//
// The commands belong to owners, each with its own state beside the RPs (rp.go, rpclient.go):
//
//	admission     protection tokens (admission.go, clienttoken.go, own.go, introspect.go)
//	registration  clients at OPs (register.go, update.go, setup.go)
//	logins        persons and their tokens (authorize.go, token.go, userinfo.go, logout.go)
//	resources     what RPs protect (uma_resources.go, uma_protect.go, uma_access.go, uma_introspect.go)
//	tickets       RPTs (uma_client.go)
//
// The words of oxd stay inside this package: a "site" of oxd is an [RP] here,
// since a site is a resource server elsewhere in umagate.
//
// ID tokens and userinfo are left to go-oidc; discovery, registration, tokens
// and client authentication to package as. An OP is asked only when umagate.yaml
// lists it (op.go): op_host comes from whoever reaches the port.
package oxd
