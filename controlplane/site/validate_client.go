package site

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

func (v *validator) client(path string, as *AuthorizationServer) {
	c := &as.Client
	switch {
	case c.Register == nil && c.ID == "":
		v.fault(path, "there is no client", `write register: {} to register one, or id and secret of one that exists`)
	case c.Register != nil && (c.ID != "" || !c.Secret.IsZero()):
		v.fault(path, "is registered, and given too", "keep either register or id with its credential")
	}
	v.credential(path, c)
	v.certificate(path, c)
	v.signingAlg(path, c)
	v.ownKeys(path, c)
	if c.Register != nil {
		v.metadata(path+".register.metadata", c.Register.Metadata)
	}
	if c.TokenEndpointAuthMethod.UsesTLS() && strings.HasPrefix(as.Issuer, "http:") {
		v.fault(path+".token_endpoint_auth_method", "needs https, and the issuer is http", "write an https issuer, or another method")
	}
}

// credential checks that what the method needs is there, and nothing else.
func (v *validator) credential(path string, c *Client) {
	method := c.TokenEndpointAuthMethod
	switch method {
	case AuthPrivateKeyJWT:
		if c.Register == nil && c.PrivateKey.IsZero() && c.Keys == nil {
			v.fault(path+".private_key", "is missing, and the client authenticates with private_key_jwt",
				"write private_key: {file: PATH}, or keys: {} for keys that umagate makes")
		}
	case AuthTLS:
		if c.CertificateFile == "" {
			v.fault(path+".certificate_file", "is missing, and the client authenticates with tls_client_auth", "write certificate_file: PATH and private_key: {file: PATH}")
		}
		if c.PrivateKey.IsZero() {
			v.fault(path+".private_key", "is missing, and the client authenticates with tls_client_auth", "write private_key: {file: PATH}")
		}
	case AuthSelfSignedTLS:
		if c.CertificateFile == "" && c.Register == nil && c.Keys == nil {
			v.fault(path+".certificate_file", "is missing, and the client authenticates with "+string(method),
				"write certificate_file: PATH and private_key: {file: PATH}, or keys: {} for a certificate that umagate makes")
		}
	default:
		if c.Register == nil && c.ID != "" && c.Secret.IsZero() {
			v.fault(path+".secret", "is missing", "write secret: {env: NAME} or {file: PATH}")
		}
		if !c.PrivateKey.IsZero() {
			v.fault(path+".private_key", "is not used with "+string(method), "take it out, or write token_endpoint_auth_method: private_key_jwt")
		}
	}
	if !c.Secret.IsZero() && (method == AuthPrivateKeyJWT || method.UsesTLS()) {
		v.fault(path+".secret", "is not used with "+string(method), "take it out")
	}
}

// certificate reads the client's certificate and joins it with its key.
func (v *validator) certificate(path string, c *Client) {
	at := path + ".certificate_file"
	switch {
	case c.CertificateFile == "":
		return
	case !c.TokenEndpointAuthMethod.UsesTLS():
		v.fault(at, "is not used with "+string(c.TokenEndpointAuthMethod), "take it out, or write token_endpoint_auth_method: tls_client_auth")
		return
	case c.PrivateKey.IsZero():
		v.fault(path+".private_key", "is missing: it belongs to certificate_file", "write private_key: {file: PATH}")
		return
	case v.env.ReadFile == nil:
		return
	}
	chain, err := v.env.ReadFile(c.CertificateFile)
	if err != nil {
		if !v.env.SkipSecrets {
			v.fault(at, "cannot be read: "+err.Error(), "check its name, beside the configuration, and who may read it")
		}
		return
	}
	c.Certificate = string(chain)
	if v.env.SkipSecrets {
		return
	}
	pair, err := tls.X509KeyPair(chain, []byte(c.PrivateKey.Reveal()))
	if err != nil {
		// The cause may quote the key.
		v.fault(at, "is not a certificate in PEM that private_key belongs to", "write the certificate first, then what it was signed by; and the key it was made with")
		return
	}
	if leaf, err := x509.ParseCertificate(pair.Certificate[0]); err == nil && time.Now().After(leaf.NotAfter) {
		v.warn(at, "the certificate has expired, on "+leaf.NotAfter.UTC().Format(time.DateOnly), "put a new one there")
	}
}

