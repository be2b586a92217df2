// Package loopback waits for the redirect with which a browser comes back to a
// program on the same machine (RFC 8252 section 7.3).
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrNoAnswer is wrapped when the browser does not come back, and when nothing can
// be listened to.
var ErrNoAnswer = errors.New("no answer came back to the loopback address")

// Path is the redirect's path where the caller has no other.
const Path = "/callback"

// Listener waits for redirects. Close it when done.
type Listener struct {
	address string
	server  *http.Server
	queries chan url.Values
	done    chan struct{}
}

// IsHost reports whether a host, without its port, is this machine and nobody else.
func IsHost(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// Listen listens at HOST:PORT; at a free port of 127.0.0.1 when that is empty.
func Listen(ctx context.Context, at string) (*Listener, error) {
	if at == "" {
		at = "127.0.0.1:0"
	}
	return listen(ctx, at, "", Path)
}

// ListenFor listens for the answers to a redirect URI, at a free port where it has
// none. The address keeps its host: an AS compares it.
func ListenFor(ctx context.Context, redirectURI string) (*Listener, error) {
	u, err := url.Parse(redirectURI)
	if err != nil || u.Scheme != "http" || u.Path == "" {
		return nil, fmt.Errorf("%w: %q is not an http address with a path", ErrNoAnswer, redirectURI)
	}
	port := u.Port()
	if port == "" {
		port = "0"
	}
	return listen(ctx, net.JoinHostPort(u.Hostname(), port), u.Hostname(), u.EscapedPath())
}

func listen(ctx context.Context, at, name, path string) (*Listener, error) {
	host, _, err := net.SplitHostPort(at)
	if err != nil || !IsHost(host) {
		return nil, fmt.Errorf("%w: %q is not HOST:PORT of loopback", ErrNoAnswer, at)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoAnswer, err)
	}
	reached := listener.Addr().String()
	if _, port, err := net.SplitHostPort(reached); err == nil && name != "" {
		reached = net.JoinHostPort(name, port)
	}
	l := &Listener{
		address: "http://" + reached + path,
		queries: make(chan url.Values),
		done:    make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, l.serve)
	const headerTimeout = 5 * time.Second
	l.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(listener) // ends with Close
	}()
	return l, nil
}

// Address is where the browser has to come back to.
func (l *Listener) Address() string { return l.address }

func (l *Listener) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	select {
	case l.queries <- r.URL.Query():
		_, _ = fmt.Fprintln(w, "You can close this window and go back to the terminal.")
	case <-r.Context().Done():
	}
}

// Wait returns the query of the redirect that has the state. Others are ignored:
// any page can send a browser here.
func (l *Listener) Wait(ctx context.Context, state string) (url.Values, error) {
	for {
		select {
		case q := <-l.queries:
			if q.Get("state") == state {
				return q, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrNoAnswer, ctx.Err())
		}
	}
}

// Close ends the server and waits for it.
func (l *Listener) Close() {
	const grace = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := l.server.Shutdown(ctx); err != nil {
		_ = l.server.Close()
	}
	<-l.done
}
