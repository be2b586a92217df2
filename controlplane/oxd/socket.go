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
	// another, see [socket.add]; when a command of each is under way, it is closed at
	// once.
	Connections int
	// First is how long a connection may take to begin its first command (1 min).
	First time.Duration
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
	set(&l.First, time.Minute)
	set(&l.Idle, 12*time.Hour)
	l.First = min(l.First, l.Idle)
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

	// peer is the address that it came from, without the port.
	peer string
	// busy: a command is under way; one that has not arrived whole is none. since is when
	// the last one had its answer, and standing what it has shown of itself. All under
	// socket.mu.
	busy     bool
	since    time.Time
	standing standing
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
			k.server.logger.Warn("oxd socket does not accept", slog.Any("error", err))
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		c := &conn{Conn: accepted, peer: peerOf(accepted), since: time.Now(), standing: unproven}
		if !k.add(c) {
			k.server.logger.Warn("oxd socket refuses a connection: too many, and a command of each is under way", slog.Int("connections", k.limits.Connections))
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

// begin marks a command as under way. It is false for a connection that had to make
// room in the meantime: its command is not run.
func (k *socket) begin(c *conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, stays := k.conns[c]
	c.busy = true
	return stays
}

// prove counts an answer, before the client sees it.
func (k *socket) prove(c *conn, response Response) {
	k.mu.Lock()
	defer k.mu.Unlock()
	shown := answered
	if response.OK() {
		shown = established
	}
	c.standing, c.since = max(c.standing, shown), time.Now()
}

// end says that the answer has gone.
func (k *socket) end(c *conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.busy = false
}

// serve answers the commands of one connection until it ends.
func (k *socket) serve(ctx context.Context, c *conn) {
	reader := bufio.NewReader(c)
	for patience := k.limits.First; ctx.Err() == nil; patience = k.limits.Idle {
		if c.SetReadDeadline(time.Now().Add(patience)) != nil {
			return
		}
		frame, err := readFrame(reader, func() {
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
				k.server.logger.Debug("oxd socket: a connection ends", slog.Any("error", err))
			}
			return
		}
		if !k.begin(c) {
			return
		}
		response := k.answer(ctx, frame)
		k.prove(c, response)
		if k.write(c, response) != nil {
			return
		}
		k.end(c)
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
