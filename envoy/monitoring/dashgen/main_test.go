package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommittedDashboardIsCurrent(t *testing.T) {
	t.Chdir("..") // the folder that go generate runs in
	have, err := os.ReadFile(output)
	require.NoError(t, err)
	want, err := document()
	require.NoError(t, err)
	require.Equal(t, string(want), string(have), "the committed dashboard is not the generator's; run: make generate")
}
