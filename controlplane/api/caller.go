package api

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/umagate/umagate/controlplane/audit"
)

// ErrNoCredential says that the request has no credential, or none that is known.
// The two are not told apart to a client.
var ErrNoCredential = errors.New("no credential that is known")

// Caller is who calls.
type Caller struct {
	// Name is the token's or certificate's; empty for nobody known.
	Name string
	// Role is the most that the caller may: Open, Read or Write.
	Role Role
}

// Authenticator finds out who calls. ErrNoCredential says nobody who is known.
type Authenticator interface {
	Authenticate(r *http.Request) (Caller, error)
}

// may reports whether the caller has what an operation needs.
func (c Caller) may(needed Role) bool {
	switch needed {
	case Open:
		return true
	case Read, Probe:
		return c.Role == Read || c.Role == Write
	case Write:
		return c.Role == Write
	default:
		return false
	}
}

type callerKey struct{}

// CallerOf returns who calls, of a context that a handler got.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

func withCaller(r *http.Request, c Caller) context.Context {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	ctx := context.WithValue(r.Context(), callerKey{}, c)
	return audit.WithActor(ctx, audit.Actor{Kind: audit.KindAPI, Name: c.Name, Address: address})
}

// fromLoopback reports whether the peer is this machine.
func fromLoopback(r *http.Request) bool {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}
