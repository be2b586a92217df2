package server_test

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallDisk is a file system of two megabytes where the tests may mount one (root), and
// else a folder.
func smallDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{folder: t.TempDir()}
	err := syscall.Mount("tmpfs", d.folder, "tmpfs", 0, "size=2m,mode=0700")
	if errors.Is(err, syscall.EPERM) {
		signal.Ignore(syscall.SIGXFSZ)
		return d
	}
	require.NoError(t, err)
	d.own = true
	t.Cleanup(func() { _ = syscall.Unmount(d.folder, syscall.MNT_DETACH) })
	return d
}

const filler = "filler"

// fill leaves no room: on a file system of its own with a file, else by a limit of the
// process, which is lower than the store's journal is long.
func (d *disk) fill(t *testing.T) {
	t.Helper()
	if !d.own {
		d.limit(t, 1)
		return
	}
	file, err := os.Create(d.path(filler))
	require.NoError(t, err)
	block := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(block)
	}
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, file.Close())
}

func (d *disk) free(t *testing.T) {
	t.Helper()
	if !d.own {
		d.limit(t, ^uint64(0))
		return
	}
	require.NoError(t, os.Remove(d.path(filler)))
}

func (*disk) limit(t *testing.T, size uint64) {
	t.Helper()
	var now syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_FSIZE, &now))
	now.Cur = min(size, now.Max)
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &now))
}
