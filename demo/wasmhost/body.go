package wasmhost

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

// errStreamOver is what a body's reader gets when the stream has ended: a local
// reply, a trap, or a client that hung up.
var errStreamOver = errors.New("wasmhost: the stream is over")

// errHungUp is why a stream ends whose client broke off in its body.
var errHungUp = errors.New("wasmhost: the client hung up")

// filteredBody shows a request's body to the filter, piece by piece, and reads as what
// the filter lets pass.
type filteredBody struct {
	ctx      context.Context //nolint:containedctx // io.Reader has no other way
	stream   *stream
	source   io.ReadCloser
	left     int64 // bytes that are to come; -1 unknown
	trailers func() http.Header
	// setTrailers gets the trailers the filter has seen.
	setTrailers func(http.Header)
	buffer      *[]byte
	ready       []byte
	err         error
}

func (b *filteredBody) Read(p []byte) (int, error) {
	for len(b.ready) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.next()
	}
	n := copy(p, b.ready)
	b.ready = b.ready[n:]
	return n, nil
}

// ahead reads until the filter lets something pass, or the end.
func (b *filteredBody) ahead() outcome {
	for len(b.ready) == 0 && b.err == nil {
		b.next()
	}
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return stopped
	}
	return proceed
}

// next reads a piece and shows it.
func (b *filteredBody) next() {
	pool := &b.stream.worker.host.buffers
	if b.buffer == nil {
		b.buffer, _ = pool.Get().(*[]byte)
	}
	n, err := b.source.Read(*b.buffer)
	if b.left >= 0 {
		b.left -= int64(n)
	}
	end := b.left == 0 || errors.Is(err, io.EOF)
	if err != nil && !end {
		b.err = err
		return
	}
	if n == 0 && !end {
		return
	}
	piece := (*b.buffer)[:n]
	hasTrailers := end && len(b.trailers()) > 0
	if n > 0 || !hasTrailers {
		v := b.stream.show(b.ctx, func(ctx context.Context, wait chan verdict) {
			b.stream.showBody(ctx, piece, end && !hasTrailers, wait)
		})
		b.take(v)
	}
	if end && b.err == nil {
		b.finish(hasTrailers)
		if errors.Is(b.err, io.EOF) {
			// Only now does nobody read the buffer any more.
			pool.Put(b.buffer)
			b.buffer = nil
		}
	}
}

// take keeps what the filter let pass.
func (b *filteredBody) take(v verdict) {
	if v.outcome == stopped {
		b.err = errStreamOver
		return
	}
	b.ready = append(b.ready, v.data...)
}

// finish shows the trailers and ends the body.
func (b *filteredBody) finish(hasTrailers bool) {
	b.err = io.EOF
	if !hasTrailers {
		return
	}
	m := &headerMap{}
	m.fromHTTP(b.trailers())
	v := b.stream.show(b.ctx, func(ctx context.Context, wait chan verdict) {
		b.stream.showTrailers(ctx, m, wait)
	})
	if b.take(v); v.outcome != stopped {
		b.setTrailers(m.toHTTP())
	}
}

func (b *filteredBody) Close() error {
	if b.err == nil {
		b.err = errStreamOver
	}
	return b.source.Close()
}

// show posts an event and waits for its verdict. The verdict is "stopped" when the
// client has gone or the host was closed.
func (s *stream) show(ctx context.Context, e func(ctx context.Context, wait chan verdict)) verdict {
	wait := make(chan verdict, 1)
	if !s.worker.queue.post(func(ctx context.Context) { e(ctx, wait) }) {
		return verdict{outcome: stopped}
	}
	select {
	case v := <-wait:
		return v
	case <-ctx.Done():
		// A verdict may have come at the same time as the end it caused.
		select {
		case v := <-wait:
			return v
		default:
			return verdict{outcome: stopped}
		}
	}
}

func bodyOf(b []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(b)) }
