//go:build unix

package secret

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

type fileOf struct {
	fs.FileInfo

	user uint32
}

// Sys implements [fs.FileInfo].
func (f fileOf) Sys() any { return &syscall.Stat_t{Uid: f.user} }

func TestJudgeOwner(t *testing.T) {
	t.Parallel()
	self := uint32(os.Geteuid())
	require.NoError(t, judgeOwner("key", fileOf{user: self}))
	require.NoError(t, judgeOwner("key", fileOf{user: 0}))
	require.ErrorContains(t, judgeOwner("key", fileOf{user: self + 1}), "key belongs to user")
}
