package site_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/e2e/pki"
)

// clientFiles are what the rows of this file name.
func clientFiles(t *testing.T) site.Environment {
	t.Helper()
	pair := pki.New(t, "test").Issue(t, pki.Leaf{Names: []string{"rs"}})
	other := pki.New(t, "test").Issue(t, pki.Leaf{Names: []string{"rs"}})
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	files := map[string][]byte{
		"crt": pair.Certificate, "key": pair.Key, "other": other.Key, "none": []byte("secret-words"),
		"p384": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
	return site.Environment{
		LookupEnv: func(string) (string, bool) { return "", false },
		ReadFile: func(path string) ([]byte, error) {
			if content, ok := files[path]; ok {
				return content, nil
			}
			return nil, os.ErrNotExist
		},
	}
}

func withClient(client, server string) string {
	return strings.Replace(around("", "", conditions), "client: {register: {}}", "client: {"+client+"}"+server, 1)
}

func TestClientFaults(t *testing.T) {
	t.Parallel()
	const at = "sites[0].authorization_server.client"
	tests := []struct {
		name    string
		client  string
		path    string
		problem string
		remedy  string
	}{
		{"unknown method", "register: {}, token_endpoint_auth_method: client_secret", at + ".token_endpoint_auth_method", "is not known here", "client_secret_basic"},
		{"a key without a method for it", "register: {}, private_key: {file: key}", at + ".private_key", "is not used with client_secret_basic", "private_key_jwt"},
		{"no key", "id: a, token_endpoint_auth_method: private_key_jwt", at + ".private_key", "is missing", "keys: {}"},
		{"a secret beside a key", "id: a, secret: {file: none}, private_key: {file: key}, token_endpoint_auth_method: private_key_jwt", at + ".secret", "is not used", "take it out"},
		{"no secret", "id: a", at + ".secret", "is missing", "{env: NAME}"},
		{"not a key", "id: a, private_key: {file: none}, token_endpoint_auth_method: private_key_jwt", at + ".private_key", "is not an RSA", "openssl genpkey"},
		{"algorithm of another key", "id: a, private_key: {file: p384}, token_endpoint_auth_method: private_key_jwt, token_endpoint_auth_signing_alg: ES256", at + ".token_endpoint_auth_signing_alg", "does not go with", "ES384"},
		{"algorithm of another method", "register: {}, token_endpoint_auth_method: client_secret_jwt, token_endpoint_auth_signing_alg: RS256", at + ".token_endpoint_auth_signing_alg", "does not go with", "HS256"},
		{"algorithm of no method", "register: {}, token_endpoint_auth_signing_alg: RS256", at + ".token_endpoint_auth_signing_alg", "is not used", "take it out"},
		{"unknown algorithm", "register: {}, token_endpoint_auth_method: private_key_jwt, token_endpoint_auth_signing_alg: none", at + ".token_endpoint_auth_signing_alg", "is not known here", "ES256"},
		{"keys of no method", "register: {}, keys: {}", at + ".keys", "is not used with client_secret_basic", "private_key_jwt"},
		{"keys beside a key", "id: a, private_key: {file: key}, keys: {}, token_endpoint_auth_method: private_key_jwt", at + ".keys", "private_key is given", "keep either"},
		{"rotation without end", "register: {}, token_endpoint_auth_method: private_key_jwt, keys: {rotate_every: 1s}", at + ".keys.rotate_every", "out of range", "720h"},
		{"negative overlap", "register: {}, token_endpoint_auth_method: private_key_jwt, keys: {overlap: -1s}", at + ".keys.overlap", "out of range", "1h"},
		{"published for ever", "register: {}, token_endpoint_auth_method: private_key_jwt, keys: {publish_before: 25h}", at + ".keys.publish_before", "out of range", "24h"},
		{"jwks_uri in the clear", "register: {}, token_endpoint_auth_method: private_key_jwt, keys: {jwks_uri: \"http://photos.example.com/jwks\"}", at + ".keys.jwks_uri", "is http", "https://"},
		{"no certificate", "id: a, private_key: {file: key}, token_endpoint_auth_method: tls_client_auth", at + ".certificate_file", "is missing", "certificate_file: PATH"},
		{"certificate without key", "id: a, certificate_file: crt, token_endpoint_auth_method: tls_client_auth", at + ".private_key", "is missing", "{file: PATH}"},
		{"certificate of another key", "id: a, certificate_file: crt, private_key: {file: other}, token_endpoint_auth_method: tls_client_auth", at + ".certificate_file", "that private_key belongs to", "first"},
		{"certificate that is not there", "id: a, certificate_file: gone, private_key: {file: key}, token_endpoint_auth_method: tls_client_auth", at + ".certificate_file", "cannot be read", "who may read it"},
		{"certificate of no method", "register: {}, certificate_file: crt", at + ".certificate_file", "is not used", "tls_client_auth"},
		{"self-signed, given, without either", "id: a, token_endpoint_auth_method: self_signed_tls_client_auth", at + ".certificate_file", "is missing", "keys: {}"},
		{"metadata that is a list", "register: {metadata: [a]}", at + ".register.metadata", "is not a mapping", "client_uri"},
		{"metadata that has a key", "register: {metadata: {client_name: a}}", at + ".register.metadata.client_name", "has a key of its own", "register.client_name"},
		{"metadata that is not ours", "register: {metadata: {client_id: a}}", at + ".register.metadata.client_id", "is the authorization server's", "take it out"},
		{"grant", "register: {}}, pat: {grant: password", "sites[0].authorization_server.pat.grant", "is not known here", "client_credentials"},
		{"scope", "register: {}}, pat: {scopes: [\"a b\"]", "sites[0].authorization_server.pat.scopes[0]", "is not a scope", "each entry"},
		{"redirect to elsewhere", "register: {}}, pat: {redirect_uri: \"https://photos.example.com/callback\"", "sites[0].authorization_server.pat.redirect_uri", "loopback", "RFC 8252"},
	}
	env := clientFiles(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.NewReplacer("    client: {register: {}}", "    client: {"+tt.client+"}").Replace(around("", "", conditions))
			if strings.Contains(tt.client, "}, pat:") {
				text = strings.NewReplacer("  authorization_server:\n    issuer: https://as.example.com\n    client: {register: {}}",
					"  authorization_server: {issuer: \"https://as.example.com\", client: {"+tt.client+"}}").Replace(around("", "", conditions))
			}
			_, err := site.Parse("umagate.yaml", []byte(text), env)
			require.ErrorIs(t, err, site.ErrInvalid)
			require.NotContains(t, err.Error(), "secret-words")
			for _, f := range site.Faults(err) {
				if f.Path == tt.path {
					require.Contains(t, f.Problem, tt.problem)
					require.Contains(t, f.Remedy, tt.remedy)
					require.Positive(t, f.Line)
					return
				}
			}
			require.Fail(t, "the fault is not there", "got:\n%v", err)
		})
	}
}

