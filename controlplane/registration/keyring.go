package registration

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// ownKey is a key that umagate made for the client.
type ownKey struct {
	store.ClientKey

	key         clientauth.Key
	certificate *tls.Certificate // nil for a key that only signs
}

// keyring is the client's keys, the oldest first. Its keys are not changed.
type keyring []*ownKey

func openKeyring(stored []store.ClientKey) (keyring, error) {
	var out keyring
	for _, k := range stored {
		opened := &ownKey{ClientKey: k}
		var err error
		if opened.key, err = clientauth.ParseKey(k.Private, jose.SignatureAlgorithm(k.Algorithm)); err != nil {
			return nil, fmt.Errorf("stored key %s: %w", k.ID, err)
		}
		if k.Certificate != "" {
			pair, err := clientauth.Certificate(k.Certificate, k.Private)
			if err != nil {
				return nil, fmt.Errorf("stored key %s: %w", k.ID, err)
			}
			opened.certificate = &pair
		}
		out = append(out, opened)
	}
	return out, nil
}

// newest is the newest key, nil when there is none.
func (r keyring) newest() *ownKey {
	if len(r) == 0 {
		return nil
	}
	return r[len(r)-1]
}

// inUse is the key to authenticate with: the newest active one, and before there
// is one the newest of all.
func (r keyring) inUse() *ownKey {
	for _, k := range slices.Backward(r) {
		if k.State == store.KeyActive {
			return k
		}
	}
	return r.newest()
}

// next is the key that will take the place of the one in use; nil for none.
func (r keyring) next() *ownKey {
	if k := r.newest(); k != nil && (k.State == store.KeyNew || k.State == store.KeyPublished) {
		return k
	}
	return nil
}

// jwks is the public part of all keys.
func (r keyring) jwks() (json.RawMessage, error) {
	public := make([]clientauth.PublicKey, 0, len(r))
	for _, k := range r {
		var certificate *x509.Certificate
		if k.certificate != nil {
			certificate = k.certificate.Leaf
		}
		public = append(public, clientauth.PublicKey{Key: k.key, Certificate: certificate})
	}
	return clientauth.JWKS(public)
}

// without is the ring less those that which selects.
func (r keyring) without(which func(*ownKey) bool) keyring {
	return slices.DeleteFunc(slices.Clone(r), which)
}

// certificateLife is how long a certificate of umagate's own is good: it is replaced
// before, unless that fails for as long again.
func certificateLife(settings site.Keys) time.Duration {
	const never = 10 * 365 * 24 * time.Hour
	if settings.RotateEvery == 0 {
		return never
	}
	return 2*settings.RotateEvery + settings.Overlap + time.Hour
}

// newOwnKey makes a key as the file has it.
func newOwnKey(client *site.Client, settings site.Keys, name string, now time.Time) (store.ClientKey, error) {
	algorithm := ownAlgorithm(client)
	key, err := clientauth.GenerateKey(algorithm)
	if err != nil {
		return store.ClientKey{}, err
	}
	private, err := key.PEM()
	if err != nil {
		return store.ClientKey{}, err
	}
	out := store.ClientKey{
		ID: key.ID, Purpose: store.KeySignature, Algorithm: string(algorithm), State: store.KeyNew, Private: private, CreatedAt: now, StateAt: now,
	}
	if client.TokenEndpointAuthMethod == clientauth.SelfSignedTLS {
		out.Purpose = store.KeyTLS
		out.Certificate, err = clientauth.SelfSigned(key, name, now, certificateLife(settings))
	}
	return out, err
}

// ownAlgorithm is the algorithm of keys that umagate makes.
func ownAlgorithm(client *site.Client) jose.SignatureAlgorithm {
	if client.TokenEndpointAuthSigningAlg == "" {
		return jose.ES256
	}
	return client.TokenEndpointAuthSigningAlg
}

// fits reports whether a key is of the kind that the file asks for.
func (k *ownKey) fits(client *site.Client) bool {
	purpose := store.KeySignature
	if client.TokenEndpointAuthMethod == clientauth.SelfSignedTLS {
		purpose = store.KeyTLS
	}
	return k.Purpose == purpose && k.Algorithm == string(ownAlgorithm(client))
}
