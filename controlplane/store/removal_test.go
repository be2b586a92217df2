package store //nolint:testpackage // told is not for others

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestToldRemovals(t *testing.T) {
	for last, want := range map[int64]int64{0: 0, 1: 0, 499: 0, 500: 0, 999: 0, 1000: 500, 1499: 500, 1500: 1000} {
		require.Equal(t, want, told(last), "%d", last)
	}
}
