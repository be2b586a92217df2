package clientauth

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/umagate/umagate/controlplane/secret"
)

// Method is a client authentication method, as token_endpoint_auth_method
// spells it (OpenID Connect Core section 9).
type Method string

// The methods.
const (
	SecretBasic   Method = "client_secret_basic"
	SecretPost    Method = "client_secret_post"
	SecretJWT     Method = "client_secret_jwt"
	PrivateKeyJWT Method = "private_key_jwt"
	// The client's certificate, signed by somebody the AS trusts, or by the client
	// itself (RFC 8705 section 2).
	TLS           Method = "tls_client_auth"
	SelfSignedTLS Method = "self_signed_tls_client_auth"
	// None is a public client's: it names itself, and proves nothing.
	None Method = "none"
)

// Methods lists those that prove something.
func Methods() []Method {
	return []Method{SecretBasic, SecretPost, SecretJWT, PrivateKeyJWT, TLS, SelfSignedTLS}
}

// HasSecret reports whether the method works with a client secret.
func (m Method) HasSecret() bool {
	return m == SecretBasic || m == SecretPost || m == SecretJWT || m == ""
}

// UsesTLS reports whether the client's certificate authenticates the connection.
func (m Method) UsesTLS() bool { return m == TLS || m == SelfSignedTLS }

// assertionLifetime is the validity of a client assertion.
const assertionLifetime = time.Minute

// Proof is what one request carries to authenticate the client.
type Proof struct {
	// Authorization is a whole header value, or empty.
	Authorization secret.Text
	// Form are members of the request's body.
	Form url.Values
	// Secrets are values that no message may repeat.
	Secrets []secret.Text
}

// Auth authenticates the client at the AS. Implementations are immutable
// and safe for concurrent use.
type Auth interface {
	// ClientID is the client_id.
	ClientID() string
	// Method is how it authenticates.
	Method() Method
	// Prove returns what one request carries. audience names the AS, in the aud of an
	// assertion (RFC 7523 section 3); the other methods ignore it. An error means that
	// the key cannot sign: nothing is sent then.
	Prove(audience string) (Proof, error)
}

// NewSecret authenticates with a client secret by one of the three methods
// that have one. now is the clock of assertions; time.Now when nil.
func NewSecret(method Method, clientID string, clientSecret secret.Text, now func() time.Time) (Auth, error) {
	switch method {
	case SecretBasic, "":
		return basicAuth{clientID, clientSecret}, nil
	case SecretPost:
		return postAuth{clientID, clientSecret}, nil
	case SecretJWT:
		return NewSigned(method, clientID, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(clientSecret.Reveal())}, now)
	case PrivateKeyJWT, TLS, SelfSignedTLS:
		return nil, fmt.Errorf("clientauth: %s takes a key, not a secret", method)
	case None:
		return nil, fmt.Errorf("clientauth: a client of method %s has no secret", method)
	default:
		return nil, fmt.Errorf("clientauth: client authentication %q: write one of %v", method, Methods())
	}
}

// NewTLS authenticates with the certificate of the connection (RFC 8705
// section 2); the transport has to present it.
func NewTLS(method Method, clientID string) Auth { return tlsAuth{method, clientID} }

// NewPublic names a client that has nothing to prove itself with (RFC 6749
// section 2.1).
func NewPublic(clientID string) Auth { return publicAuth{clientID} }

// NewSigned authenticates with a JWT signed by key (RFC 7523 section 2.2).
func NewSigned(method Method, clientID string, key jose.SigningKey, now func() time.Time) (Auth, error) {
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("clientauth: %s: the key does not fit algorithm %s: %w", method, key.Algorithm, err)
	}
	if now == nil {
		now = time.Now
	}
	return assertionAuth{method: method, id: clientID, signer: signer, now: now}, nil
}

// basicAuthorization is the Authorization value of client_secret_basic: id and
// secret are form-encoded first (RFC 6749 section 2.3.1).
func basicAuthorization(clientID string, clientSecret secret.Text) secret.Text {
	pair := url.QueryEscape(clientID) + ":" + url.QueryEscape(clientSecret.Reveal())
	return secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(pair)))
}

type basicAuth struct {
	id     string
	secret secret.Text
}

func (a basicAuth) ClientID() string { return a.id }
func (a basicAuth) Method() Method   { return SecretBasic }
func (a basicAuth) Prove(string) (Proof, error) {
	return Proof{
		Authorization: basicAuthorization(a.id, a.secret),
		Secrets:       []secret.Text{a.secret},
	}, nil
}

type postAuth struct {
	id     string
	secret secret.Text
}

func (a postAuth) ClientID() string { return a.id }
func (a postAuth) Method() Method   { return SecretPost }
func (a postAuth) Prove(string) (Proof, error) {
	return Proof{
		Form:    url.Values{"client_id": {a.id}, "client_secret": {a.secret.Reveal()}},
		Secrets: []secret.Text{a.secret},
	}, nil
}

type assertionAuth struct {
	method Method
	id     string
	signer jose.Signer
	now    func() time.Time
}

func (a assertionAuth) ClientID() string { return a.id }
func (a assertionAuth) Method() Method   { return a.method }
func (a assertionAuth) Prove(audience string) (Proof, error) {
	now := a.now()
	// The audience is one string: Keycloak refuses a list.
	claims := map[string]any{
		"iss": a.id, "sub": a.id, "aud": audience, "jti": rand.Text(),
		"iat": now.Unix(), "exp": now.Add(assertionLifetime).Unix(),
	}
	assertion, err := jwt.Signed(a.signer).Claims(claims).Serialize()
	if errors.Is(err, jose.ErrInvalidKeySize) {
		return Proof{}, fmt.Errorf("the client secret is too short to sign the assertion of %s with (RFC 7518 section 3.2): %w", a.method, err)
	}
	if err != nil {
		return Proof{}, fmt.Errorf("sign the assertion of %s: %w", a.method, err)
	}
	return Proof{Form: url.Values{
		"client_id":             {a.id},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}}, nil
}

type tlsAuth struct {
	method Method
	id     string
}

func (a tlsAuth) ClientID() string { return a.id }
func (a tlsAuth) Method() Method   { return a.method }

// Prove names the client: a certificate does not say which one it is of (RFC 8705
// section 2).
func (a tlsAuth) Prove(string) (Proof, error) {
	return Proof{Form: url.Values{"client_id": {a.id}}}, nil
}

type publicAuth struct{ id string }

func (a publicAuth) ClientID() string { return a.id }
func (a publicAuth) Method() Method   { return None }
func (a publicAuth) Prove(string) (Proof, error) {
	return Proof{Form: url.Values{"client_id": {a.id}}}, nil
}