func TestClientsThatAreRight(t *testing.T) {
	t.Parallel()
	env := clientFiles(t)
	for _, client := range []string{
		"register: {}, token_endpoint_auth_method: private_key_jwt",
		"register: {}, token_endpoint_auth_method: private_key_jwt, private_key: {file: key}",
		"id: a, token_endpoint_auth_method: private_key_jwt, private_key: {file: p384}, token_endpoint_auth_signing_alg: ES384",
		"id: a, token_endpoint_auth_method: private_key_jwt, keys: {}",
		"register: {}, token_endpoint_auth_method: tls_client_auth, certificate_file: crt, private_key: {file: key}",
		"register: {}, token_endpoint_auth_method: self_signed_tls_client_auth, keys: {rotate_every: 0s}",
		"id: a, token_endpoint_auth_method: self_signed_tls_client_auth, certificate_file: crt, private_key: {file: key}",
		"register: {metadata: {client_uri: \"https://photos.example.com\", contacts: [a@example.com]}, software_statement: x}",
	} {
		file, err := site.Parse("umagate.yaml", []byte(withClient(client, "")), env)
		require.NoError(t, err, client)
		keys, own := file.Sites[0].AuthorizationServer.Client.OwnKeys()
		require.Equal(t, !strings.Contains(client, "private_key:") && !strings.Contains(client, "metadata"), own, client)
		if strings.Contains(client, "0s") {
			require.Zero(t, keys.RotateEvery)
		} else if own {
			require.Equal(t, 720*time.Hour, keys.RotateEvery)
		}
		require.Equal(t, time.Hour, max(keys.Overlap, time.Hour))
		require.Equal(t, site.PATClientCredentials, file.Sites[0].AuthorizationServer.PAT.Grant)
	}
}
