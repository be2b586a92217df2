package keycloak

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/umagate/umagate/e2e/process"
)

// TLS are the files with which a server speaks https, all in PEM.
type TLS struct {
	// Certificate and Key are the server's.
	Certificate, Key string
	// ClientCA signs the clients' certificates, which are asked for and not required.
	ClientCA string
}

// StartTLS is [Start] with https besides http: [Server.Issuer] stays http's, and
// [Server.SecureURL] is the base of the other. The first one on a machine takes half
// a minute longer, since Keycloak asks for clients' certificates only when it was
// built to.
func StartTLS(ctx context.Context, installation Installation, files TLS) (*Server, error) {
	variant, err := installation.askingForCertificates(ctx)
	if err != nil {
		return nil, err
	}
	port, err := process.FreePort(ctx)
	if err != nil {
		return nil, err
	}
	return start(ctx, variant, port, []string{
		fmt.Sprintf("--https-port=%d", port),
		"--https-certificate-file=" + files.Certificate, "--https-certificate-key-file=" + files.Key,
		"--https-client-auth=request", "--truststore-paths=" + files.ClientCA,
	})
}

// askingForCertificates is the installation, built anew for that beside itself.
func (i Installation) askingForCertificates(ctx context.Context) (Installation, error) {
	variant := i
	variant.home = i.home + "-certificates"
	if _, err := os.Stat(variant.home); err == nil {
		return variant, nil
	}
	temporary, err := os.MkdirTemp(filepath.Dir(i.home), ".certificates-")
	if err != nil {
		return variant, fmt.Errorf("making a folder for Keycloak: %w", err)
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // a courtesy
	home := filepath.Join(temporary, "home")
	if err := i.mirror(home); err != nil {
		return variant, err
	}
	build := exec.CommandContext(ctx, "java", javaArguments(home, home, "build", "--db=dev-file", "--https-client-auth=request")...) //nolint:gosec // Java of the PATH
	if out, err := build.CombinedOutput(); err != nil {
		return variant, fmt.Errorf("building Keycloak: %w: %s", err, process.LastLines(out))
	}
	if err := os.Rename(home, variant.home); err != nil {
		if _, statErr := os.Stat(variant.home); statErr != nil { // else another process was faster
			return variant, fmt.Errorf("keeping Keycloak's build: %w", err)
		}
	}
	return variant, nil
}

// mirror makes home of links to the installation, but for what a build writes.
func (i Installation) mirror(home string) error {
	if err := os.MkdirAll(filepath.Join(home, "lib"), 0o750); err != nil {
		return fmt.Errorf("mirroring Keycloak: %w", err)
	}
	var errs []error
	for _, name := range []string{"conf", "providers", "themes", "lib/app", "lib/lib", "lib/quarkus-run.jar"} {
		errs = append(errs, os.Symlink(filepath.Join(i.home, name), filepath.Join(home, name)))
	}
	errs = append(errs, os.CopyFS(filepath.Join(home, "lib", "quarkus"), os.DirFS(filepath.Join(i.home, "lib", "quarkus"))))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("mirroring Keycloak: %w", err)
	}
	return nil
}

// SecureURL is the base of the server by https; empty without [StartTLS].
func (s *Server) SecureURL() string {
	if s.securePort == 0 {
		return ""
	}
	return fmt.Sprintf("https://127.0.0.1:%d", s.securePort)
}
