package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommittedPageIsCurrent(t *testing.T) {
	t.Chdir("..") // the folder that go generate runs in
	have, err := os.ReadFile(output)
	require.NoError(t, err)
	require.Equal(t, string(page()), string(have), "the committed page is not the catalogue's; run: make generate")
}
