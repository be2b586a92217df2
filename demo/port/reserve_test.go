//go:build linux

package port_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/port"
)

func TestReserve(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			address, reservation, err := port.Reserve(host)
			require.NoError(t, err)
			local, err := net.ResolveTCPAddr("tcp", address)
			require.NoError(t, err)
			for range 3 { // it goes away, and comes back
				dialer := net.Dialer{LocalAddr: local}
				_, err = dialer.DialContext(t.Context(), "tcp", address)
				require.ErrorContains(t, err, "address already in use", "no connection takes it")

				l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
				require.NoError(t, err, "a listener that names it does")
				conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
				require.NoError(t, err)
				require.NoError(t, conn.Close())
				require.NoError(t, l.Close())
			}
			require.NoError(t, reservation.Close())
		})
	}
}

func TestReserveNamesWhatIsNoAddress(t *testing.T) {
	t.Parallel()
	_, _, err := port.Reserve("localhost")
	require.ErrorContains(t, err, "localhost")
}
