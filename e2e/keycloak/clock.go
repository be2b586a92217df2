package keycloak

import (
	"archive/zip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/umagate/umagate/e2e/process"
)

//go:embed Clock.java
var clockSource []byte

// StartWithClock is [Start] of a server whose clock [Server.SetClock] sets: that by which
// it issues and judges tokens. It needs the JDK's compiler on the PATH.
func StartWithClock(ctx context.Context, installation Installation) (*Server, error) {
	folder, err := os.MkdirTemp("", "umagate-keycloak-clock-")
	if err != nil {
		return nil, fmt.Errorf("making Keycloak's clock: %w", err)
	}
	c := &clock{folder: folder}
	if err = c.make(ctx); err == nil {
		err = c.set(0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making Keycloak's clock: %w", err), os.RemoveAll(folder))
	}
	server, err := start(ctx, installation, 0, nil, "JAVA_TOOL_OPTIONS="+c.option())
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	server.clock = c
	return server, nil
}

// clock is an agent in Keycloak's process, and the file that it reads. Setting the clock
// of the process by a library (libfaketime) has Java spin in its timed waits.
type clock struct{ folder string }

func (c *clock) agent() string { return filepath.Join(c.folder, "clock.jar") }
func (c *clock) file() string  { return filepath.Join(c.folder, "offset") }

// option has java run the agent.
func (c *clock) option() string { return "-javaagent:" + c.agent() + "=" + c.file() }

// make compiles the agent.
func (c *clock) make(ctx context.Context) (err error) {
	source := filepath.Join(c.folder, "Clock.java")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		return err
	}
	compile := exec.CommandContext(ctx, "javac", "--release", "17", "-d", c.folder, source) //nolint:gosec // the compiler of the PATH
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("javac, of a JDK of 17 or later: %w: %s", err, process.LastLines(out))
	}
	jar, err := os.Create(c.agent())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jar.Close()) }()
	archive := zip.NewWriter(jar)
	manifest, err := archive.Create("META-INF/MANIFEST.MF")
	if err != nil {
		return err
	}
	if _, err := manifest.Write([]byte("Manifest-Version: 1.0\nPremain-Class: Clock\n")); err != nil {
		return err
	}
	classes, err := filepath.Glob(filepath.Join(c.folder, "*.class"))
	if err != nil {
		return err
	}
	for _, class := range classes {
		code, err := os.ReadFile(class) //nolint:gosec // what was compiled
		if err != nil {
			return err
		}
		entry, err := archive.Create(filepath.Base(class))
		if err != nil {
			return err
		}
		if _, err := entry.Write(code); err != nil {
			return err
		}
	}
	return archive.Close()
}

func (c *clock) set(ahead time.Duration) error {
	next := c.file() + ".new"
	if err := os.WriteFile(next, fmt.Appendf(nil, "%d\n", int(ahead/time.Second)), 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.file())
}

// SetClock puts the clock of a server of [StartWithClock] ahead of this machine's, or
// behind it if ahead is negative. The server follows within a fraction of a second.
func (s *Server) SetClock(ahead time.Duration) error {
	if err := s.clock.set(ahead); err != nil {
		return fmt.Errorf("setting Keycloak's clock: %w", err)
	}
	return nil
}