// signingAlg checks that the algorithm goes with the method and the key.
func (v *validator) signingAlg(path string, c *Client) {
	at := path + ".token_endpoint_auth_signing_alg"
	alg := string(c.TokenEndpointAuthSigningAlg)
	var fitting []string
	switch c.TokenEndpointAuthMethod {
	case AuthSecretJWT:
		fitting = []string{"HS256", "HS384", "HS512"}
	case AuthPrivateKeyJWT, AuthSelfSignedTLS:
		fitting = slices.DeleteFunc(signingAlgs(), func(a string) bool { return strings.HasPrefix(a, "HS") })
		if !c.PrivateKey.IsZero() && !v.env.SkipSecrets {
			if fitting = algorithmsOf(c.PrivateKey); fitting == nil {
				v.fault(path+".private_key", "is not an RSA, P-256, P-384, P-521 or Ed25519 key in PEM", "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
				return
			}
		}
	default:
		if alg != "" {
			v.fault(at, "is not used with "+string(c.TokenEndpointAuthMethod), "take it out")
		}
		return
	}
	if alg != "" && !slices.Contains(fitting, alg) {
		v.fault(at, alg+" does not go with the method and the key", "one of "+strings.Join(fitting, ", "))
	}
}

// algorithmsOf lists what a private key in PEM can sign with; nil for what is none.
func algorithmsOf(key secret.Text) []string {
	for rest := []byte(key.Reveal()); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			if parsed, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
				parsed, err = x509.ParseECPrivateKey(block.Bytes)
			}
		}
		if err != nil {
			continue
		}
		switch parsed := parsed.(type) {
		case *rsa.PrivateKey:
			return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
		case ed25519.PrivateKey:
			return []string{"EdDSA"}
		case *ecdsa.PrivateKey:
			byCurve := map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
			if alg, ok := byCurve[parsed.Curve.Params().Name]; ok {
				return []string{alg}
			}
		}
	}
}

func (v *validator) ownKeys(path string, c *Client) {
	k := c.Keys
	if k == nil {
		return
	}
	at := path + ".keys"
	if _, ok := c.OwnKeys(); !ok {
		if c.PrivateKey.IsZero() {
			v.fault(at, "is not used with "+string(c.TokenEndpointAuthMethod), "take it out, or write token_endpoint_auth_method: private_key_jwt")
		} else {
			v.fault(at, "umagate makes no keys where private_key is given", "keep either keys or private_key")
		}
		return
	}
	if k.JWKSURI != "" {
		if u := v.url(at+".jwks_uri", k.JWKSURI); u != nil && u.Scheme == "http" && !loopback(u.Hostname()) {
			v.fault(at+".jwks_uri", "is http: whoever is in between can put keys of its own there", "write https://, or leave it out so that the keys are sent to the authorization server")
		}
	}
}

// metadata checks that the further members are an object, without those that have
// a key of their own or are the AS's to say.
func (v *validator) metadata(path string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		v.fault(path, "is not a mapping", "write members of the client metadata (RFC 7591 section 2), such as {client_uri: https://photos.example.com}")
		return
	}
	instead := map[string]string{
		"client_name": "register.client_name", "software_statement": "register.software_statement",
		"token_endpoint_auth_method": "client.token_endpoint_auth_method", "token_endpoint_auth_signing_alg": "client.token_endpoint_auth_signing_alg",
		"jwks": "client.keys", "jwks_uri": "client.keys.jwks_uri",
		"client_id": "", "client_secret": "", "client_secret_expires_at": "", "client_id_issued_at": "",
		"registration_access_token": "", "registration_client_uri": "",
	}
	for name := range members {
		key, ok := instead[name]
		switch {
		case !ok:
		case key == "":
			v.fault(path+"."+name, "is the authorization server's to say", "take it out")
		default:
			v.fault(path+"."+name, "has a key of its own", "write it as "+key)
		}
	}
}

// pat checks how the PAT is obtained.
func (v *validator) pat(path string, as *AuthorizationServer) {
	at := path + ".pat"
	for i, scope := range as.PAT.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\n\"\\") {
			v.fault(fmt.Sprintf("%s.scopes[%d]", at, i), "is not a scope", "write one scope for each entry (RFC 6749 section 3.3)")
		}
	}
	u, err := url.Parse(as.PAT.RedirectURI)
	if err != nil || u.Scheme != "http" || !loopback(u.Hostname()) || u.Path == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		v.fault(at+".redirect_uri", "is not an http address of loopback with a path", "write http://127.0.0.1/callback, with a port if the authorization server wants one (RFC 8252 section 7.3)")
	}
}
