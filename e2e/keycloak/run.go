package keycloak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/umagate/umagate/e2e/process"
)

// Realm is the realm that every server has.
const Realm = "umagate"

const readyTimeout = 3 * time.Minute // importing a realm on a busy machine

// ErrExited says that Keycloak ended by itself.
var ErrExited = errors.New("keycloak exited")

// Server is a running Keycloak. Its methods may be called concurrently, apart
// from Restart. Whoever started it must call [Server.Stop].
type Server struct {
	Installation
	// LogFile has everything Keycloak writes.
	LogFile string

	home       string
	port       int
	securePort int      // of https; 0 for none
	arguments  []string // beyond those of every server
	variables  []string
	clock      *clock // nil for this machine\'s
	child      *process.Child
	stop       sync.Once
}

// Start runs Keycloak on a free port of loopback with a fresh copy of the
// realm, and returns when it answers.
func Start(ctx context.Context, installation Installation) (*Server, error) {
	return start(ctx, installation, 0, nil)
}

// StartBehind is [Start] of a server whose issuer is below public, an https address
// that need not answer, and whose back channel has the address that it is called by.
func StartBehind(ctx context.Context, installation Installation, public string) (*Server, error) {
	return start(ctx, installation, 0, []string{"--hostname=" + public, "--hostname-backchannel-dynamic=true"})
}

// start runs a server; variables are those of its environment beyond this process's.
func start(ctx context.Context, installation Installation, securePort int, arguments []string, variables ...string) (*Server, error) {
	home, err := os.MkdirTemp("", "umagate-keycloak-")
	if err != nil {
		return nil, fmt.Errorf("making Keycloak's folder: %w", err)
	}
	server := &Server{Installation: installation, home: home, securePort: securePort, arguments: arguments, variables: variables}
	err = os.CopyFS(filepath.Join(home, "data"), os.DirFS(installation.seed))
	if err != nil {
		err = fmt.Errorf("copying the seed: %w", err)
	} else {
		err = server.run(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	return server, nil
}

// run starts the process and waits until it answers. On an error nothing runs.
func (s *Server) run(ctx context.Context, arguments ...string) error {
	for _, folder := range []string{"lib", "conf", "providers", "themes"} {
		err := os.Symlink(filepath.Join(s.Installation.home, folder), filepath.Join(s.home, folder))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("preparing Keycloak's folder: %w", err)
		}
	}
	if s.port == 0 {
		port, err := process.FreePort(ctx)
		if err != nil {
			return err
		}
		s.port = port
	}
	s.LogFile = filepath.Join(s.home, "keycloak.log")
	if err := s.launch(append([]string{
		"start", "--optimized",
		"--cache=local", // a cluster's cache would open ports to the outside
		"--http-enabled=true", "--hostname-strict=false",
		"--http-host=127.0.0.1", "--http-port=" + strconv.Itoa(s.port),
	}, append(s.arguments, arguments...)...)); err != nil {
		return err
	}
	if err := s.child.Await(ctx, readyTimeout, ErrExited, s.answers); err != nil {
		said := s.LastWords()
		s.child.Stop(syscall.SIGTERM)
		return fmt.Errorf("starting Keycloak %s: %w\n%s", s.Version, err, said)
	}
	return nil
}

func (s *Server) launch(arguments []string) error {
	// The process outlives the context of Start, and ends by Stop. It is Java
	// itself, since a shell between them would not pass its own end on.
	cmd := exec.Command("java", javaArguments(s.Installation.home, s.home, arguments...)...) //nolint:gosec,noctx // Java of the PATH
	cmd.Env = append(append(os.Environ(), "KC_BOOTSTRAP_ADMIN_USERNAME="+adminName, "KC_BOOTSTRAP_ADMIN_PASSWORD="+adminName), s.variables...)
	cmd.SysProcAttr = childAttributes()
	child, err := process.Start(cmd, s.LogFile)
	if err != nil {
		return fmt.Errorf("running java, which Keycloak needs in version 17 or later: %w", err)
	}
	s.child = child
	return nil
}

// javaArguments run a Keycloak command of the distribution, with home as the
// folder of its data. They are those of the distribution's own script, and
// options that make it start sooner.
func javaArguments(distribution, home string, arguments ...string) []string {
	return append([]string{
		"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xms64m", "-Xmx512m", "-Dfile.encoding=UTF-8",
		"--add-opens=java.base/java.util=ALL-UNNAMED", "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
		"--add-opens=java.base/java.security=ALL-UNNAMED", "--add-opens=java.base/java.lang=ALL-UNNAMED",
		"-Dkc.home.dir=" + home,
		"-Djboss.server.config.dir=" + filepath.Join(home, "conf"),
		"-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
		"-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
		"-Dpicocli.disable.closures=true", "-Dquarkus-log-max-startup-records=10000",
		"-cp", filepath.Join(distribution, "lib", "quarkus-run.jar"),
		"io.quarkus.bootstrap.runner.QuarkusEntryPoint",
	}, arguments...)
}

// answers reports whether the server gives the document that a client of UMA reads first.
func (s *Server) answers(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Issuer()+"/.well-known/uma2-configuration", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// URL is the base of the server, "http://127.0.0.1:8080".
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) }

// Issuer is the issuer of the realm.
func (s *Server) Issuer() string { return s.URL() + "/realms/" + Realm }

// Freeze stops the server from running, so that its connections are accepted
// and never answered, until Thaw.
func (s *Server) Freeze() error { return s.signal(freezeSignal) }

// Thaw lets a frozen server run on.
func (s *Server) Thaw() error { return s.signal(thawSignal) }

func (s *Server) signal(signal os.Signal) error {
	if err := s.child.Process().Signal(signal); err != nil {
		return fmt.Errorf("signalling Keycloak: %w", err)
	}
	return nil
}

// Kill ends the server at once and keeps its data: Restart brings it back.
func (s *Server) Kill() { s.child.Kill() }

// Restart ends the server if it runs, and starts it on the same port with the
// same data.
func (s *Server) Restart(ctx context.Context) error {
	s.child.Stop(syscall.SIGTERM)
	return s.run(ctx)
}

// Stop ends the server and removes its data. A server that a test is done with
// has nothing to save, and so is not asked twice.
func (s *Server) Stop() {
	s.stop.Do(func() {
		s.Kill()
		_ = os.RemoveAll(s.home)
		if s.clock != nil {
			_ = os.RemoveAll(s.clock.folder)
		}
	})
}

// LastWords returns the last lines of the log, for messages.
func (s *Server) LastWords() string { return process.LastWords(s.LogFile) }
