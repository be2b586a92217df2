package kube_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/umagate/umagate/controlplane/kube"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/process/processtest"
)

// findHelm returns the pinned one's path.
func findHelm() (string, error) {
	path, err := filepath.Abs("../../build/tools/helm")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("helm is not built: make tools: %w", err)
	}
	return path, nil
}

// helm runs it.
func helm(t *testing.T, kubeconfig string, arguments ...string) (string, error) {
	t.Helper()
	program := processtest.Require(t, "helm", findHelm)
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String() + problems.String(), fmt.Errorf("helm %s: %w: %s%s", arguments[0], err, out.String(), problems.String())
	}
	return out.String(), nil
}

// image is what the tests run nowhere.
const image = "registry.example.com/umagate-controller"

// everything has every option.
func everything() []string {
	return []string{
		"--set", "tls.secretName=tls", "--set", "store.postgresSecret=pg", "--set", "replicas=2", "--set", "podDisruptionBudget.enabled=true",
		"--set", "networkPolicy.enabled=true", "--set", "serviceMonitor.enabled=true",
		"--set", "prometheusRule.enabled=true", "--set", "api.tokenSecret=api", "--set", "image.repository=" + image,
		"--set", "secrets[0].namespace=iam,secrets[0].names={keycloak}",
	}
}

func least() []string {
	return []string{"--set", "tls.insecurePlaintext=true", "--set", "api.tokenSecret=api", "--set", "image.repository=" + image}
}

const chart = "deploy/chart"

// TestChartIsWellFormed: it lints strictly, its schema refuses what would not work, and the
// umagate.yaml that it makes has no fault.
func TestChartIsWellFormed(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{"least": least(), "everything": everything()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := helm(t, "", append([]string{"lint", "--strict", chart}, values...)...)
			require.NoError(t, err)
			objects := render(t, values...)
			file := ""
			kinds := map[string]int{}
			for _, o := range objects {
				kinds[o.GetKind()]++
				if o.GetKind() == "ConfigMap" {
					file, _, _ = unstructured.NestedString(o.Object, "data", "umagate.yaml")
				}
			}
			_, err = site.Parse("umagate.yaml", []byte(file), site.Environment{SkipSecrets: true, SitesElsewhere: true, LookupEnv: func(name string) (string, bool) {
				return map[string]string{"UMAGATE_STORE": "postgres://u@db/umagate"}[name], name == "UMAGATE_STORE"
			}})
			require.NoError(t, err, file)
			require.Equal(t, 2, kinds["CustomResourceDefinition"])
			if name == "everything" {
				for _, kind := range []string{"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"} {
					require.Equal(t, 1, kinds[kind], kind)
				}
				require.Zero(t, kinds["PersistentVolumeClaim"])
			}
		})
	}
	for words, values := range map[string][]string{
		"insecurePlaintext":    {"--set", "api.tokenSecret=api", "--set", "image.repository=" + image}, // nothing encrypts, and nobody says that this is meant
		"/api/tokenSecret":     {"--set", "tls.secretName=tls", "--set", "image.repository=" + image},
		"/image/repository":    {"--set", "tls.secretName=tls", "--set", "api.tokenSecret=api"},
		"/replicas":            append(least(), "--set", "replicas=2"),
		"additional propert":   append(least(), "--set", "replica=1"),
		"/logLevel":            append(least(), "--set", "logLevel=loud"),
		"/image/digest":        append(least(), "--set", "image.digest=latest"),
		"/podDisruptionBudget": append(least(), "--set", "podDisruptionBudget.enabled=maybe"),
	} {
		_, err := helm(t, "", append([]string{"template", "umagate", chart, "--kube-version", "1.36.0"}, values...)...)
		require.ErrorContains(t, err, words)
	}
}

func render(t *testing.T, values ...string) (out []*unstructured.Unstructured) {
	t.Helper()
	text, err := helm(t, "", append([]string{"template", "umagate", chart, "--namespace", "umagate", "--kube-version", "1.36.0"}, values...)...)
	require.NoError(t, err)
	for document := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(document), &o.Object), document)
		if o.Object != nil {
			out = append(out, o)
		}
	}
	return out
}

