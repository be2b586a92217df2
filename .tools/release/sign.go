package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// keyVariable names the environment variable with the path of the releaser's key.
const keyVariable = "UMAGATE_RELEASE_KEY"

var errKey = errors.New("not a private key of ECDSA P-256 in PEM (PKCS #8); make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")

// sign writes SHA256SUMS.sig beside SHA256SUMS, as "cosign verify-blob" and openssl read
// it: the signature, in ASN.1, in base64. It follows from key and text alone (RFC 6979),
// so that two builds have the same. Without a key there is none.
func sign(folder string) error {
	path := os.Getenv(keyVariable)
	if path == "" {
		return nil
	}
	key, err := readKey(path)
	if err != nil {
		return fmt.Errorf("%s=%s: %w", keyVariable, path, err)
	}
	sums, err := os.ReadFile(filepath.Join(folder, "SHA256SUMS")) //nolint:gosec // the folder that this program makes
	if err != nil {
		return err
	}
	digest := sha256.Sum256(sums)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS.sig"), []byte(base64.StdEncoding.EncodeToString(signature)+"\n"), 0o644) //nolint:gosec // published
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the releaser's choice
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errKey
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errKey // whose words may quote the key
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errKey
	}
	return key, nil
}
