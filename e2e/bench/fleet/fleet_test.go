package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain makes this binary the child that it starts.
func TestMain(m *testing.M) {
	if slices.Contains(os.Args, "-serve") {
		if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestAFewEnvoys(t *testing.T) {
	t.Parallel()
	var out, problems bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-envoys", "7", "-sites", "2", "-pushes", "2"}, nil, &out, &problems), problems.String())
	require.Contains(t, out.String(), "Pushes to 7 Envoys")
	require.Regexp(t, `(?m)^state of the world .* all acknowledged after .*KiB$`, out.String())
	require.Regexp(t, `(?m)^delta .* all acknowledged after .*KiB$`, out.String())
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-envoys", "0"}, {"more"}, {"-nonsense"}} {
		var out, problems bytes.Buffer
		require.Error(t, run(t.Context(), args, nil, &out, &problems))
	}
}
