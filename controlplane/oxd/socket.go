package oxd

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// SocketLimits bound what clients of the socket can take. Zero fields mean the
// default.
type SocketLimits struct {
	// Connections is how many there are at most (256). One more takes the place of
	// the one that has been idle longest; when none is idle, it is closed at once.
	Connections int
	// Idle is how long a connection may have no command under way (12 h: oxdpython
	// keeps one connection for ever, and does not connect anew).
	Idle time.Duration
	// Frame is how long a command may take to arrive, from its first byte (10 s).
	Frame time.Duration
	// Write is how long a client may take to receive an answer (10 s).
	Write time.Duration
	// Command is how long a command may run (60 s).
	Command time.Duration
}

func (l SocketLimits) withDefaults() SocketLimits {
	set := func(d *time.Duration, standard time.Duration) {
		if *d <= 0 {
			*d = standard
		}
	}
	if l.Connections <= 0 {
		l.Connections = 256
	}
	set(&l.Idle, 12*time.Hour)
	set(&l.Frame, 10*time.Second)
	set(&l.Write, 10*time.Second)
	set(&l.Command, time.Minute)
	return l
}

// socket serves the connections of one listener.
type socket struct {
	server *Server
	limits SocketLimits

	mu    sync.Mutex
	conns map[*conn]struct{}
	wg    sync.WaitGroup
}

// conn is one connection. Its commands are answered one after another, in the
// order they came, also when a client does not wait for the answers.
type conn struct {
	net.Conn

	// idle is since when no command is under way; zero while one is. Under socket.mu.
	idle time.Time
}

// ServeSocket answers on the listener until ctx ends. When it returns, the
// listener and every connection are closed, and no command runs.
func (s *Server) ServeSocket(ctx context.Context, listener net.Listener, limits SocketLimits) error {
	k := &socket{server: s, limits: limits.withDefaults(), conns: map[*conn]struct{}{}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	closer := context.AfterFunc(ctx, func() { _ = listener.Close() }) // Accept ends by it
	defer closer()
	err := k.accept(ctx, listener)
	cancel()
	k.closeAll()
	k.wg.Wait()
	return err
}

func (k *socket) accept(ctx context.Context, listener net.Listener) error {
	defer func() { _ = listener.Close() }()
	for {
		accepted, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = accepted.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil:
			// Too many open files, or a client that was gone at once: others may come.
			k.server.config.Logger.Warn("oxd socket does not accept", slog.Any("error", err))
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		c := &conn{Conn: accepted, idle: time.Now()}
		if !k.add(c) {
			k.server.config.Logger.Warn("oxd socket refuses a connection: too many, and none is idle", slog.Int("connections", k.limits.Connections))
			_ = c.Close()
			continue
		}
		k.wg.Go(func() {
			defer k.remove(c)
			k.serve(ctx, c)
		})
	}
}

// acceptPause keeps a listener that fails from failing in a circle.
const acceptPause = 50 * time.Millisecond

// add makes room for c, and says whether there is.
func (k *socket) add(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.conns) >= k.limits.Connections {
		var oldest *conn
		for other := range k.conns {
			if !other.idle.IsZero() && (oldest == nil || other.idle.Before(oldest.idle)) {
				oldest = other
			}
		}
		if oldest == nil {
			return false
		}
		delete(k.conns, oldest)
		_ = oldest.Close() // its goroutine ends by it
	}
	k.conns[c] = struct{}{}
	return true
}

func (k *socket) remove(c *conn) {
	k.mu.Lock()
	delete(k.conns, c)
	k.mu.Unlock()
	_ = c.Close() // closed already, where it was made to go
}

func (k *socket) closeAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.conns {
		_ = c.Close()
	}
}

func (k *socket) setIdle(c *conn, since time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.idle = since
}

// serve answers the commands of one connection until it ends.
func (k *socket) serve(ctx context.Context, c *conn) {
	reader := bufio.NewReader(c)
	for ctx.Err() == nil {
		now := time.Now()
		k.setIdle(c, now)
		if c.SetReadDeadline(now.Add(k.limits.Idle)) != nil {
			return
		}
		frame, err := readFrame(reader, func() {
			k.setIdle(c, time.Time{})
			_ = c.SetReadDeadline(time.Now().Add(k.limits.Frame)) // a closed one is noticed by the read
		})
		switch {
		case err == nil:
		case errors.Is(err, errPrefix), errors.Is(err, errUTF8):
			// Where the next command starts is unknown.
			_ = k.write(c, failed(&Error{Code: CodeInternal, Description: err.Error()}))
			return
		default:
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
				k.server.config.Logger.Debug("oxd socket: a connection ends", slog.Any("error", err))
			}
			return
		}
		if k.write(c, k.answer(ctx, frame)) != nil {
			return
		}
	}
}

// answer runs the command of one frame.
func (k *socket) answer(ctx context.Context, frame []byte) Response {
	ctx, cancel := context.WithTimeout(ctx, k.limits.Command)
	defer cancel()
	var request struct {
		Command string          `json:"command"`
		Params  json.RawMessage `json:"params"`
	}
	if err := json.Unmarshal(frame, &request); err != nil {
		return failed(&Error{Code: CodeInternal, Description: `a command is an object: {"command": "…", "params": {…}}`})
	}
	return k.server.Handle(ctx, request.Command, request.Params, secret.Text{})
}

// write sends prefix and answer at once: oxd-node takes what comes first for all.
func (k *socket) write(c *conn, response Response) error {
	frame, err := encodeFrame(response)
	if err != nil {
		if frame, err = encodeFrame(failed(&Error{Code: CodeInternal, Description: err.Error()})); err != nil {
			return err
		}
	}
	if err := c.SetWriteDeadline(time.Now().Add(k.limits.Write)); err != nil {
		return err
	}
	_, err = c.Write(frame)
	return err
}
