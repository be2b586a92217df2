package sha256_test

import (
	stdlib "crypto/sha256"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/internal/sha256"
)

func TestSumIsTheStandardLibrarys(t *testing.T) {
	for n := range 300 { // every length of the last block, several times
		text := strings.Repeat("0123456789abcdefg", n/16+1)[:n]
		require.Equal(t, stdlib.Sum256([]byte(text)), sha256.Sum(text), "%d bytes", n)
	}
	require.Zero(t, testing.AllocsPerRun(10, func() { sha256.Sum("eyJhbGciOiJSUzI1NiJ9") }))
}

func FuzzSum(f *testing.F) {
	f.Add("")
	f.Add(strings.Repeat("\xff", 64))
	f.Fuzz(func(t *testing.T, text string) {
		require.Equal(t, stdlib.Sum256([]byte(text)), sha256.Sum(text))
	})
}

func BenchmarkSum(b *testing.B) {
	token := strings.Repeat("x", 1024)
	b.SetBytes(int64(len(token)))
	for b.Loop() {
		sha256.Sum(token)
	}
}
