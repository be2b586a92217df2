package cli

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/go-jose/go-jose/v4"
	"github.com/spf13/pflag"

	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// clientFlags say how the client of "umagate rpt" authenticates.
type clientFlags struct {
	method    string
	algorithm string
	keyFile   string
	certFile  string
}

func (f *clientFlags) register(s *pflag.FlagSet) {
	s.StringVar(&f.method, "auth-method", "", "how the client authenticates, by `METHOD`: client_secret_basic (where it has a secret), client_secret_post, client_secret_jwt, private_key_jwt, tls_client_auth, self_signed_tls_client_auth, none")
	s.StringVar(&f.algorithm, "auth-alg", "", "the `ALGORITHM` that signs the assertions of client_secret_jwt (HS256) and private_key_jwt (the key's usual one)")
	s.StringVar(&f.keyFile, "key", "", "`FILE` with the client's private key in PEM")
	s.StringVar(&f.certFile, "cert", "", "`FILE` with the client's certificate in PEM, for tls_client_auth")
}

// rptClient is who asks the authorization server. auth is nil where nobody does.
type rptClient struct {
	auth        clientauth.Auth
	certificate *tls.Certificate
}

// client makes what the flags say. A method that lacks what it needs, and a
// credential that the method does not use, are refused: never is another one taken.
func (f *clientFlags) client(env Environment, id string) (rptClient, error) {
	given := site.Client{ID: id, Secret: lookupSecret(env, "UMAGATE_CLIENT_SECRET"), TokenEndpointAuthSigningAlg: jose.SignatureAlgorithm(f.algorithm)}
	method := clientauth.Method(f.method)
	if id == "" {
		if *f != (clientFlags{}) {
			return rptClient{}, errors.New("name the client with --client ID")
		}
		return rptClient{}, nil
	}
	if method == "" {
		method = clientauth.None
		if !given.Secret.IsZero() {
			method = clientauth.SecretBasic
		}
	}
	if err := f.fit(method, !given.Secret.IsZero()); err != nil {
		return rptClient{}, err
	}
	if method == clientauth.None {
		return rptClient{auth: clientauth.NewPublic(id)}, nil
	}
	if f.keyFile != "" {
		pem, err := os.ReadFile(f.keyFile)
		if err != nil {
			return rptClient{}, fmt.Errorf("--key: %w", err)
		}
		given.PrivateKey = secret.New(string(pem))
	}
	if f.certFile != "" {
		pem, err := os.ReadFile(f.certFile)
		if err != nil {
			return rptClient{}, fmt.Errorf("--cert: %w", err)
		}
		given.Certificate, given.CertificateFile = string(pem), f.certFile
	}
	var out rptClient
	var err error
	if out.certificate, err = given.GivenCertificate(); err != nil {
		return rptClient{}, fmt.Errorf("--cert and --key: %w", err)
	}
	if out.auth, err = given.Auth(method, id, given.Secret); err == nil {
		// What cannot prove itself is told before anything is asked.
		_, err = out.auth.Prove("")
	}
	if err != nil {
		err = fmt.Errorf("--auth-method %s: %w", method, err)
	}
	return out, err
}

// fit compares the method with what was given.
func (f *clientFlags) fit(method clientauth.Method, hasSecret bool) error {
	if method != clientauth.None && !slices.Contains(clientauth.Methods(), method) {
		return fmt.Errorf("--auth-method %q: write one of %v, or none", f.method, clientauth.Methods())
	}
	for _, part := range []struct {
		name         string
		given, taken bool
	}{
		{"a client secret in $UMAGATE_CLIENT_SECRET", hasSecret, method.HasSecret()},
		{"--key FILE", f.keyFile != "", method == clientauth.PrivateKeyJWT || method.UsesTLS()},
		{"--cert FILE", f.certFile != "", method.UsesTLS()},
	} {
		switch {
		case part.taken && !part.given:
			return fmt.Errorf("--auth-method %s needs %s", method, part.name)
		case part.given && !part.taken && part.name[0] == '-': // the environment may have more than is used
			return fmt.Errorf("%s is not used with --auth-method %s: write private_key_jwt, tls_client_auth or self_signed_tls_client_auth", part.name, method)
		}
	}
	algorithms := map[clientauth.Method][]jose.SignatureAlgorithm{clientauth.SecretJWT: clientauth.SecretAlgorithms(), clientauth.PrivateKeyJWT: clientauth.KeyAlgorithms()}[method]
	if f.algorithm != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(f.algorithm)) {
		return fmt.Errorf("--auth-alg %q: --auth-method %s signs with %v", f.algorithm, method, algorithms)
	}
	return nil
}
