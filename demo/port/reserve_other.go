//go:build !linux

package port

import (
	"io"
	"net"
	"net/netip"
)

func reserve(host string) (address string, reservation io.Closer, err error) {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return "", nil, err
	}
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return "", nil, err
	}
	return l.Addr().String(), io.NopCloser(nil), l.Close()
}
