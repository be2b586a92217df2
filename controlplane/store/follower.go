package store

import (
	"context"
	"sync"
	"time"
)

// A Follower keeps what is in memory of a part of the store in step with it, whichever
// replica writes. It is safe for concurrent use.
type Follower[T any] struct {
	changes func(ctx context.Context) (int64, error)
	read    func(ctx context.Context) (T, error)
	take    func(T)

	mu      sync.Mutex
	seen    int64 // the number of changes when what was taken last was read
	begun   int64 // readings that began
	current int64 // the one that was taken last
}

// Follow makes a follower, and does no I/O. changes is [SQL.Changes]. read reads the
// part, and take gets what was read: one call at a time, and never something older than
// what it got before. A store that has fallen back, as when a standby is promoted that had
// not heard of the last changes, is followed as it is.
func Follow[T any](changes func(context.Context) (int64, error), read func(context.Context) (T, error), take func(T)) *Follower[T] {
	return &Follower[T]{changes: changes, read: read, take: take, seen: -1}
}

// Load reads the store.
func (f *Follower[T]) Load(ctx context.Context) error {
	begun := f.begin()
	number, err := f.changes(ctx)
	if err != nil {
		return err
	}
	return f.load(ctx, begun, number)
}

// begin counts a reading.
func (f *Follower[T]) begin() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun++
	return f.begun
}

// Refresh reads the store if anything was written since it was read last.
func (f *Follower[T]) Refresh(ctx context.Context) error {
	begun := f.begin()
	number, err := f.changes(ctx)
	if err != nil {
		f.mu.Lock()
		f.seen = -1 // what answers next may be another, whose number says nothing
		f.mu.Unlock()
		return err
	}
	f.mu.Lock()
	behind := number != f.seen
	f.mu.Unlock()
	if !behind {
		return nil
	}
	return f.load(ctx, begun, number)
}

// load reads what is at least as new as that number of changes.
func (f *Follower[T]) load(ctx context.Context, begun, number int64) error {
	value, err := f.read(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if number < f.seen && begun < f.current {
		return nil // what was read later has been taken already
	}
	f.seen, f.current = number, max(f.current, begun)
	f.take(value)
	return nil
}

// Poll calls do every so often until ctx ends. Of failures in a row, failed is told of
// the first.
func Poll(ctx context.Context, every time.Duration, do func(context.Context) error, failed func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := do(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			failed(err)
		}
		failing = err != nil
	}
}
