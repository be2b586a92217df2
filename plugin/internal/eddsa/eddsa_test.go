package eddsa_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/internal/eddsa"
)

func TestSignatureIsTheStandardLibrarys(t *testing.T) {
	seed := make([]byte, eddsa.SeedSize)
	for n := range 300 { // every length of the last block of its digests
		seed[n%len(seed)] += byte(n)
		key, err := eddsa.NewKey(seed)
		require.NoError(t, err)
		message := []byte(strings.Repeat("0123456789abcdefg", n/16+1)[:n])
		std := ed25519.NewKeyFromSeed(seed)
		require.Equal(t, ed25519.Sign(std, message), key.Sign(message), "%d bytes", n)
		require.True(t, ed25519.Verify(std.Public().(ed25519.PublicKey), message, key.Sign(message))) //nolint:forcetypeassert // its type is documented
	}
	for _, n := range []int{0, 31, 33, 64} {
		_, err := eddsa.NewKey(make([]byte, n))
		require.Error(t, err, n)
	}
}

func TestKeyIsNotPrinted(t *testing.T) {
	key, err := eddsa.NewKey([]byte(strings.Repeat("s", eddsa.SeedSize)))
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.Contains(t, fmt.Sprintf(verb, key), "[signing key]", verb)
	}
}

func FuzzSign(f *testing.F) {
	f.Add([]byte(strings.Repeat("s", eddsa.SeedSize)), []byte("message"))
	f.Fuzz(func(t *testing.T, seed, message []byte) {
		key, err := eddsa.NewKey(seed)
		if len(seed) != eddsa.SeedSize {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, ed25519.Sign(ed25519.NewKeyFromSeed(seed), message), key.Sign(message))
	})
}

func BenchmarkSign(b *testing.B) {
	key, err := eddsa.NewKey(make([]byte, eddsa.SeedSize))
	require.NoError(b, err)
	message := make([]byte, 512)
	for b.Loop() {
		key.Sign(message)
	}
}
