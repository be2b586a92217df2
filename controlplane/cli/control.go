package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/api/client"
	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// tokenVariable holds the token of the API where no flag names its file.
const tokenVariable = "UMAGATE_TOKEN" //nolint:gosec // the name of a variable

// controlFlags are the flags of every command that talks to a running umagate
// serve.
type controlFlags struct {
	fileFlags

	server, tokenFile, caFile, certificate, key string
}

func (f *controlFlags) register(cmd *cobra.Command, forms ...output) {
	f.fileFlags.register(cmd, forms...)
	cmd.Flags().StringVar(&f.server, "server", "", "the control plane's `URL` instead of the file's listen.api")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "`FILE` with the bearer token; else $"+tokenVariable+", else on this machine the one that serve made")
	cmd.Flags().StringVar(&f.caFile, "ca-file", "", "`FILE` with the certificates to trust, in PEM, instead of the system's")
	cmd.Flags().StringVar(&f.certificate, "cert", "", "`FILE` with a client certificate, in PEM, instead of a token")
	cmd.Flags().StringVar(&f.key, "key", "", "`FILE` with its private key, in PEM")
}

// withClient adapts a command's function that talks to the control plane.
func (f *controlFlags) withClient(env Environment, do func(ctx context.Context, control *client.Client, args []string) error) func(*cobra.Command, []string) error {
	return run(func(ctx context.Context, args []string) error {
		control, err := f.client(env)
		if err != nil {
			return err
		}
		return do(ctx, control, args)
	})
}

// client gives the client of the control plane that the flags and the file name.
func (f *controlFlags) client(env Environment) (*client.Client, error) {
	address := f.server
	var file *site.File
	// Secrets of the file need not be at hand; with --server the file need not be.
	sources := f.environment(env)
	sources.SkipSecrets = true
	file, err := site.LoadAnyway(f.path, sources)
	if faults := site.Faults(err); len(faults) > 0 && address == "" {
		// What runs may run by the file before, and is asked where that file says.
		printFaults(env.Stderr, source(f.path), faults, "error")
		err = nil
	}
	if err != nil && address == "" {
		return nil, fmt.Errorf("%w; name the file with -c FILE or the control plane with --server URL", err)
	}
	if address == "" {
		if address, err = apiAddress(file); err != nil {
			return nil, err
		}
	}
	token, err := f.token(env, file, address)
	if err != nil {
		return nil, err
	}
	transport, err := f.transport(env)
	if err != nil {
		return nil, err
	}
	return client.New(address, token, transport)
}

// apiAddress is where the file says that the control plane answers.
func apiAddress(file *site.File) (string, error) {
	host, port, err := net.SplitHostPort(file.Listen.API)
	if err != nil {
		return "", fmt.Errorf("listen.api: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if file.Listen.APITLS != nil {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// token is what the call is made with; none where a certificate is, or nothing is
// known.
func (f *controlFlags) token(env Environment, file *site.File, address string) (secret.Text, error) {
	if f.tokenFile != "" {
		data, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return secret.Text{}, fmt.Errorf("--token-file: %w", err)
		}
		return secret.New(strings.TrimSpace(string(data))), nil
	}
	if token := lookupSecret(env, tokenVariable); !token.IsZero() {
		return token, nil
	}
	// The local token is for this machine, and must not go elsewhere.
	if file == nil || f.certificate != "" || !isLoopback(address) {
		return secret.Text{}, nil
	}
	path := file.LocalTokenPath(f.path)
	if path == "" {
		return secret.Text{}, nil
	}
	token, err := api.ReadLocalToken(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return secret.Text{}, nil // the answer will be 401, with its remedy
	case errors.Is(err, fs.ErrPermission):
		return secret.Text{}, fmt.Errorf("%w; run it as the user of umagate serve, or give --token-file", err)
	}
	return token, err
}

func isLoopback(address string) bool {
	u, err := url.Parse(address)
	return err == nil && loopback.IsHost(u.Hostname())
}

func (f *controlFlags) transport(env Environment) (http.RoundTripper, error) {
	if f.caFile == "" && f.certificate == "" && f.key == "" {
		return env.Transport, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, fmt.Errorf("--ca-file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--ca-file: %s has no certificate in PEM in it", f.caFile)
		}
	}
	if f.certificate != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.certificate, f.key)
		if err != nil {
			return nil, fmt.Errorf("--cert and --key: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return &http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}, nil
}

// called explains why a call failed.
func called(err error) error {
	p, isProblem := errors.AsType[*api.Problem](err)
	switch {
	case err == nil:
		return nil
	case !isProblem:
		return fmt.Errorf("%w; is umagate serve running?", err)
	}
	lines := []string{cmp.Or(p.Detail, p.Title)}
	for _, e := range p.Errors {
		lines = append(lines, fmt.Sprintf("  %s %s: %s", e.In, e.Name, e.Detail))
	}
	if p.Remedy != "" {
		lines = append(lines, "  = "+p.Remedy)
	}
	return fmt.Errorf("%w (%s)", errors.New(strings.Join(lines, "\n")), p.Code)
}