// TestChart installs the chart on a real API server, upgrades it, rolls it back and takes
// it out; and the controller works with the roles that it gives, and may do no more.
func TestChart(t *testing.T) {
	a := startBareAPI(t)
	run := func(arguments ...string) {
		t.Helper()
		_, err := helm(t, a.Kubeconfig, append(arguments, "--namespace", "umagate")...)
		require.NoError(t, err)
	}
	kubectl := func(arguments ...string) string {
		t.Helper()
		out, err := a.Kubectl(t.Context(), "", arguments...)
		require.NoError(t, err)
		return out
	}
	run(append([]string{"install", "umagate", chart, "--create-namespace"}, least()...)...)
	kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")

	c := a.prepare(t, 2, func(s *kube.Settings) {
		s.Config = func() (*rest.Config, error) {
			as := rest.CopyConfig(a.config)
			as.Impersonate.UserName = "system:serviceaccount:umagate:umagate"
			return as, nil
		}
	})
	require.NoError(t, c.as.AddClient(devas.Client{ID: "photos", Secret: "a-secret-of-photos"}))
	c.Start()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespaces[0], Name: "client"}, StringData: map[string]string{"secret": "a-secret-of-photos"}}
	require.NoError(t, a.client.Create(t.Context(), secret))
	c.apply(strings.Replace(authorizationServer, "{register: {}}", "{id: photos, secret: {secretKeyRef: {name: client, key: secret}}}", 1) + "\n---\n" + photos)
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, "Secret team-a/client may not be read")
	c.event("team-a", "photos", "may not be read")

	run(append([]string{"upgrade", "umagate", chart, "--set", "secrets[0].namespace=" + c.namespaces[0] + ",secrets[0].names={client}", "--set", "logLevel=debug"}, least()...)...)
	c.ready("team-a", "photos")
	may := func(want string, arguments ...string) {
		t.Helper()
		out, _ := a.Kubectl(t.Context(), "", append([]string{"auth", "can-i", "--as", "system:serviceaccount:umagate:umagate"}, arguments...)...)
		require.Equal(t, want, strings.TrimSpace(out), arguments)
	}
	may("yes", "get", "secrets/client", "-n", c.namespaces[0])
	may("no", "get", "secrets/other", "-n", c.namespaces[0])
	may("no", "list", "secrets", "-n", c.namespaces[0])
	may("no", "get", "secrets/client", "-n", c.namespaces[1])
	may("no", "create", "protectedapis.umagate.io", "-n", c.namespaces[0])
	may("no", "delete", "protectedapis.umagate.io", "-n", c.namespaces[0])
	may("no", "patch", "services", "-n", c.namespaces[0])

	require.Contains(t, kubectl("get", "deployment", "umagate", "-n", "umagate", "-o", "yaml"), "--log-level=debug")
	run("rollback", "umagate", "1")
	require.Contains(t, kubectl("get", "deployment", "umagate", "-n", "umagate", "-o", "yaml"), "--log-level=info")
	may("no", "get", "secrets/client", "-n", c.namespaces[0])
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, "may not be read", "stays in force")

	// The definitions stay, and the objects with them.
	run("uninstall", "umagate")
	require.Equal(t, "photos", c.get("team-a", "photos").Name)
	may("no", "list", "protectedapis.umagate.io", "-n", c.namespaces[0])
}

// TestOneNamespace: with namespaces, there are roles in those only, and the controller
// works with them.
func TestOneNamespace(t *testing.T) {
	a := startBareAPI(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-x"}}
	require.NoError(t, a.client.Create(t.Context(), ns))
	_, err := helm(t, a.Kubeconfig, append([]string{"install", "umagate", chart, "--namespace", "umagate", "--create-namespace", "--set", "namespaces={team-x}"}, least()...)...)
	require.NoError(t, err)
	_, err = a.Kubectl(t.Context(), "", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	require.NoError(t, err)
	c := a.prepare(t, 0, func(s *kube.Settings) {
		s.Namespaces = []string{"team-x"}
		s.Config = func() (*rest.Config, error) {
			as := rest.CopyConfig(a.config)
			as.Impersonate.UserName = "system:serviceaccount:umagate:umagate"
			return as, nil
		}
	})
	c.namespaces = []string{"team-x"}
	c.Start()
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	out, _ := a.Kubectl(t.Context(), "", "auth", "can-i", "list", "protectedapis.umagate.io", "-n", "default", "--as", "system:serviceaccount:umagate:umagate")
	require.Equal(t, "no", strings.TrimSpace(out))
}

var update = flag.Bool("update", false, "write deploy/kustomize/all.yaml") //nolint:gochecknoglobals // a flag

// TestKustomize: the base is what the chart makes, a real API server takes it, and its pod
// is one that a restricted namespace runs.
func TestKustomize(t *testing.T) {
	text, err := helm(t, "", "template", "umagate", chart, "--kube-version", "1.36.0", "--namespace", "umagate",
		"--set", "definitions=false", "--set", "tls.secretName=umagate-tls", "--set", "api.tokenSecret=umagate-api", "--set", "image.repository="+image)
	require.NoError(t, err)
	text = regexp.MustCompile(`(?m)^# Source: .*\n`).ReplaceAllString(strings.ReplaceAll(text, "managed-by: Helm", "managed-by: kustomize"), "")
	const path = "deploy/kustomize/all.yaml"
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	committed, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, string(committed), "run this test with -update")

	a := startBareAPI(t)
	_, err = a.Kubectl(t.Context(), "", "apply", "--server-side", "-k", "deploy/kustomize")
	require.NoError(t, err)
	out, err := a.Kubectl(t.Context(), "", "get", "deployment", "umagate", "-n", "umagate", "-o", "json")
	require.NoError(t, err)
	var deployment struct {
		Spec struct {
			Template struct {
				Spec map[string]any `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(out), &deployment))
	pod := func() string {
		text, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]string{"name": "x", "namespace": "umagate"}, "spec": deployment.Spec.Template.Spec})
		require.NoError(t, err)
		return string(text)
	}
	require.NoError(t, dryRun(t.Context(), a.APIServer, pod()))
	delete(deployment.Spec.Template.Spec, "securityContext")
	require.ErrorContains(t, dryRun(t.Context(), a.APIServer, pod()), "violates PodSecurity")
}
