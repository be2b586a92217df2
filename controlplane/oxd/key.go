package oxd

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// authentication is how a client proves who it is at the token endpoint.
type authentication struct {
	method clientauth.Method
	// alg signs assertions; empty for methods that sign nothing.
	alg jose.SignatureAlgorithm
}

// authentication reads client_token_endpoint_auth_method and …_signing_alg.
func (m *Metadata) authentication() (authentication, error) {
	return chooseAuthentication("client_token_endpoint_auth_signing_alg", m.AuthMethod, m.AuthAlg)
}

func chooseAuthentication(name, method, alg string) (authentication, error) {
	a := authentication{method: clientauth.Method(cmp.Or(method, string(clientauth.SecretBasic))), alg: jose.SignatureAlgorithm(alg)}
	var algs []jose.SignatureAlgorithm
	var usual jose.SignatureAlgorithm
	switch a.method {
	case clientauth.SecretBasic, clientauth.SecretPost:
		// Nothing is signed, and so "none" is true.
		if a.alg != "" && a.alg != "none" {
			return a, fail(CodeInvalidAlgorithm, "%s %s has no effect with %s: it is for client_secret_jwt and private_key_jwt", name, a.alg, a.method)
		}
		a.alg = ""
		return a, nil
	case clientauth.SecretJWT:
		algs, usual = clientauth.SecretAlgorithms(), jose.HS256
	case clientauth.PrivateKeyJWT:
		algs, usual = clientauth.KeyAlgorithms(), jose.RS256
	default:
		return a, fail(CodeBadRequest, "client authentication %q: write client_secret_basic, client_secret_post, client_secret_jwt or private_key_jwt", method)
	}
	if a.alg == "" {
		a.alg = usual
	}
	if !slices.Contains(algs, a.alg) {
		return a, fail(CodeInvalidAlgorithm, "%s with %s must be one of %v", name, a.method, algs)
	}
	return a, nil
}

// rsaBits is the size of an RP's RSA keys: the application waits while one is made.
const rsaBits = 2048

// newKey makes a private key for the algorithm, as it is stored.
func newKey(alg jose.SignatureAlgorithm) (secret.Text, error) {
	key, err := clientauth.GenerateKeySized(alg, rsaBits)
	if err != nil {
		return secret.Text{}, err
	}
	return key.JWK()
}

// clientAuth is how the RP authenticates at its OP.
func (s *rps) clientAuth(rp *RP) (clientauth.Auth, error) {
	return s.authFor(rp.ClientID, rp.Secrets.ClientSecret, rp.Secrets.Key, authentication{method: rp.AuthMethod, alg: jose.SignatureAlgorithm(rp.AuthAlg)})
}

func (s *rps) authFor(clientID string, clientSecret, key secret.Text, a authentication) (clientauth.Auth, error) {
	switch a.method {
	case clientauth.SecretJWT:
		signing := jose.SigningKey{Algorithm: a.alg, Key: []byte(clientSecret.Reveal())}
		auth, err := clientauth.NewSigned(a.method, clientID, signing, s.now)
		if err == nil {
			_, err = auth.Prove("https://op.example.com") // the key's length is judged when it signs
		}
		if err != nil {
			return nil, fail(CodeInvalidAlgorithm, "the client secret is too short for %s (RFC 7518 section 3.2)", a.alg).because(err)
		}
		return auth, nil
	case clientauth.PrivateKeyJWT:
		own, err := clientauth.ParseJWK(key, a.alg)
		if err != nil {
			return nil, err
		}
		return own.Auth(clientID, s.now)
	default:
		return clientauth.NewSecret(a.method, clientID, clientSecret, s.now)
	}
}

// newSecret makes a client secret where the OP gives none.
func newSecret() secret.Text {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it cannot fail, see crypto/rand
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:]))
}
