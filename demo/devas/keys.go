package devas

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// signingAlgs are the algorithms the server signs with.
func signingAlgs() []string { return []string{string(jose.RS256), string(jose.ES256)} }

// keyring holds one signing key for each algorithm, made when it is first needed
// (an RSA key takes a while, and many tests need none), and the public halves of
// those before. It is safe for concurrent use.
type keyring struct {
	mu      sync.Mutex
	current map[string]jose.JSONWebKey
	retired []jose.JSONWebKey
}

func newKeyring() *keyring { return &keyring{current: map[string]jose.JSONWebKey{}} }

// rotate forgets the signing keys, so that new ones are made. The public halves of
// the old ones stay published if keep is set.
func (k *keyring) rotate(keep bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if keep {
		for _, old := range k.current {
			k.retired = append(k.retired, old.Public())
		}
	} else {
		k.retired = nil
	}
	clear(k.current)
}

// key returns the signing key for an algorithm.
func (k *keyring) key(alg string) (jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.current[alg]; ok {
		return key, nil
	}
	var private crypto.Signer
	var err error
	switch alg {
	case string(jose.RS256):
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case string(jose.ES256):
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		err = fmt.Errorf("want one of %v", signingAlgs())
	}
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("make a key for %q: %w", alg, err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: randomID(), Algorithm: alg, Use: "sig"}
	k.current[alg] = key
	return key, nil
}

// public returns the JWKS.
func (k *keyring) public() (jose.JSONWebKeySet, error) {
	set := jose.JSONWebKeySet{}
	for _, alg := range signingAlgs() {
		key, err := k.key(alg)
		if err != nil {
			return set, err
		}
		set.Keys = append(set.Keys, key.Public())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	set.Keys = append(set.Keys, k.retired...)
	return set, nil
}

// sign makes a compact JWS of claims, with typ in its header.
func (k *keyring) sign(alg, typ string, claims any) (string, error) {
	key, err := k.key(alg)
	if err != nil {
		return "", err
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key},
		(&jose.SignerOptions{}).WithType(jose.ContentType(typ)),
	)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w", alg, err)
	}
	return text, nil
}

// verify checks a JWS of this server and decodes its claims into the given
// values. Validity in time is the caller's to check.
func (k *keyring) verify(text string, claims ...any) error {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256, jose.ES256})
	if err != nil {
		return fmt.Errorf("parse JWT: %w", err)
	}
	set, err := k.public()
	if err != nil {
		return err
	}
	if err := parsed.Claims(&set, claims...); err != nil {
		return fmt.Errorf("verify JWT: %w", err)
	}
	return nil
}

// RotateKeys replaces the signing keys. With keepOld the old public keys stay in
// the JWKS, as a careful server does; without it, what was signed before no
// longer verifies.
func (s *Server) RotateKeys(keepOld bool) { s.keys.rotate(keepOld) }

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request) error {
	set, err := s.keys.public()
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, set)
	return nil
}
