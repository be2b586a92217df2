package clientauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/secret"
)

// ErrKeyAlgorithm says that the key cannot sign with that algorithm.
var ErrKeyAlgorithm = errors.New("the key does not fit the algorithm")

// rsaBits is the size of the RSA keys that umagate makes.
const rsaBits = 3072

// KeyAlgorithms are the algorithms of private_key_jwt (RFC 7518 section 3.1, RFC
// 8037 section 3.1).
func KeyAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
		jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	}
}

// SecretAlgorithms are the algorithms of client_secret_jwt.
func SecretAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
}

// Key is a client's own key. It is immutable and prints as its id.
type Key struct {
	// ID is the kid: the thumbprint of the public key (RFC 7638).
	ID        string
	Algorithm jose.SignatureAlgorithm

	private crypto.Signer
}

// GenerateKey makes a key for one of [KeyAlgorithms].
func GenerateKey(algorithm jose.SignatureAlgorithm) (Key, error) {
	return GenerateKeySized(algorithm, rsaBits)
}

// GenerateKeySized is [GenerateKey] with another size of RSA keys: they take seconds
// to make on a busy machine, and somebody may wait for one.
func GenerateKeySized(algorithm jose.SignatureAlgorithm, rsaBits int) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512:
		private, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return Key{}, fmt.Errorf("clientauth: algorithm %q: write one of %v", algorithm, KeyAlgorithms())
	}
	if err != nil {
		return Key{}, fmt.Errorf("clientauth: make a key: %w", err)
	}
	return newKey(private, algorithm)
}

// ParseKey reads a private key in PEM: PKCS#8, PKCS#1 or SEC 1. An empty
// algorithm means the one that goes with the key: RS256 for RSA, ES256, ES384 or
// ES512 by curve, EdDSA. [ErrKeyAlgorithm]: they do not fit.
func ParseKey(pemKey secret.Text, algorithm jose.SignatureAlgorithm) (Key, error) {
	for rest := []byte(pemKey.Reveal()); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			// The cause may quote the key.
			return Key{}, errors.New("clientauth: private_key is not an RSA, P-256, P-384, P-521 or Ed25519 key in PEM (PKCS#8, PKCS#1 or SEC 1)")
		}
		for _, parse := range []func([]byte) (any, error){
			x509.ParsePKCS8PrivateKey,
			func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
			func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		} {
			parsed, err := parse(block.Bytes)
			if private, ok := parsed.(crypto.Signer); err == nil && ok {
				return newKey(private, algorithm)
			}
		}
	}
}

func newKey(private crypto.Signer, algorithm jose.SignatureAlgorithm) (Key, error) {
	fitting := algorithmsOf(private)
	if len(fitting) == 0 {
		return Key{}, errors.New("clientauth: the key is not RSA, P-256, P-384, P-521 or Ed25519")
	}
	if algorithm == "" {
		algorithm = fitting[0]
	}
	if !slices.Contains(fitting, algorithm) {
		return Key{}, fmt.Errorf("clientauth: %w: it takes %v, not %s", ErrKeyAlgorithm, fitting, algorithm)
	}
	thumbprint, err := (&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		return Key{}, fmt.Errorf("clientauth: name the key: %w", err)
	}
	return Key{ID: base64.RawURLEncoding.EncodeToString(thumbprint), Algorithm: algorithm, private: private}, nil
}

// algorithmsOf lists what a key can sign with, its usual algorithm first.
func algorithmsOf(private crypto.Signer) []jose.SignatureAlgorithm {
	switch private := private.(type) {
	case *rsa.PrivateKey:
		return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
	case ed25519.PrivateKey:
		return []jose.SignatureAlgorithm{jose.EdDSA}
	case *ecdsa.PrivateKey:
		switch private.Curve {
		case elliptic.P256():
			return []jose.SignatureAlgorithm{jose.ES256}
		case elliptic.P384():
			return []jose.SignatureAlgorithm{jose.ES384}
		case elliptic.P521():
			return []jose.SignatureAlgorithm{jose.ES512}
		}
	}
	return nil
}

// Algorithms lists what the key can sign with, its usual algorithm first.
func (k Key) Algorithms() []jose.SignatureAlgorithm { return algorithmsOf(k.private) }

// IsZero reports whether there is no key.
func (k Key) IsZero() bool { return k.private == nil }

// String is the key's id.
func (k Key) String() string { return k.ID }

// GoString is the key's id.
func (k Key) GoString() string { return fmt.Sprintf("clientauth.Key(%q)", k.ID) }

// JWK is the private key as a JWK with its id, for the sealed store.
func (k Key) JWK() (secret.Text, error) {
	document, err := json.Marshal(k.jwk(k.private))
	if err != nil {
		return secret.Text{}, fmt.Errorf("clientauth: encode key %s: %w", k.ID, err)
	}
	return secret.New(string(document)), nil
}

// ParseJWK reads what [Key.JWK] made. The key keeps its id; an empty algorithm is the
// one that it was made for.
func ParseJWK(document secret.Text, algorithm jose.SignatureAlgorithm) (Key, error) {
	var jwk jose.JSONWebKey
	err := json.Unmarshal([]byte(document.Reveal()), &jwk)
	private, ok := jwk.Key.(crypto.Signer)
	if err != nil || !ok {
		// The cause may quote the key.
		return Key{}, errors.New("clientauth: the stored key is no private key")
	}
	if algorithm == "" {
		algorithm = jose.SignatureAlgorithm(jwk.Algorithm)
	}
	key, err := newKey(private, algorithm)
	if jwk.KeyID != "" {
		key.ID = jwk.KeyID
	}
	return key, err
}

// jwk is one half of the key as the other side and the store read it. Keycloak asks
// for "use".
func (k Key) jwk(half any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: half, KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

// PEM is the private key in PKCS#8, for the sealed store and for Envoy.
func (k Key) PEM() (secret.Text, error) {
	return pkcs8(k.private)
}

// Auth authenticates with a JWT signed by the key, whose header names it. now is
// the clock; time.Now when nil.
func (k Key) Auth(clientID string, now func() time.Time) (Auth, error) {
	return NewSigned(PrivateKeyJWT, clientID, jose.SigningKey{
		Algorithm: k.Algorithm, Key: jose.JSONWebKey{Key: k.private, KeyID: k.ID},
	}, now)
}

// PublicKey is what others may know of a key.
type PublicKey struct {
	Key Key
	// Certificate goes along, where the AS compares certificates (RFC 8705 section
	// 2.2.2); may be nil.
	Certificate *x509.Certificate
}

// JWKS is the set of public keys as a JWK Set (RFC 7517 section 5).
func JWKS(keys []PublicKey) (json.RawMessage, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range keys {
		public := k.Key.jwk(k.Key.private.Public())
		if k.Certificate != nil {
			public.Certificates = []*x509.Certificate{k.Certificate}
		}
		set.Keys = append(set.Keys, public)
	}
	document, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("clientauth: encode the JWKS: %w", err)
	}
	return document, nil
}
