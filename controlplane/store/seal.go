package store

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/umagate/umagate/controlplane/secret"
)

// KeySize is the length of a sealing key in bytes.
const KeySize = chacha20poly1305.KeySize

// Sealer seals secrets with XChaCha20-Poly1305. The place of a secret is
// authenticated with it, so that one cannot be moved to another's place. Safe
// for concurrent use.
type Sealer struct {
	aead cipher.AEAD
	// key is the one in base64: a backup can take it along.
	key secret.Text
}

// NewSealer makes a sealer of a key in base64 (32 bytes).
func NewSealer(key secret.Text) (*Sealer, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key.Reveal()))
	if err != nil || len(raw) != KeySize {
		// The cause may quote the key.
		return nil, fmt.Errorf("store: the key must be %d bytes in base64; make one with: head -c %d /dev/urandom | base64", KeySize, KeySize)
	}
	aead, err := chacha20poly1305.NewX(raw)
	if err != nil {
		return nil, fmt.Errorf("store: sealing key: %w", err)
	}
	return &Sealer{aead: aead, key: secret.New(strings.TrimSpace(key.Reveal()))}, nil
}

// KeyFile reads the key at path, or makes one there that only the owner may
// read.
func KeyFile(path string) (secret.Text, error) {
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := writeKeyFile(path, newKey()); err != nil {
		return secret.Text{}, err
	}
	return readKey(path)
}

func newKey() secret.Text {
	raw := make([]byte, KeySize)
	_, _ = rand.Read(raw) // it never fails
	return secret.New(base64.StdEncoding.EncodeToString(raw))
}

// writeKeyFile makes a key file where there is none.
func writeKeyFile(path string, key secret.Text) error {
	// The key appears whole or not at all, and never replaces another: a link
	// fails where a name exists.
	temp, err := os.CreateTemp(filepath.Dir(path), ".umagate-key-")
	if err != nil {
		return fmt.Errorf("store: make the key file: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(key.Reveal() + "\n")
	err = errors.Join(err, temp.Chmod(0o600), temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("store: write the key file: %w", err)
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store: make the key file: %w", err)
	}
	return nil
}

func readKey(path string) (secret.Text, error) {
	info, err := os.Stat(path)
	if err != nil {
		return secret.Text{}, fmt.Errorf("store: key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return secret.Text{}, fmt.Errorf("store: key file %s is open to others (mode %04o): chmod 600 it", path, mode)
	}
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the place
	if err != nil {
		return secret.Text{}, fmt.Errorf("store: key file: %w", err)
	}
	return secret.New(strings.TrimSpace(string(data))), nil
}

// seal returns nil for no secret.
func (s *Sealer) seal(place string, value secret.Text) []byte {
	if value.IsZero() {
		return nil
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(value.Reveal())+s.aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return s.aead.Seal(nonce, nonce, []byte(value.Reveal()), []byte(place))
}

func (s *Sealer) open(place string, sealed []byte) (secret.Text, error) {
	if len(sealed) == 0 {
		return secret.Text{}, nil
	}
	size := s.aead.NonceSize()
	if len(sealed) < size {
		return secret.Text{}, ErrSealed
	}
	plain, err := s.aead.Open(nil, sealed[:size], sealed[size:], []byte(place))
	if err != nil {
		return secret.Text{}, ErrSealed
	}
	return secret.New(string(plain)), nil
}
