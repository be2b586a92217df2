package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	issuer     = "https://as.example.com"
	resourceID = "0e7f8a52-7b52-4b43-b85c-0f7d6a1c4a10"
	tokenCount = 32
)

// tokens are RS256 JWTs, as large as an authorization server's. To umagate they are
// opaque.
type tokens struct {
	keys   jose.JSONWebKeySet
	tokens []string
}

func newTokens() (tokens, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return tokens{}, fmt.Errorf("the signing key: %w", err)
	}
	options := (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "bench")
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, options)
	if err != nil {
		return tokens{}, fmt.Errorf("the signer: %w", err)
	}
	t := tokens{keys: jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{
		Key: key.Public(), KeyID: "bench", Algorithm: string(jose.RS256), Use: "sig",
	}}}}
	now := time.Now()
	for i := range tokenCount {
		payload, err := json.Marshal(map[string]any{
			"iss": issuer, "sub": fmt.Sprintf("user-%d", i), "client_id": "app", "scope": "view",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text(),
		})
		if err != nil {
			return tokens{}, fmt.Errorf("a token: %w", err)
		}
		signed, err := signer.Sign(payload)
		if err != nil {
			return tokens{}, fmt.Errorf("a token: %w", err)
		}
		compact, err := signed.CompactSerialize()
		if err != nil {
			return tokens{}, fmt.Errorf("a token: %w", err)
		}
		t.tokens = append(t.tokens, compact)
	}
	return t, nil
}
