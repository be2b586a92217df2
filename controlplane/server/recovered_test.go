package server

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPanicOfAPartIsItsError(t *testing.T) {
	t.Parallel()
	err := recovered(t.Context(), func(context.Context) error { panic("at the disco") })
	require.ErrorIs(t, err, errPanic)
	require.ErrorContains(t, err, "at the disco")
	require.ErrorContains(t, err, "recovered_test.go")
	require.NoError(t, recovered(t.Context(), endless(func(context.Context) {})))
}
