package oxd

import (
	"cmp"
	"net"
)

// standing is what a connection has shown of itself, the least first.
type standing int

const (
	// unproven: no command was answered, whatever has come.
	unproven standing = iota
	// answered: with errors alone.
	answered
	// established: a command succeeded.
	established
)

func peerOf(c net.Conn) string {
	host, _, err := net.SplitHostPort(c.RemoteAddr().String())
	if err != nil {
		return c.RemoteAddr().String()
	}
	return host
}

// add makes room for c, and reports whether there is. Who makes room has shown the least of
// itself: connections that only stand there, or send half a command, go before those
// that have worked, so that nobody pushes a working client out by opening more. Among
// equals it is one of the peer that has most of them, and of its the one whose
// last answer is the oldest.
func (k *socket) add(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.conns) >= k.limits.Connections {
		least := k.leastOf()
		if least == nil {
			return false
		}
		delete(k.conns, least)
		_ = least.Close() // its goroutine ends by it
	}
	k.conns[c] = struct{}{}
	return true
}

// leastOf is the connection that makes room; nil when a command of each is under way.
func (k *socket) leastOf() *conn {
	type group struct {
		standing standing
		peer     string
	}
	sizes := map[group]int{}
	for c := range k.conns {
		sizes[group{c.standing, c.peer}]++
	}
	var least *conn
	for c := range k.conns {
		if c.busy {
			continue
		}
		if least == nil || cmp.Or(
			cmp.Compare(c.standing, least.standing),
			cmp.Compare(sizes[group{least.standing, least.peer}], sizes[group{c.standing, c.peer}]),
			c.since.Compare(least.since),
		) < 0 {
			least = c
		}
	}
	return least
}
