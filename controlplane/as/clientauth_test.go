package as_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

func pkcs8(t *testing.T, key any) secret.Text {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

func TestAssertions(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	edPublic, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	clientSecret := secret.New("a secret of thirty-two bytes or more")
	now := time.Unix(1_790_000_000, 0)
	tests := []struct {
		name   string
		key    secret.Text // empty for client_secret_jwt
		alg    jose.SignatureAlgorithm
		verify any
	}{
		{"secret", secret.Text{}, jose.HS256, []byte(clientSecret.Reveal())},
		{"RSA", pkcs8(t, rsaKey), jose.RS256, &rsaKey.PublicKey},
		{"P-256", pkcs8(t, ecKey), jose.ES256, &ecKey.PublicKey},
		{"Ed25519", pkcs8(t, edKey), jose.EdDSA, edPublic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			clock := func() time.Time { return now }
			var auth as.ClientAuth
			var err error
			if tt.key.IsZero() {
				auth, err = as.NewSecretAuth(as.AuthSecretJWT, "rs", clientSecret, clock)
			} else {
				var key jose.SigningKey
				key, err = as.ParsePrivateKey(tt.key)
				require.NoError(t, err)
				auth, err = as.NewKeyAuth(as.AuthPrivateKeyJWT, "rs", key, clock)
			}
			require.NoError(t, err)
			first, err := auth.Prove("https://as.example.com/token")
			require.NoError(t, err)
			require.True(t, first.Authorization.IsZero())
			parsed, err := jwt.ParseSigned(first.Form.Get("client_assertion"), []jose.SignatureAlgorithm{tt.alg})
			require.NoError(t, err)
			var claims, other map[string]any
			require.NoError(t, parsed.Claims(tt.verify, &claims))
			require.Equal(t, "rs", claims["iss"])
			require.Equal(t, "rs", claims["sub"])
			require.Equal(t, "https://as.example.com/token", claims["aud"], "one string: some refuse a list")
			require.InDelta(t, now.Unix()+60, claims["exp"], 0)
			second, err := auth.Prove("https://as.example.com/token")
			require.NoError(t, err)
			parsed, err = jwt.ParseSigned(second.Form.Get("client_assertion"), []jose.SignatureAlgorithm{tt.alg})
			require.NoError(t, err)
			require.NoError(t, parsed.Claims(tt.verify, &other))
			require.NotEqual(t, claims["jti"], other["jti"])
		})
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "no key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n"} {
		_, err := as.ParsePrivateKey(secret.New(text))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "c2Vj")
	}
	_, err := as.NewSecretAuth("tls_client_auth", "rs", secret.New("x"), nil)
	require.ErrorContains(t, err, "client_secret_basic")
}
