package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCommittedFilesAreCurrent(t *testing.T) {
	t.Chdir("..") // the folder that go generate runs in
	tested, err := tried(testsOf)
	require.NoError(t, err)
	for path, want := range map[string][]byte{pageFile: page(tested), rulesFile: rules()} {
		have, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), string(have), "%s is not the catalogue's; run: make generate", path)
	}
}
