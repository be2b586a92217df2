//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// errNoUser: PostgreSQL refuses to run as root, and there is nobody else.
var errNoUser = errors.New("PostgreSQL does not run as root, and this machine has neither the user postgres nor nobody")

// credential is whom PostgreSQL runs as: nil for whoever runs the tests, unless
// that is root, whom it refuses.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // no change is no error
	}
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(found.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(found.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errNoUser
}

// giveAway makes the files those of the user that PostgreSQL runs as.
func giveAway(paths ...string) error {
	who, err := credential()
	if err != nil || who == nil {
		return err
	}
	for _, path := range paths {
		if err := os.Chown(path, int(who.Uid), int(who.Gid)); err != nil {
			return fmt.Errorf("giving PostgreSQL its files: %w", err)
		}
	}
	return nil
}

func attributes() *syscall.SysProcAttr {
	who, err := credential()
	if err != nil {
		who = nil // giveAway has told it
	}
	return &syscall.SysProcAttr{Credential: who, Setpgid: true}
}
