// Package seal keeps secrets sealed at rest: in the store of the control plane, and in
// the file that an agent keeps beside an Envoy.
package seal

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

// ErrKey says that something does not open: it was sealed with another key or for
// another place, or is damaged.
var ErrKey = errors.New("seal: it does not open with this key, or is damaged")

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

// New makes a sealer of a key in base64 (32 bytes).
func New(key secret.Text) (*Sealer, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(key.Reveal()))
	if err != nil || len(raw) != KeySize {
		// The cause may quote the key.
		return nil, fmt.Errorf("seal: the key must be %d bytes in base64; make one with: head -c %d /dev/urandom | base64", KeySize, KeySize)
	}
	aead, err := chacha20poly1305.NewX(raw)
	if err != nil {
		return nil, fmt.Errorf("seal: sealing key: %w", err)
	}
	return &Sealer{aead: aead, key: secret.New(strings.TrimSpace(key.Reveal()))}, nil
}

// Key is the one that it seals with, in base64.
func (s *Sealer) Key() secret.Text { return s.key }

// KeyFile reads the key at path, or makes one there that only the owner may
// read.
func KeyFile(path string) (secret.Text, error) {
	key, err := ReadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := WriteKeyFile(path, NewKey()); err != nil {
		return secret.Text{}, err
	}
	return ReadKey(path)
}

// NewKey makes a random key.
func NewKey() secret.Text {
	raw := make([]byte, KeySize)
	_, _ = rand.Read(raw) // it never fails
	return secret.New(base64.StdEncoding.EncodeToString(raw))
}

// WriteKeyFile makes a key file where there is none.
func WriteKeyFile(path string, key secret.Text) error {
	// The key appears whole or not at all, and never replaces another: a link
	// fails where a name exists.
	temp, err := os.CreateTemp(filepath.Dir(path), ".umagate-key-")
	if err != nil {
		return fmt.Errorf("seal: make the key file: %w", err)
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = temp.WriteString(key.Reveal() + "\n")
	err = errors.Join(err, temp.Chmod(0o600), temp.Sync(), temp.Close())
	if err != nil {
		return fmt.Errorf("seal: write the key file: %w", err)
	}
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("seal: make the key file: %w", err)
	}
	return nil
}

// ReadKey reads the key at path, which only its owner may read: the user of this process,
// or root.
func ReadKey(path string) (secret.Text, error) {
	const most = 4096
	data, err := secret.ReadFile(path, most)
	if err != nil {
		return secret.Text{}, fmt.Errorf("seal: key file: %w", err)
	}
	return secret.New(strings.TrimSpace(string(data))), nil
}

// Seal returns nil for no secret.
func (s *Sealer) Seal(place string, value secret.Text) []byte {
	if value.IsZero() {
		return nil
	}
	nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(value.Reveal())+s.aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return s.aead.Seal(nonce, nonce, []byte(value.Reveal()), []byte(place))
}

// Open gives what was sealed for the same place, or [ErrKey].
func (s *Sealer) Open(place string, sealed []byte) (secret.Text, error) {
	if len(sealed) == 0 {
		return secret.Text{}, nil
	}
	size := s.aead.NonceSize()
	if len(sealed) < size {
		return secret.Text{}, ErrKey
	}
	plain, err := s.aead.Open(nil, sealed[:size], sealed[size:], []byte(place))
	if err != nil {
		return secret.Text{}, ErrKey
	}
	return secret.New(string(plain)), nil
}
