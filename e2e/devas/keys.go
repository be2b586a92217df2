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

// keyring holds one signing key for each algorithm, and the public halves of
// those before. It is safe for concurrent use.
type keyring struct {
	mu      sync.RWMutex
	current map[string]jose.JSONWebKey
	retired []jose.JSONWebKey
}

func newKeyring() (*keyring, error) {
	k := &keyring{}
	return k, k.rotate(false)
}

// rotate replaces the signing keys. The public halves of the old ones stay
// published if keep is set.
func (k *keyring) rotate(keep bool) error {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make the RS256 key: %w", err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the ES256 key: %w", err)
	}
	next := map[string]jose.JSONWebKey{}
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{jose.RS256: rsaKey, jose.ES256: ecKey} {
		next[string(alg)] = jose.JSONWebKey{Key: key, KeyID: randomID(), Algorithm: string(alg), Use: "sig"}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if keep {
		for _, old := range k.current {
			k.retired = append(k.retired, old.Public())
		}
	} else {
		k.retired = nil
	}
	k.current = next
	return nil
}

// public returns the JWKS.
func (k *keyring) public() jose.JSONWebKeySet {
	k.mu.RLock()
	defer k.mu.RUnlock()
	set := jose.JSONWebKeySet{}
	for _, alg := range signingAlgs() {
		key := k.current[alg]
		set.Keys = append(set.Keys, key.Public())
	}
	set.Keys = append(set.Keys, k.retired...)
	return set
}

// sign makes a compact JWS of claims, with typ in its header.
func (k *keyring) sign(alg, typ string, claims any) (string, error) {
	k.mu.RLock()
	key, ok := k.current[alg]
	k.mu.RUnlock()
	if !ok {
		return "", fmt.Errorf("sign with %q: want one of %v", alg, signingAlgs())
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
	set := k.public()
	if err := parsed.Claims(&set, claims...); err != nil {
		return fmt.Errorf("verify JWT: %w", err)
	}
	return nil
}

// RotateKeys replaces the signing keys. With keepOld the old public keys stay in
// the JWKS, as a careful server does; without it, what was signed before no
// longer verifies.
func (s *Server) RotateKeys(keepOld bool) error { return s.keys.rotate(keepOld) }

func (s *Server) serveJWKS(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, s.keys.public())
	return nil
}
