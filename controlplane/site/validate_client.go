package site

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/umagate/umagate/controlplane/clientauth"
)

func (v *validator) client(path string, server *AuthorizationServer) {
	c := &server.Client
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
	if c.TokenEndpointAuthMethod.UsesTLS() && strings.HasPrefix(server.Issuer, "http:") {
		v.fault(path+".token_endpoint_auth_method", "needs https, and the issuer is http", "write an https issuer, or another method")
	}
}

// credential checks that what the method needs is there, and nothing else.
func (v *validator) credential(path string, c *Client) {
	method := c.TokenEndpointAuthMethod
	switch method {
	case clientauth.PrivateKeyJWT:
		if c.Register == nil && c.PrivateKey.IsZero() && c.Keys == nil {
			v.fault(path+".private_key", "is missing, and the client authenticates with private_key_jwt",
				"write private_key: {file: PATH}, or keys: {} for keys that umagate makes")
		}
	case clientauth.TLS:
		if c.CertificateFile == "" {
			v.fault(path+".certificate_file", "is missing, and the client authenticates with tls_client_auth", "write certificate_file: PATH and private_key: {file: PATH}")
		}
		if c.PrivateKey.IsZero() {
			v.fault(path+".private_key", "is missing, and the client authenticates with tls_client_auth", "write private_key: {file: PATH}")
		}
	case clientauth.SelfSignedTLS:
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
	if !c.Secret.IsZero() && (method == clientauth.PrivateKeyJWT || method.UsesTLS()) {
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
	pair, err := clientauth.Certificate(c.Certificate, c.PrivateKey)
	if err != nil {
		v.fault(at, "is not a certificate in PEM that private_key belongs to", "write the certificate first, then what it was signed by; and the key it was made with")
		return
	}
	if leaf := pair.Leaf; time.Now().After(leaf.NotAfter) {
		v.warn(at, "the certificate has expired, on "+leaf.NotAfter.UTC().Format(time.DateOnly), "put a new one there")
	}
}

// signingAlg checks that the algorithm goes with the method and the key.
func (v *validator) signingAlg(path string, c *Client) {
	at := path + ".token_endpoint_auth_signing_alg"
	alg := c.TokenEndpointAuthSigningAlg
	var fitting []jose.SignatureAlgorithm
	switch c.TokenEndpointAuthMethod {
	case clientauth.SecretJWT:
		fitting = clientauth.SecretAlgorithms()
	case clientauth.PrivateKeyJWT, clientauth.SelfSignedTLS:
		fitting = clientauth.KeyAlgorithms()
		if !c.PrivateKey.IsZero() && !v.env.SkipSecrets {
			key, err := clientauth.ParseKey(c.PrivateKey, "")
			if err != nil {
				v.fault(path+".private_key", "is not an RSA, P-256, P-384, P-521 or Ed25519 key in PEM", "make one with: openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
				return
			}
			fitting = key.Algorithms()
		}
	default:
		if alg != "" {
			v.fault(at, "is not used with "+string(c.TokenEndpointAuthMethod), "take it out")
		}
		return
	}
	if alg != "" && !slices.Contains(fitting, alg) {
		v.fault(at, string(alg)+" does not go with the method and the key", "one of "+strings.Join(texts(fitting...), ", "))
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
		if u := v.url(at+".jwks_uri", k.JWKSURI); u != nil && u.Scheme == "http" && !local(u.Hostname()) {
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
func (v *validator) pat(path string, server *AuthorizationServer) {
	at := path + ".pat"
	for i, scope := range server.PAT.Scopes {
		if scope == "" || strings.ContainsAny(scope, " \t\n\"\\") {
			v.fault(fmt.Sprintf("%s.scopes[%d]", at, i), "is not a scope", "write one scope for each entry (RFC 6749 section 3.3)")
		}
	}
	u, err := url.Parse(server.PAT.RedirectURI)
	if err != nil || u.Scheme != "http" || !local(u.Hostname()) || u.Path == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		v.fault(at+".redirect_uri", "is not an http address of loopback with a path", "write http://127.0.0.1/callback, with a port if the authorization server wants one (RFC 8252 section 7.3)")
	}
}
