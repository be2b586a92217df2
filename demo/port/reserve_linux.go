package port

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// reserve binds a socket that does not listen. Linux lets a listener have the same
// address then, where both have SO_REUSEADDR, as Go's and Envoy's have, and picks
// it for nobody who asks for any port.
func reserve(host string) (address string, reservation io.Closer, err error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", nil, fmt.Errorf("reserve a port: %w", err)
	}
	family, at := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Addr: ip.As16()})
	if ip.Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Addr: ip.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("reserve a port: %w", err)
	}
	held := os.NewFile(uintptr(fd), "reserved port")
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("reserve a port of %s: %w", host, err), held.Close())
		}
	}()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return "", nil, err
	}
	if err := unix.Bind(fd, at); err != nil {
		return "", nil, err
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return "", nil, err
	}
	var port int
	switch b := bound.(type) {
	case *unix.SockaddrInet4:
		port = b.Port
	case *unix.SockaddrInet6:
		port = b.Port
	}
	return netip.AddrPortFrom(ip, uint16(port)).String(), held, nil
}
