// Package eddsa signs with Ed25519 (RFC 8032). The curve is filippo.io/edwards25519,
// whose author keeps the standard library's. That one comes with the self-tests of every
// cipher that the library has: 340 KB that every Envoy compiles at its start, in place of
// 95. A test compares both.
package eddsa

import (
	"errors"

	"filippo.io/edwards25519"
)

const (
	// SeedSize is the length of a private key in bytes (RFC 8032 section 5.1.5).
	SeedSize = 32
	// SignatureSize is that of a signature.
	SignatureSize = 64
)

// errSeed is what a seed of another length is refused with.
var errSeed = errors.New("the private key has another length than 32 bytes")

// Key signs. No form of printing shows it: it has nothing exported.
type Key struct {
	scalar *edwards25519.Scalar
	prefix []byte
	public []byte
}

// NewKey makes a key of its seed.
func NewKey(seed []byte) (*Key, error) {
	if len(seed) != SeedSize {
		return nil, errSeed
	}
	h := sha512(seed)
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(h[:SeedSize])
	if err != nil {
		return nil, err
	}
	public := new(edwards25519.Point).ScalarBaseMult(scalar)
	return &Key{scalar: scalar, prefix: h[SeedSize:], public: public.Bytes()}, nil
}

// Sign returns the signature of a message (RFC 8032 section 5.1.6); nil is none.
func (k *Key) Sign(message []byte) []byte {
	h := sha512(k.prefix, message)
	r, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		return nil
	}
	signature := append(make([]byte, 0, SignatureSize), new(edwards25519.Point).ScalarBaseMult(r).Bytes()...)
	h = sha512(signature, k.public, message)
	challenge, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		return nil
	}
	return append(signature, edwards25519.NewScalar().MultiplyAdd(challenge, k.scalar, r).Bytes()...)
}

// String hides the key from fmt, as GoString does.
func (*Key) String() string { return "[signing key]" }

// GoString implements fmt.GoStringer.
func (*Key) GoString() string { return "[signing key]" }
