package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// newKey makes a key as the error tells to.
func newKey(t *testing.T, arguments ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.pem")
	run(t, "openssl", append([]string{"genpkey", "-out", path}, arguments...)...)
	return path
}

// TestSign: openssl, and so cosign, takes the signature; twice the same is made.
func TestSign(t *testing.T) {
	key := newKey(t, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	folder := t.TempDir()
	sums := filepath.Join(folder, "SHA256SUMS")
	require.NoError(t, os.WriteFile(sums, []byte("00  a\n"), 0o600))
	t.Setenv(keyVariable, "")
	require.NoError(t, sign(folder))
	require.NoFileExists(t, sums+".sig", "without a key there is none")
	t.Setenv(keyVariable, key)
	require.NoError(t, sign(folder))
	first, err := os.ReadFile(sums + ".sig")
	require.NoError(t, err)
	require.NoError(t, sign(folder))
	again, err := os.ReadFile(sums + ".sig")
	require.NoError(t, err)
	require.Equal(t, string(first), string(again))

	public, raw := filepath.Join(folder, "public.pem"), filepath.Join(folder, "raw")
	run(t, "openssl", "pkey", "-in", key, "-pubout", "-out", public)
	run(t, "openssl", "base64", "-d", "-in", sums+".sig", "-out", raw)
	require.Contains(t, run(t, "openssl", "dgst", "-sha256", "-verify", public, "-signature", raw, sums), "Verified OK")

	for _, bad := range []string{newKey(t, "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"), newKey(t, "-algorithm", "ED25519"), sums} {
		t.Setenv(keyVariable, bad)
		require.ErrorIs(t, sign(folder), errKey)
	}
}

// TestReleaseIsSigned looks at the release that was made, if it was with a key.
func TestReleaseIsSigned(t *testing.T) {
	t.Parallel()
	path := os.Getenv(keyVariable)
	if path == "" {
		t.Skip("the release was made without " + keyVariable)
	}
	key, err := readKey(path)
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(made(t), "SHA256SUMS.sig"))
	require.NoError(t, err)
	signature, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	sums, err := os.ReadFile(filepath.Join(made(t), "SHA256SUMS"))
	require.NoError(t, err)
	digest := sha256.Sum256(sums)
	require.True(t, ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature))
}
