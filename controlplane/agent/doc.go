// Package agent keeps what the Envoy beside it was given, for when that Envoy starts
// while the control plane is down.
//
// It subscribes to the control plane as that Envoy, with its node and its certificate,
// to what is good for its group ([xds.LastGood]), and keeps it in a sealed file. It
// gives that to the Envoy by a socket that only its own user can open. Envoy asks there
// when the control plane does not answer as it starts, and goes back to the control
// plane as soon as that answers; see [envoyconf.Dynamic].
//
// The socket is there only while the control plane is away and there is something that
// may be served. Otherwise (the control plane answers; no file, one that is damaged, too
// old, or of another node) Envoy goes on trying the control plane, and is not ready before
// it has an answer.
package agent
