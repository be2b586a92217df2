package demo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// api is what is protected, with a look at what arrives there.
type api struct {
	address string
	stop    func()

	mu   sync.Mutex
	seen []*http.Request
}

func startAPI(ctx context.Context, address string, handler http.Handler) (*api, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the API: %w", err)
	}
	a := &api{address: l.Addr().String()}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.seen = append(a.seen, r)
		a.mu.Unlock()
		handler.ServeHTTP(rw, r)
	})}
	var joined sync.WaitGroup
	joined.Go(func() { _ = s.Serve(l) })
	a.stop = func() {
		_ = s.Close()
		joined.Wait()
	}
	return a, nil
}

// take returns what has arrived since the last take, and forgets it.
func (a *api) take() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := a.seen
	a.seen = nil
	return seen
}
