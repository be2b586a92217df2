package wasmhost

import (
	"context"
	"sync"
)

// event is something that happens to a worker. It runs on the worker's goroutine.
type event func(ctx context.Context)

// queue is an unbounded list of events: what is in flight bounds it, since every
// poster waits for its event or posts once for each call or tick.
type queue struct {
	mu     sync.Mutex
	events []event
	closed bool
	ready  chan struct{}
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// post adds an event. It says false, and drops the event, once the queue is closed.
func (q *queue) post(e event) bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.events = append(q.events, e)
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return true
}

// take returns what is queued, and an empty list once the queue is closed and
// drained. spare is reused.
func (q *queue) take(spare []event) []event {
	for {
		q.mu.Lock()
		events, closed := q.events, q.closed
		if len(events) > 0 {
			clear(spare)
			q.events = spare[:0]
			q.mu.Unlock()
			return events
		}
		q.mu.Unlock()
		if closed {
			return nil
		}
		<-q.ready
	}
}

// close lets take end after what is queued.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
