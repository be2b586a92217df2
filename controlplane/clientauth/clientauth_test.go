package clientauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/clientauth"
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
	clientSecret := secret.New("a secret of sixty-four bytes or more, which is what HS512 has to have")
	now := time.Unix(1_790_000_000, 0)
	clock := func() time.Time { return now }
	made, err := clientauth.GenerateKey(jose.RS256)
	require.NoError(t, err)
	rsaKey, err := made.PEM()
	require.NoError(t, err)
	for _, algorithm := range slices.Concat(clientauth.SecretAlgorithms(), clientauth.KeyAlgorithms()) {
		t.Run(string(algorithm), func(t *testing.T) {
			t.Parallel()
			var auth clientauth.Auth
			var verify any = []byte(clientSecret.Reveal())
			kid := ""
			if slices.Contains(clientauth.SecretAlgorithms(), algorithm) {
				var err error
				auth, err = clientauth.NewSigned(clientauth.SecretJWT, "rs", jose.SigningKey{Algorithm: algorithm, Key: verify}, clock)
				require.NoError(t, err)
			} else {
				stored := rsaKey // one for all: it takes a while to make
				if !strings.ContainsAny(string(algorithm)[:1], "RP") {
					made, err := clientauth.GenerateKey(algorithm)
					require.NoError(t, err)
					stored, err = made.PEM()
					require.NoError(t, err)
				}
				key, err := clientauth.ParseKey(stored, algorithm)
				require.NoError(t, err)
				auth, err = key.Auth("rs", clock)
				require.NoError(t, err)
				document, err := clientauth.JWKS([]clientauth.PublicKey{{Key: key}})
				require.NoError(t, err)
				require.NotContains(t, string(document), `"d"`, "no private part")
				var set jose.JSONWebKeySet
				require.NoError(t, json.Unmarshal(document, &set))
				require.Len(t, set.Keys, 1)
				require.Equal(t, "sig", set.Keys[0].Use)
				require.Equal(t, string(algorithm), set.Keys[0].Algorithm)
				require.True(t, set.Keys[0].IsPublic())
				kid, verify = key.ID, set.Keys[0].Key
				require.Equal(t, kid, set.Keys[0].KeyID)
			}
			first, err := auth.Prove("https://as.example.com/token")
			require.NoError(t, err)
			require.True(t, first.Authorization.IsZero())
			parsed, err := jwt.ParseSigned(first.Form.Get("client_assertion"), []jose.SignatureAlgorithm{algorithm})
			require.NoError(t, err)
			require.Equal(t, kid, parsed.Headers[0].KeyID)
			var claims, other map[string]any
			require.NoError(t, parsed.Claims(verify, &claims))
			require.Equal(t, "rs", claims["iss"])
			require.Equal(t, "rs", claims["sub"])
			require.Equal(t, "https://as.example.com/token", claims["aud"], "one string: some refuse a list")
			require.InDelta(t, now.Unix()+60, claims["exp"], 0)
			second, err := auth.Prove("https://as.example.com/token")
			require.NoError(t, err)
			parsed, err = jwt.ParseSigned(second.Form.Get("client_assertion"), []jose.SignatureAlgorithm{algorithm})
			require.NoError(t, err)
			require.NoError(t, parsed.Claims(verify, &other))
			require.NotEqual(t, claims["jti"], other["jti"])
		})
	}
}

func TestGivenKeys(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	sec1, err := x509.MarshalECPrivateKey(ecKey)
	require.NoError(t, err)
	withCertificate := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	tests := []struct {
		name    string
		pem     string
		asked   jose.SignatureAlgorithm
		want    jose.SignatureAlgorithm
		problem error
	}{
		{"RSA by default", pkcs8(t, rsaKey).Reveal(), "", jose.RS256, nil},
		{"RSA as asked", pkcs8(t, rsaKey).Reveal(), jose.PS512, jose.PS512, nil},
		{"PKCS#1", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)})), "", jose.RS256, nil},
		{"SEC 1 after a certificate", withCertificate + string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), "", jose.ES384, nil},
		{"curve of another algorithm", pkcs8(t, ecKey).Reveal(), jose.ES256, "", clientauth.ErrKeyAlgorithm},
		{"RSA for EC", pkcs8(t, rsaKey).Reveal(), jose.ES256, "", clientauth.ErrKeyAlgorithm},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key, err := clientauth.ParseKey(secret.New(tt.pem), tt.asked)
			require.ErrorIs(t, err, tt.problem)
			require.Equal(t, tt.want, key.Algorithm)
			require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", key, key, key, key), "PRIVATE")
		})
	}
}

func TestSelfSignedCertificate(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_790_000_000, 0)
	key, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	private, err := key.PEM()
	require.NoError(t, err)
	chain, err := clientauth.SelfSigned(key, "umagate photos", now, time.Hour)
	require.NoError(t, err)
	pair, err := clientauth.Certificate(chain, private)
	require.NoError(t, err)
	require.Equal(t, "umagate photos", pair.Leaf.Subject.CommonName)
	require.Equal(t, now.Add(time.Hour).Unix(), pair.Leaf.NotAfter.Unix())
	document, err := clientauth.JWKS([]clientauth.PublicKey{{Key: key, Certificate: pair.Leaf}})
	require.NoError(t, err)
	require.Contains(t, string(document), "x5c")
	other, err := clientauth.GenerateKey(jose.ES256)
	require.NoError(t, err)
	stranger, err := other.PEM()
	require.NoError(t, err)
	_, err = clientauth.Certificate(chain, stranger)
	require.ErrorIs(t, err, clientauth.ErrCertificate)
	require.NotContains(t, err.Error(), "PRIVATE")
	proof, err := clientauth.NewTLS(clientauth.TLS, "rs").Prove("")
	require.NoError(t, err)
	require.Equal(t, url.Values{"client_id": {"rs"}}, proof.Form)
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "no key", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n"} {
		_, err := clientauth.ParseKey(secret.New(text), "")
		require.Error(t, err)
		require.NotContains(t, err.Error(), "c2Vj")
	}
	_, err := clientauth.NewSecret("password", "rs", secret.New("x"), nil)
	require.ErrorContains(t, err, "client_secret_basic")
}
