package agent

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/umagate/umagate/controlplane/envoyconf"
)

// transport is how the Envoy connects to the control plane, read anew for each
// connection: certificates are replaced. names are those in the client certificate.
func transport(files *envoyconf.XDSFiles) (how credentials.TransportCredentials, names []string, err error) {
	if files == nil {
		return insecure.NewCredentials(), nil, nil
	}
	now := *files
	for _, name := range []string{files.CertificateSDS, files.CASDS} {
		if name == "" {
			continue
		}
		text, err := os.ReadFile(name) //nolint:gosec // the bootstrap names it
		if err == nil {
			err = now.Add(text)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("the file %s, which umagate render xds-secrets writes: %w", name, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(now.Certificate, now.Key)
	if err != nil {
		return nil, nil, fmt.Errorf("the certificate for the control plane: %w", err)
	}
	authorities, err := os.ReadFile(now.CA)
	if err != nil {
		return nil, nil, fmt.Errorf("the CA of the control plane: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		return nil, nil, fmt.Errorf("the CA of the control plane: %s: no certificate in it", now.CA)
	}
	names = append(names, pair.Leaf.DNSNames...)
	for _, u := range pair.Leaf.URIs {
		names = append(names, u.String())
	}
	return credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, RootCAs: roots, ServerName: now.ServerName,
	}), names, nil
}
