package clientauth

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/umagate/umagate/controlplane/secret"
)

// ErrCertificate says that what should be a certificate with its key is not.
var ErrCertificate = errors.New("not a certificate in PEM with the private key that belongs to it")

// SelfSigned makes a certificate of the key's own for self_signed_tls_client_auth
// (RFC 8705 section 2.2), in PEM.
func SelfSigned(k Key, name string, now time.Time, lifetime time.Duration) (string, error) {
	const serialBits = 128
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return "", fmt.Errorf("clientauth: serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		// The AS's clock may be behind.
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.private.Public(), k.private)
	if err != nil {
		return "", fmt.Errorf("clientauth: make a certificate of key %s: %w", k.ID, err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}

// Certificate joins a chain in PEM with its private key, for a transport.
// [ErrCertificate]: they do not belong together, or are something else.
func Certificate(chain string, key secret.Text) (tls.Certificate, error) {
	pair, err := tls.X509KeyPair([]byte(chain), []byte(key.Reveal()))
	if err != nil {
		// The cause may quote the key.
		return tls.Certificate{}, fmt.Errorf("clientauth: %w", ErrCertificate)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return tls.Certificate{}, fmt.Errorf("clientauth: %w", ErrCertificate)
		}
	}
	return pair, nil
}

// PrivateKeyPEM is the private key of a certificate in PKCS#8, for Envoy.
func PrivateKeyPEM(pair *tls.Certificate) (secret.Text, error) { return pkcs8(pair.PrivateKey) }

func pkcs8(private any) (secret.Text, error) {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return secret.Text{}, fmt.Errorf("clientauth: encode a private key: %w", err)
	}
	return secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), nil
}
