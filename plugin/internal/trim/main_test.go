package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// module has a custom section and the exports "keep" and "drop".
func module(exports string) []byte {
	m := "\x00asm\x01\x00\x00\x00" + "\x00\x02\x01x" + exports
	return []byte(m)
}

func TestStamp(t *testing.T) {
	t.Parallel()
	stamped := func(module string) string {
		out := []byte(module)
		require.NoError(t, stamp(out))
		return string(out)
	}
	const one, other = "a umagate.module.000000000000 b", "a umagate.module.000000000000 c"
	require.Regexp(t, `^a umagate.module.[0-9a-f]{12} b$`, stamped(one))
	require.NotEqual(t, stamped(one)[:29], stamped(other)[:29])
	require.Error(t, stamp([]byte("none")))
	require.Error(t, stamp([]byte(one+one)))
}

func TestTrim(t *testing.T) {
	t.Parallel()
	full := module("\x07\x0f\x02\x04keep\x00\x01\x04drop\x00\x02")
	got, err := trim(full, []string{"drop"})
	require.NoError(t, err)
	require.Equal(t, module("\x07\x08\x01\x04keep\x00\x01"), got)

	for _, bad := range []struct {
		name   string
		module []byte
		drop   string
	}{
		{"an export that is not there", full, "other"},
		{"nothing", nil, "drop"},
		{"no module", []byte("<!DOCTYPE html>"), "drop"},
		{"cut off", full[:len(full)-1], "drop"},
		{"an export longer than its section", module("\x07\x03\x01\x7fk"), "drop"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			_, err := trim(bad.module, []string{bad.drop})
			require.Error(t, err)
		})
	}
}
