// Package port reserves an address for a server that goes away and comes back.
//
// The system gives a port that nobody listens on to whoever asks next, also as the
// local end of a connection. A server that is to come back at its address, because
// others know it by that, then finds it taken.
package port

import "io"

// Reserve returns an address, host:port with the port chosen by the system, that
// only a listener which names it can have, until the reservation is closed. host is
// an IP address.
//
// Where the system has no way to reserve, the port is merely free: another may be
// faster.
func Reserve(host string) (address string, reservation io.Closer, err error) { return reserve(host) }
