package mesh

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/umagate/umagate/e2e/process"
)

// APIServer is a running API server of Kubernetes and its etcd. There is no kubelet, no
// scheduler and no controller: objects are stored, validated and watched, and nothing
// comes of them but what a test starts. It authorizes by RBAC.
type APIServer struct {
	// URL is https, on loopback.
	URL string
	// Kubeconfig is the path of a kubeconfig whose user may do everything.
	Kubeconfig string
	// CA is the path of the certificate that the server shows, Token the credential of
	// the user admin, in the group system:masters.
	CA, Token string

	tools     Tools
	folder    string
	arguments []string
	etcd, api *process.Child
}

// StartAPIServer runs one with its files in a folder, which stays. arguments are added to
// those of kube-apiserver.
func StartAPIServer(ctx context.Context, tools Tools, folder string, arguments ...string) (*APIServer, error) {
	ports, err := freePorts(ctx, 3)
	if err != nil {
		return nil, err
	}
	s := &APIServer{
		URL: "https://" + loopback(ports[2]), Kubeconfig: filepath.Join(folder, "kubeconfig"),
		CA: filepath.Join(folder, "certificates", "apiserver.crt"), Token: newToken(), tools: tools, folder: folder,
	}
	client, peer := "http://"+loopback(ports[0]), "http://"+loopback(ports[1])
	s.etcd, err = command{tools: tools, program: Etcd, folder: folder, arguments: []string{
		"--data-dir", filepath.Join(folder, "etcd"), "--unsafe-no-fsync", "--log-level", "error",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer,
	}}.start(ctx, func(ctx context.Context) bool { return answers(ctx, http.DefaultClient, client+"/health", "") })
	if err != nil {
		return nil, err
	}
	key := filepath.Join(folder, "service-accounts.key")
	users := filepath.Join(folder, "users.csv")
	err = errors.Join(writeKey(key), os.WriteFile(users, []byte(s.Token+",admin,admin,system:masters\n"), 0o600))
	if err == nil {
		s.arguments = append([]string{
			"--etcd-servers", client, "--bind-address", "127.0.0.1", "--secure-port", s.URL[strings.LastIndexByte(s.URL, ':')+1:],
			"--cert-dir", filepath.Dir(s.CA), "--token-auth-file", users, "--authorization-mode", "RBAC",
			"--service-account-issuer", "https://kubernetes.default.svc", "--api-audiences", "istio-ca,kubernetes",
			"--service-account-key-file", key, "--service-account-signing-key-file", key,
			// Pods would need the token that a controller makes; loopback is no address to advertise.
			"--disable-admission-plugins", "ServiceAccount", "--advertise-address", "10.96.255.1", "--endpoint-reconciler-type", "none",
			"--service-cluster-ip-range", "10.96.0.0/16",
		}, arguments...)
		err = s.Resume(ctx)
	}
	if err == nil {
		err = s.writeKubeconfig()
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// writeKey writes the key that tokens of service accounts are signed with.
func writeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("making the key of service accounts: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	return os.WriteFile(path, text, 0o600)
}

func (s *APIServer) writeKubeconfig() error {
	return os.WriteFile(s.Kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
`, s.URL, s.CA, s.Token), 0o600)
}

// Pause ends the server and keeps what is stored, until Resume.
func (s *APIServer) Pause() { s.api.Kill() }

// Resume starts the server again, on the same port.
func (s *APIServer) Resume(ctx context.Context) error {
	// What it shows at this moment is what a client is to trust from then on.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // a test's own server
	var err error
	s.api, err = command{tools: s.tools, program: KubeAPIServer, folder: s.folder, arguments: s.arguments}.
		start(ctx, func(ctx context.Context) bool { return answers(ctx, client, s.URL+"/readyz", s.Token) })
	return err
}

// Kubectl runs it with something to read, and returns what it printed.
func (s *APIServer) Kubectl(ctx context.Context, input string, arguments ...string) (string, error) {
	return s.run(ctx, Kubectl, input, arguments...)
}

// Istioctl is the same for Istio's.
func (s *APIServer) Istioctl(ctx context.Context, input string, arguments ...string) (string, error) {
	return s.run(ctx, Istioctl, input, arguments...)
}

func (s *APIServer) run(ctx context.Context, program Program, input string, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.tools.Path(program), arguments...) //nolint:gosec // what Build has built
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.Kubeconfig, "HOME="+s.folder)
	cmd.Stdin = strings.NewReader(input)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(arguments, " "), err, out.String(), problems.String())
	}
	return out.String(), nil
}

// Apply has the server take objects, of YAML, as kubectl apply does. Large definitions
// are taken as well: it is the server that merges.
func (s *APIServer) Apply(ctx context.Context, yaml string) error {
	_, err := s.Kubectl(ctx, yaml, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// Define installs a file of definitions, such as [IstioCRDs], and waits until objects of
// them are taken.
func (s *APIServer) Define(ctx context.Context, files ...string) error {
	for _, name := range files {
		path := s.tools.File(name)
		if _, err := s.Kubectl(ctx, "", "apply", "--server-side", "--force-conflicts", "-f", path); err != nil {
			return err
		}
	}
	_, err := s.Kubectl(ctx, "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	return err
}

// Logs are the files that the two have written.
func (s *APIServer) Logs() []string {
	return []string{filepath.Join(s.folder, string(Etcd)+".log"), filepath.Join(s.folder, string(KubeAPIServer)+".log")}
}

// Stop ends both.
func (s *APIServer) Stop() {
	if s.api != nil {
		s.api.Stop(syscall.SIGTERM)
	}
	s.etcd.Stop(syscall.SIGTERM)
}
