package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/umagate/umagate/e2e/process"
)

// User and Password are those of every server.
const (
	User     = "umagate"
	Password = "postgres-hunter2"
)

const (
	readyTimeout = 2 * time.Minute // a busy machine
	attempts     = 3
)

// ErrExited says that PostgreSQL ended by itself.
var ErrExited = errors.New("PostgreSQL exited")

// Server is a running PostgreSQL on loopback. Whoever started it must call
// [Server.Stop]. Safe for concurrent use.
type Server struct {
	// LogFile has everything PostgreSQL writes.
	LogFile string

	folder, home string
	port         int
	child        *process.Child
	stop         sync.Once

	mu        sync.Mutex
	databases int
}

// Start makes a database cluster in a new folder and runs PostgreSQL on it. Its
// data need not survive: nothing is synchronised to the disk.
func Start(ctx context.Context, folder string) (*Server, error) {
	home, err := os.MkdirTemp("", "umagate-postgres-")
	if err != nil {
		return nil, fmt.Errorf("making PostgreSQL's folder: %w", err)
	}
	s := &Server{folder: folder, home: home, LogFile: filepath.Join(home, "postgres.log")}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	// Another program may take the port before PostgreSQL does.
	for attempt := 1; ; attempt++ {
		err := s.run(ctx)
		if err == nil {
			return s, nil
		}
		if attempt == attempts || !errors.Is(err, ErrExited) {
			return nil, errors.Join(fmt.Errorf("starting PostgreSQL: %w\n%s", err, s.LastWords()), os.RemoveAll(home))
		}
	}
}

// prepare runs initdb.
func (s *Server) prepare(ctx context.Context) error {
	password := filepath.Join(s.home, "password")
	if err := os.WriteFile(password, []byte(Password+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing PostgreSQL's password: %w", err)
	}
	if err := giveAway(s.home, password); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.folder, "initdb"), "--pgdata", s.data(), "--username", User, //nolint:gosec // what Find found
		"--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.SysProcAttr = attributes()
	cmd.Dir = s.home
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.home, "data") }

func (s *Server) run(ctx context.Context) error {
	port, err := process.FreePort(ctx)
	if err != nil {
		return err
	}
	s.port = port
	if err := s.launch(); err != nil {
		return err
	}
	if err := s.waitUntilReady(ctx); err != nil {
		s.end()
		return err
	}
	return nil
}

func (s *Server) launch() error {
	cmd := exec.Command(filepath.Join(s.folder, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port), //nolint:gosec,noctx // outlives Start, ends by Stop
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "shared_buffers=16MB",
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=100")
	cmd.SysProcAttr = childAttributes()
	cmd.Dir = s.home
	child, err := process.Start(cmd, s.LogFile)
	if err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	s.child = child
	return nil
}

func (s *Server) waitUntilReady(ctx context.Context) error {
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer db.Close() //nolint:errcheck // nothing was written
	return s.child.Await(ctx, readyTimeout, ErrExited, func(ctx context.Context) bool { return db.PingContext(ctx) == nil })
}

// Address is where the server listens, "127.0.0.1:5432".
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is that of a database, with the password.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, Password), Host: s.Address(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Database makes an empty database and gives its URL.
func (s *Server) Database(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock() // one at a time: each copies the same template
	s.databases++
	name := "d" + strconv.Itoa(s.databases)
	db, err := sql.Open("pgx", s.URL("postgres"))
	if err != nil {
		return "", fmt.Errorf("connecting to PostgreSQL: %w", err)
	}
	defer db.Close() //nolint:errcheck // what was written is committed
	if _, err := db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("making a database: %w", err)
	}
	return s.URL(name), nil
}

// Kill ends the server and keeps its data: Restart brings it back.
func (s *Server) Kill() { s.end() }

// Restart starts a server that was killed, on the same port with the same data.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.launch(); err != nil {
		return err
	}
	return s.waitUntilReady(ctx)
}

// Stop ends the server and removes its data.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.end()
		_ = os.RemoveAll(s.home)
	})
}

// end ends the server and its children without ado, by an "immediate shutdown".
func (s *Server) end() { s.child.Stop(syscall.SIGQUIT) }

// LastWords returns the last lines of the log, for messages.
func (s *Server) LastWords() string { return process.LastWords(s.LogFile) }
