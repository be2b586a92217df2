package wasmhost

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// lingerTime is how long the rest of a body is read after a local reply, so that
// the client reads the reply before the connection is closed on it.
const lingerTime = 500 * time.Millisecond

// prefetch reads an HTTP/1 request body ahead of its use, up to a limit, as Envoy
// does while a stream is paused. Without it net/http would not see a client hang up
// that has sent a body.
type prefetch struct {
	source io.ReadCloser
	limit  int

	mu      sync.Mutex
	changed sync.Cond
	data    []byte
	err     error
	stopped bool
	ended   chan struct{}
}

// startPrefetch reads source until its end, an error or stop. hangUp is called when
// the client breaks off.
func startPrefetch(source io.ReadCloser, limit int, hangUp context.CancelFunc) *prefetch {
	p := &prefetch{source: source, limit: limit, ended: make(chan struct{})}
	p.changed.L = &p.mu
	go p.run(hangUp)
	return p
}

func (p *prefetch) run(hangUp context.CancelFunc) {
	defer close(p.ended)
	buf := make([]byte, 32<<10)
	for {
		n, err := p.source.Read(buf)
		p.mu.Lock()
		p.data = append(p.data, buf[:n]...)
		p.err = err
		p.changed.Broadcast()
		for !p.stopped && len(p.data) >= p.limit && err == nil {
			p.changed.Wait()
		}
		stop := p.stopped
		p.mu.Unlock()
		if err != nil && !errors.Is(err, io.EOF) && !stop {
			hangUp()
		}
		if err != nil || stop {
			return
		}
	}
}

// Read implements io.Reader.
func (p *prefetch) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.data) == 0 && p.err == nil && !p.stopped {
		p.changed.Wait()
	}
	if len(p.data) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		return 0, errStreamOver
	}
	n := copy(b, p.data)
	p.data = p.data[n:]
	p.changed.Broadcast()
	if len(p.data) == 0 && errors.Is(p.err, io.EOF) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer; the source is closed by its server.
func (p *prefetch) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.changed.Broadcast()
	return nil
}

// finish ends the reading before the handler returns. A body that is left unread
// is read to its end first: net/http would do so itself, and then start a second
// read of the connection that a request after this one runs into.
func (p *prefetch) finish(rw http.ResponseWriter) {
	_ = p.Close()
	rc := http.NewResponseController(rw)
	select {
	case <-p.ended:
		if p.err != nil {
			return
		}
	default:
	}
	if rc.Flush() != nil || rc.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return // the reader ends with the connection
	}
	<-p.ended
	if p.err == nil {
		_, p.err = io.Copy(io.Discard, p.source)
	}
	if p.err == nil || errors.Is(p.err, io.EOF) {
		_ = rc.SetReadDeadline(time.Time{})
	}
}
