package oxd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// authentication is how a client proves who it is at the token endpoint.
type authentication struct {
	method as.AuthMethod
	// alg signs assertions; empty for methods that sign nothing.
	alg jose.SignatureAlgorithm
}

// secretAlgs sign with the client secret, keyAlgs with a private key.
func secretAlgs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.HS256, jose.HS384, jose.HS512}
}

func keyAlgs() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{
		jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
	}
}

// authentication reads client_token_endpoint_auth_method and …_signing_alg.
func (m *Metadata) authentication() (authentication, error) {
	return chooseAuthentication("client_token_endpoint_auth_signing_alg", m.AuthMethod, m.AuthAlg)
}

func chooseAuthentication(name, method, alg string) (authentication, error) {
	a := authentication{method: as.AuthMethod(firstText(method, string(as.AuthBasic))), alg: jose.SignatureAlgorithm(alg)}
	var algs []jose.SignatureAlgorithm
	switch a.method {
	case as.AuthBasic, as.AuthPost:
		// Nothing is signed, and so "none" is true.
		if a.alg != "" && a.alg != "none" {
			return a, fail(CodeInvalidAlgorithm, "%s %s has no effect with %s: it is for client_secret_jwt and private_key_jwt", name, a.alg, a.method)
		}
		a.alg = ""
		return a, nil
	case as.AuthSecretJWT:
		algs = secretAlgs()
	case as.AuthPrivateKeyJWT:
		algs = keyAlgs()
	default:
		return a, fail(CodeBadRequest, "client authentication %q: write client_secret_basic, client_secret_post, client_secret_jwt or private_key_jwt", method)
	}
	if a.alg == "" {
		a.alg = algs[0]
	}
	if !slices.Contains(algs, a.alg) {
		return a, fail(CodeInvalidAlgorithm, "%s with %s must be one of %v", name, a.method, algs)
	}
	return a, nil
}

// minRSABits is what an RSA key has.
const minRSABits = 2048

// newKey makes a private key for the algorithm, as a JWK with a random kid.
func newKey(alg jose.SignatureAlgorithm) (secret.Text, error) {
	var key crypto.Signer
	var err error
	switch {
	case alg == jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case alg == jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case alg == jose.ES512:
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case alg == jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case strings.HasPrefix(string(alg), "RS"), strings.HasPrefix(string(alg), "PS"):
		key, err = rsa.GenerateKey(rand.Reader, minRSABits)
	default:
		return secret.Text{}, fail(CodeInvalidAlgorithm, "there is no key for %s", alg)
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("oxd: make a key: %w", err)
	}
	encoded, err := json.Marshal(jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: string(alg), Use: "sig"})
	if err != nil {
		return secret.Text{}, fmt.Errorf("oxd: encode a key: %w", err)
	}
	return secret.New(string(encoded)), nil
}

// privateKey reads the JWK that newKey made.
func privateKey(key secret.Text) (jose.JSONWebKey, error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal([]byte(key.Reveal()), &jwk); err != nil || jwk.IsPublic() {
		// The cause may quote the key.
		return jwk, fmt.Errorf("oxd: the stored key is no private key")
	}
	return jwk, nil
}

// publicKeys is the JWKS that is registered.
func publicKeys(key secret.Text) (json.RawMessage, error) {
	jwk, err := privateKey(key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{jwk.Public()}})
}

// clientAuth is how the RP authenticates at its OP.
func (s *Server) clientAuth(rp *RP) (as.ClientAuth, error) {
	return s.authFor(rp.ClientID, rp.Secrets.ClientSecret, rp.Secrets.Key, authentication{method: rp.AuthMethod, alg: jose.SignatureAlgorithm(rp.AuthAlg)})
}

func (s *Server) authFor(clientID string, clientSecret, key secret.Text, a authentication) (as.ClientAuth, error) {
	switch a.method {
	case as.AuthSecretJWT:
		signing := jose.SigningKey{Algorithm: a.alg, Key: []byte(clientSecret.Reveal())}
		auth, err := as.NewKeyAuth(a.method, clientID, signing, s.config.Now)
		if err == nil {
			_, err = auth.Prove("https://op.example.com") // the key's length is judged when it signs
		}
		if err != nil {
			return nil, fail(CodeInvalidAlgorithm, "the client secret is too short for %s (RFC 7518 section 3.2)", a.alg).because(err)
		}
		return auth, nil
	case as.AuthPrivateKeyJWT:
		jwk, err := privateKey(key)
		if err != nil {
			return nil, err
		}
		return as.NewKeyAuth(a.method, clientID, jose.SigningKey{Algorithm: a.alg, Key: jwk}, s.config.Now)
	default:
		return as.NewSecretAuth(a.method, clientID, clientSecret, s.config.Now)
	}
}

// newSecret makes a client secret where the OP gives none.
func newSecret() secret.Text {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it cannot fail, see crypto/rand
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:]))
}
