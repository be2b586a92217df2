// Package tokenkey has the keys of internal tokens, by which filters tell an API who asks.
//
// Every key follows from one secret, which the replicas share: from it, the site, the
// version that the site's file has and the day. So nothing is to be renewed or told apart, an Envoy that has one site's key signs for
// no other, and a key that was lost is worth two days. A day's key may sign until the next
// day has ended, so that Envoys sign on while the control plane is down.
//
// [Keys] is used by the control plane's server only, [Handler] by the filters of Envoys.
package tokenkey

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/secret"
)

const (
	// period is how long a key is given out.
	period = 24 * time.Hour
	// published is how many periods before and after the one that is now have their keys
	// among the public ones: a token of yesterday's key may be signed today, that of the day
	// before yesterday is a few minutes old at most, and tomorrow's is known before it signs.
	publishedBefore, publishedAfter = 2, 1
)

// Keys are those of all sites.
type Keys struct {
	secret secret.Text
}

// New makes the keys that follow from a secret.
func New(shared secret.Text) Keys { return Keys{shared} }

// Key is a private key, and how long it is to be used.
type Key struct {
	ID string
	// Seed is the private key (RFC 8032 section 5.1.5) in base64url.
	Seed secret.Text
	// RenewIn is when the next one is to be asked for, ExpiresIn when it signs no more.
	RenewIn, ExpiresIn time.Duration
}

// Site is whose keys they are: its name, and which version of them may sign. All others are
// withdrawn.
type Site struct {
	Name    string
	Version int
}

// Current returns the key that a site signs with now.
func (k Keys) Current(site Site, now time.Time) (Key, error) {
	n := periodOf(now)
	private, err := k.private(site, n)
	if err != nil {
		return Key{}, err
	}
	id, err := keyID(private)
	if err != nil {
		return Key{}, err
	}
	left := time.Unix((n+1)*int64(period/time.Second), 0).Sub(now)
	return Key{ID: id, Seed: secret.New(base64.RawURLEncoding.EncodeToString(private.Seed())), RenewIn: left, ExpiresIn: left + period}, nil
}

// Public returns the keys that verify the tokens of a site, the one that signs now first.
func (k Keys) Public(site Site, now time.Time) (jose.JSONWebKeySet, error) {
	var out jose.JSONWebKeySet
	n := periodOf(now)
	periods := []int64{n, n + publishedAfter}
	for before := int64(1); before <= publishedBefore; before++ {
		periods = append(periods, n-before)
	}
	for _, n := range periods {
		private, err := k.private(site, n)
		if err != nil {
			return out, err
		}
		id, err := keyID(private)
		if err != nil {
			return out, err
		}
		out.Keys = append(out.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: string(jose.EdDSA), Use: "sig"})
	}
	return out, nil
}

// Credential is what Envoys that have the site show where they ask for its key.
func (k Keys) Credential(site Site) (secret.Text, error) {
	value, err := k.derive("credential", site, "")
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(base64.RawURLEncoding.EncodeToString(value)), nil
}

func periodOf(now time.Time) int64 { return now.Unix() / int64(period/time.Second) }

func (k Keys) private(site Site, n int64) (ed25519.PrivateKey, error) {
	seed, err := k.derive("key", site, strconv.FormatInt(n, 10))
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// derive is RFC 5869. The names of sites have no space.
func (k Keys) derive(what string, site Site, when string) ([]byte, error) {
	info := "umagate internal token " + what + " " + site.Name + " " + when
	if site.Version != 0 {
		info += " " + strconv.Itoa(site.Version)
	}
	value, err := hkdf.Key(sha256.New, []byte(k.secret.Reveal()), nil, info, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the %s of internal tokens: %w", what, err)
	}
	return value, nil
}

// keyID is the key's thumbprint (RFC 7638).
func keyID(private ed25519.PrivateKey) (string, error) {
	public := jose.JSONWebKey{Key: private.Public()}
	sum, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name the key of internal tokens: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}
