package site

import (
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

// Client is the site's client at the AS: either Register, or ID with a credential.
type Client struct {
	// Register the client dynamically (RFC 7591). "register: {}" needs nothing else
	// where the AS lets anybody register.
	Register *Register `yaml:"register"`
	// client_id of a client that exists.
	ID string `yaml:"id"`
	// Its client_secret.
	Secret secret.Text `yaml:"secret"`
	// Its private key in PEM: for private_key_jwt, or that of the certificate. Left
	// out, umagate makes keys of its own, see keys.
	PrivateKey secret.Text `yaml:"private_key"`
	// File with the client's certificate in PEM, and what it was signed by, for
	// tls_client_auth and self_signed_tls_client_auth.
	CertificateFile string `yaml:"certificate_file"`
	// How the client authenticates: client_secret_basic (default),
	// client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth or
	// self_signed_tls_client_auth.
	TokenEndpointAuthMethod clientauth.Method `yaml:"token_endpoint_auth_method"`
	// The algorithm of client assertions. Default ES256 for keys of umagate's own, HS256
	// for client_secret_jwt, else the one that goes with private_key.
	TokenEndpointAuthSigningAlg jose.SignatureAlgorithm `yaml:"token_endpoint_auth_signing_alg"`
	// The aud of client assertions: issuer, token_endpoint, or a value of its own.
	// Default: as the dialect has it.
	AssertionAudience string `yaml:"assertion_audience"`
	// Keys that umagate makes, keeps and replaces by itself, for private_key_jwt and
	// self_signed_tls_client_auth without private_key.
	Keys *Keys `yaml:"keys"`

	// Certificate is the content of CertificateFile, read when the file was parsed;
	// relative names start beside umagate.yaml.
	Certificate string `yaml:"-"`
}

// Register is dynamic client registration.
type Register struct {
	// The initial access token, where the AS asks for one.
	InitialAccessToken secret.Text `yaml:"initial_access_token"`
	// A software statement (RFC 7591 section 2.3), passed on as it is.
	SoftwareStatement secret.Text `yaml:"software_statement"`
	// client_name. Default: "umagate " and the site's name.
	ClientName string `yaml:"client_name"`
	// Further members of the client metadata (RFC 7591 section 2), sent as they are.
	Metadata json.RawMessage `yaml:"metadata"`
}

// Keys are the keys that umagate makes for the client.
type Keys struct {
	// How old a key gets before another takes its place. Default 720h; 0s for never,
	// but for "umagate keys rotate".
	RotateEvery time.Duration `yaml:"rotate_every" range:"1m, such as 720h" zero:"never"`
	// How long the key before stays published after that. Default 1h.
	Overlap time.Duration `yaml:"overlap" range:"0s, such as 1h"`
	// Where the AS reaches the control plane's /v1/sites/SITE/jwks.json. It is
	// registered as jwks_uri; left out, the keys are sent to the AS themselves.
	JWKSURI string `yaml:"jwks_uri"`
	// How long a key is published at jwks_uri before it is used, because the AS
	// keeps what it has read for a while. Default 1m.
	PublishBefore time.Duration `yaml:"publish_before" range:"0s to 24h, such as 1m"`
}

func (k *Keys) setDefaults() {
	*k = Keys{RotateEvery: 720 * time.Hour, Overlap: time.Hour, PublishBefore: time.Minute}
}

// OwnKeys returns the settings of the keys that umagate makes for the client; false
// where it makes none.
func (c *Client) OwnKeys() (Keys, bool) {
	makes := c.Keys != nil || c.Register != nil
	if !makes || !c.PrivateKey.IsZero() || c.TokenEndpointAuthMethod != clientauth.PrivateKeyJWT && c.TokenEndpointAuthMethod != clientauth.SelfSignedTLS {
		return Keys{}, false
	}
	if c.Keys != nil {
		return *c.Keys, true
	}
	var keys Keys
	keys.setDefaults()
	return keys, true
}

// PAT is how the protection API access token is obtained.
type PAT struct {
	// client_credentials (default): the resources are the client's own.
	// authorization_code: they are a person's, who says so once with "umagate login".
	Grant PATGrant `yaml:"grant"`
	// The scopes of the PAT. Default: as the dialect has it.
	Scopes []string `yaml:"scopes" jsonschema:"minItems=1"`
	// Where the login's answer comes to, on loopback. Without a port, which is the
	// default, umagate takes a free one, as RFC 8252 lets an AS allow.
	RedirectURI string `yaml:"redirect_uri"`
}

// PATGrant is how a PAT is obtained.
type PATGrant string

// The grants.
const (
	PATClientCredentials PATGrant = "client_credentials"
	PATAuthorizationCode PATGrant = "authorization_code"
)

func (p *PAT) setDefaults() {
	*p = PAT{Grant: PATClientCredentials, RedirectURI: "http://127.0.0.1/callback"}
}
