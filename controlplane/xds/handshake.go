package xds

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"

	"google.golang.org/grpc/credentials"
)

// handshakes are those of Envoys that connect. One in which a side refuses the other's
// certificate is noted: that Envoy gets nothing, and nobody else sees it.
type handshakes struct {
	credentials.TransportCredentials

	fleet *fleet
}

// ServerHandshake implements [credentials.TransportCredentials].
func (h handshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil && refusesCertificate(err) {
		h.fleet.notLetIn(raw.RemoteAddr(), err)
	}
	return conn, info, err
}

// Clone implements [credentials.TransportCredentials].
func (h handshakes) Clone() credentials.TransportCredentials {
	return handshakes{h.TransportCredentials.Clone(), h.fleet}
}

// refusesCertificate reports whether a handshake failed since this side does not take the
// other's certificate, or the other says why it ends: it does not take this one's. Who
// only knocks, as a load balancer does, says nothing.
func refusesCertificate(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	said, ok := errors.AsType[*net.OpError](err)
	return ok && said.Op == "remote error"
}

// notLetIn notes who was not let in. Who it is, it has not come to say.
func (f *fleet) notLetIn(address net.Addr, reason error) {
	host := hostOf(address.String())
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.registry
	text := clip(reason.Error())
	key := awayKey(host, []string{text})
	t := r.away[key]
	if t == nil {
		if r.sweep(); len(r.away) >= maxAway {
			return
		}
		t = &Rejected{Address: host, Reason: text, Since: r.now()}
		r.away[key] = t
		r.logger.Error("who connects to listen.xds is not let in by its certificate, or does not take this one's", slog.String("address", host), slog.String("error", text))
	}
	t.Last = r.now()
	t.Attempts++
}

// letIn forgets who was not let in from the address of one who is.
func (r *registry) letIn(address string) {
	host := hostOf(address)
	maps.DeleteFunc(r.away, func(_ string, t *Rejected) bool { return t.Reason != "" && t.Address == host })
}

func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	return address
}
