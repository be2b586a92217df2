package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
)

// ErrAnother says that another agent serves the socket.
var ErrAnother = errors.New("another umagate agent serves it")

// socket is a Unix socket that only its owner can open.
type socket struct {
	net.Listener

	close    func() error
	accepted atomic.Uint64
}

// listenAt makes a socket at path, in the place of one that nobody serves.
func listenAt(ctx context.Context, path string) (*socket, error) {
	if err := unserved(ctx, path); err != nil {
		return nil, err
	}
	// A socket is open to whom the process's umask lets: it appears in its place when only
	// the owner can open it.
	folder, err := os.MkdirTemp(filepath.Dir(path), ".agent-") // of mode 0700
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	temp := filepath.Join(folder, "s")
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", temp)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false)
	}
	err = os.Chmod(temp, 0o600)
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make %s: %w", path, err), listener.Close())
	}
	return &socket{Listener: listener, close: sync.OnceValue(func() error { return errors.Join(os.Remove(path), listener.Close()) })}, nil
}

// unserved refuses a path that another agent serves, or that is no socket.
func unserved(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s is no socket: remove it", path)
	}
	var dialer net.Dialer
	if conn, err := dialer.DialContext(ctx, "unix", path); err == nil {
		return errors.Join(fmt.Errorf("%s: %w", path, ErrAnother), conn.Close())
	}
	return nil
}

// Accept implements [net.Listener]. Who connects has no address of its own, and is told
// from others by its number.
func (s *socket) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &numbered{Conn: conn, name: "local/" + strconv.FormatUint(s.accepted.Add(1), 10)}, nil
}

// Close implements [net.Listener]. Nobody may find a socket that nobody serves: Envoy
// would wait for it, and not ask the control plane.
func (s *socket) Close() error { return s.close() }

type numbered struct {
	net.Conn

	name string
}

// RemoteAddr implements [net.Conn].
func (n *numbered) RemoteAddr() net.Addr { return &net.UnixAddr{Name: n.name, Net: "unix"} }
