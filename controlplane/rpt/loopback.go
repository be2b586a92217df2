package rpt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// ErrLoopback is wrapped when the browser does not come back.
var ErrLoopback = errors.New("no answer came back to the loopback address")

// loopback waits for one redirect of a browser (RFC 8252 section 7.3).
type loopback struct {
	address string
	server  *http.Server
	queries chan url.Values
	done    chan struct{}
}

// callbackPath is the redirect's path; the port is any (RFC 8252 section 7.3).
const callbackPath = "/callback"

func listenLoopback(ctx context.Context, at string) (*loopback, error) {
	if at == "" {
		at = "127.0.0.1:0"
	}
	host, _, err := net.SplitHostPort(at)
	if ip := net.ParseIP(host); err != nil || (host != "localhost" && (ip == nil || !ip.IsLoopback())) {
		return nil, fmt.Errorf("%w: %q is not HOST:PORT of loopback", ErrLoopback, at)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLoopback, err)
	}
	l := &loopback{
		address: "http://" + listener.Addr().String() + callbackPath,
		queries: make(chan url.Values),
		done:    make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+callbackPath, l.serve)
	const headerTimeout = 5 * time.Second
	l.server = &http.Server{Handler: mux, ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(listener) // ends with close
	}()
	return l, nil
}

func (l *loopback) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	select {
	case l.queries <- r.URL.Query():
		_, _ = fmt.Fprintln(w, "Done. You can close this window and go back to the terminal.")
	case <-r.Context().Done():
	}
}

// wait returns the query of the redirect that has the state.
func (l *loopback) wait(ctx context.Context, state string) (url.Values, error) {
	for {
		select {
		case q := <-l.queries:
			if q.Get("state") == state {
				return q, nil
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrLoopback, ctx.Err())
		}
	}
}

// close ends the server and waits for it.
func (l *loopback) close() {
	const grace = time.Second
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	if err := l.server.Shutdown(ctx); err != nil {
		_ = l.server.Close()
	}
	<-l.done
}

// GatherClaims makes a [Flow]'s Gather: it shows the AS's address, with a loopback
// address to come back to, and waits for the new ticket (UMA Grant section 3.3.3).
func GatherClaims(at string, show func(ctx context.Context, address string) error) func(context.Context, *url.URL) (string, error) {
	return func(ctx context.Context, redirectUser *url.URL) (string, error) {
		back, err := listenLoopback(ctx, at)
		if err != nil {
			return "", err
		}
		defer back.close() //nolint:contextcheck // it ends after the caller's context
		state := randomText()
		u := *redirectUser
		q := u.Query()
		q.Set("claims_redirect_uri", back.address)
		q.Set("state", state)
		u.RawQuery = q.Encode()
		if err := show(ctx, u.String()); err != nil {
			return "", err
		}
		got, err := back.wait(ctx, state)
		if err != nil {
			return "", err
		}
		if got.Get("ticket") == "" {
			return "", fmt.Errorf("%w: the claims gathering ended with %s", ErrDenied, clip(got.Get("error")))
		}
		return got.Get("ticket"), nil
	}
}
