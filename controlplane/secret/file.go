package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrFileTooLarge says that a file has more in it than a caller of ReadFile takes.
var ErrFileTooLarge = errors.New("the file is too large")

// ReadFile reads a file of secrets, of at most so many bytes. It must be closed to others,
// and belong to the user of this process or to root: whoever else made it knows what is in
// it, and can change it.
func ReadFile(path string, most int64) ([]byte, error) { return readFile(path, most, true) }

// ReadFileOfAnyone is like ReadFile, but takes a file whoever owns it. It is for a secret
// that lets its reader in somewhere: a wrong one harms nobody.
func ReadFileOfAnyone(path string, most int64) ([]byte, error) { return readFile(path, most, false) }

func readFile(path string, most int64, owned bool) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the place
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // of what is read, whatever has that name by now
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to others (mode %04o): chmod 600 it", path, mode)
	}
	if owned {
		if err := judgeOwner(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s: %w", path, ErrFileTooLarge)
	}
	return data, nil
}

// judgeOwner refuses a file of another user, on systems that tell.
func judgeOwner(path string, info fs.FileInfo) error {
	owner, known := ownerOf(info)
	if self := os.Geteuid(); known && owner != self && owner != 0 {
		return fmt.Errorf("%s belongs to user %d, and this process is of user %d: run umagate as the user that the file belongs to; if another has put it there, remove it", path, owner, self)
	}
	return nil
}
