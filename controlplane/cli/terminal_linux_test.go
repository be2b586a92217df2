package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/umagate/umagate/controlplane/cli"
)

// runOnTerminal runs a command with a terminal for all its streams, types, and
// gives its exit code and what the terminal showed.
func runOnTerminal(t *testing.T, typed string, args ...string) (int, string) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	var number int
	control := func(f func(fd int) error) {
		t.Helper()
		raw, err := master.SyscallConn()
		require.NoError(t, err)
		var failed error
		require.NoError(t, raw.Control(func(fd uintptr) { failed = f(int(fd)) }))
		require.NoError(t, failed)
	}
	control(func(fd int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0) })
	control(func(fd int) (err error) { number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); return err })
	terminal, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	var shown bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(&shown, master) // ends with EIO when the terminal is closed
	}()
	_, err = io.WriteString(master, typed)
	require.NoError(t, err)
	code := cli.Run(t.Context(), cli.Environment{
		Stdin: terminal, Stdout: terminal, Stderr: terminal,
		LookupEnv:   func(string) (string, bool) { return "", false },
		OpenBrowser: func(context.Context, string) error { return nil },
	}, args)
	require.NoError(t, terminal.Close())
	<-read
	require.NoError(t, master.Close())
	return code, shown.String()
}
