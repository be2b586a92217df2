package kube_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/umagate/umagate/controlplane/kube"
	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/mesh"
	"github.com/umagate/umagate/e2e/mesh/meshtest"
)

// api is an API server with the definitions, for many tests.
type api struct {
	*mesh.APIServer

	config *rest.Config
	client client.Client
}

func startAPI(t *testing.T) *api {
	t.Helper()
	a := startBareAPI(t)
	define(t, a.APIServer)
	return a
}

// startBareAPI has Gateway API's definitions only.
func startBareAPI(t *testing.T) *api {
	t.Helper()
	a := &api{APIServer: meshtest.StartAPIServer(t)}
	require.NoError(t, a.Define(t.Context(), mesh.GatewayAPICRDs))
	var err error
	a.config, err = clientcmd.BuildConfigFromFlags("", a.Kubeconfig)
	require.NoError(t, err)
	a.config.QPS = -1
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, eventsv1.AddToScheme, v1alpha1.AddToScheme, gatewaybeta.Install} {
		require.NoError(t, add(scheme))
	}
	a.client, err = client.New(a.config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	return a
}

// cluster is a control plane with objects of some namespaces of its own.
type cluster struct {
	*servertest.Plane

	api        *api
	as         *devas.Server
	namespaces []string
}

// start runs a control plane with namespaces that are called team-a, team-b and so on in a
// test's objects.
func (a *api) start(t *testing.T, number int) *cluster {
	t.Helper()
	c := a.prepare(t, number)
	c.Start()
	return c
}

func (a *api) prepare(t *testing.T, number int, changes ...func(*kube.Settings)) *cluster {
	t.Helper()
	c := &cluster{Plane: servertest.New(t), api: a, as: servertest.StartAS(t, devas.Options{})}
	for i := range number {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: fmt.Sprintf("team-%c-", 'a'+i)}}
		require.NoError(t, a.client.Create(t.Context(), ns))
		c.namespaces = append(c.namespaces, ns.Name)
	}
	settings := kube.Settings{
		Config: func() (*rest.Config, error) { return a.config, nil }, Namespaces: c.namespaces,
		SecretsEvery: 20 * time.Millisecond, StatusEvery: 20 * time.Millisecond, RetryAfter: 20 * time.Millisecond,
	}
	for _, change := range changes {
		change(&settings)
	}
	c.Options.Sources = []server.OpenSource{kube.Open(settings)}
	c.Options.Load = func(path string) (*site.File, error) {
		env := site.OSEnvironment(filepath.Dir(path))
		env.SitesElsewhere = true
		return site.LoadIn(path, env)
	}
	c.Write("listen: {api: 127.0.0.1:0, xds: 127.0.0.1:0, instances: 127.0.0.1:0}\nenvoy: {listener: 127.0.0.1:0, admin: 127.0.0.1:0}\nplugin: {wasm: " + servertest.Module(t) + "}\n")
	return c
}

// named puts the names of the test's namespaces and AS into a text.
func (c *cluster) named(text string) string {
	pairs := []string{"ISSUER", c.as.Issuer()}
	for i, ns := range c.namespaces {
		pairs = append(pairs, fmt.Sprintf("team-%c", 'a'+i), ns)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// apply has the API server take objects, of YAML.
func (c *cluster) apply(text string) {
	c.T.Helper()
	require.NoError(c.T, c.try(text))
}

func (c *cluster) try(text string) error {
	c.T.Helper()
	for document := range strings.SplitSeq(c.named(text), "\n---\n") {
		var o unstructured.Unstructured
		require.NoError(c.T, yaml.Unmarshal([]byte(document), &o.Object), document)
		if err := c.api.client.Patch(c.T.Context(), &o, client.Apply, client.ForceOwnership, client.FieldOwner("test")); err != nil { //nolint:staticcheck // the objects are no types
			return err
		}
	}
	return nil
}

func (c *cluster) key(namespace, name string) client.ObjectKey {
	return client.ObjectKey{Namespace: c.named(namespace), Name: name}
}

// get reads a ProtectedAPI.
func (c *cluster) get(namespace, name string) *v1alpha1.ProtectedAPI {
	c.T.Helper()
	var out v1alpha1.ProtectedAPI
	require.NoError(c.T, c.api.client.Get(c.T.Context(), c.key(namespace, name), &out))
	return &out
}

// delete deletes an object and does not wait.
func (c *cluster) delete(o client.Object, namespace, name string) {
	c.T.Helper()
	o.SetNamespace(c.named(namespace))
	o.SetName(name)
	require.NoError(c.T, c.api.client.Delete(c.T.Context(), o))
}

// gone waits until a ProtectedAPI is not there any more.
func (c *cluster) gone(namespace, name string) {
	c.T.Helper()
	require.Eventually(c.T, func() bool {
		var out v1alpha1.ProtectedAPI
		return apierrors.IsNotFound(c.api.client.Get(c.T.Context(), c.key(namespace, name), &out))
	}, servertest.Within, 10*time.Millisecond, "%s/%s is still there", namespace, name)
}

// until waits for a condition of a ProtectedAPI, of its present generation, and returns its
// message.
func (c *cluster) until(namespace, name, kind string, status metav1.ConditionStatus, words ...string) string {
	c.T.Helper()
	var last *v1alpha1.ProtectedAPI
	var found *metav1.Condition
	defer func() {
		if c.T.Failed() {
			c.T.Logf("%s is of generation %d, and: %+v", last.Name, last.Generation, last.Status)
		}
	}()
	require.Eventually(c.T, func() bool {
		last = c.get(namespace, name)
		found = meta.FindStatusCondition(last.Status.Conditions, kind)
		if found == nil || found.Status != status || found.ObservedGeneration != last.Generation || last.Status.ObservedGeneration != last.Generation {
			return false
		}
		for _, w := range words {
			if !strings.Contains(found.Message+" "+found.Reason, c.named(w)) {
				return false
			}
		}
		return true
	}, servertest.Within, 10*time.Millisecond, "%s of %s/%s is to be %s %v", kind, namespace, name, status, words)
	return found.Message
}

// ready waits until the AS has all that an object declares.
func (c *cluster) ready(namespace, name string) {
	c.T.Helper()
	for _, kind := range []string{v1alpha1.Accepted, v1alpha1.Registered, v1alpha1.Synced} {
		c.until(namespace, name, kind, metav1.ConditionTrue)
	}
}

// event waits for one of an object.
func (c *cluster) event(namespace, name, words string) {
	c.T.Helper()
	var list eventsv1.EventList
	require.Eventually(c.T, func() bool {
		require.NoError(c.T, c.api.client.List(context.WithoutCancel(c.T.Context()), &list, client.InNamespace(c.named(namespace))))
		for i := range list.Items {
			if list.Items[i].Regarding.Name == name && strings.Contains(list.Items[i].Note, c.named(words)) {
				return true
			}
		}
		return false
	}, servertest.Within, 10*time.Millisecond, "no event of %s/%s has %q", namespace, name, words)
}

// atAS waits until the AS has just these resources.
func (c *cluster) atAS(names ...string) {
	c.T.Helper()
	got := []string{}
	require.Eventually(c.T, func() bool {
		got = []string{}
		for _, r := range c.as.Resources() {
			got = append(got, r.Name)
		}
		return len(got) == len(names) && (len(names) == 0 || containsAll(got, names))
	}, servertest.Within, 10*time.Millisecond, "at the AS: %v", &got)
}

func containsAll(got, names []string) bool {
	for _, n := range names {
		found := false
		for _, g := range got {
			found = found || g == n
		}
		if !found {
			return false
		}
	}
	return true
}

const withinTest, everyTest = servertest.Within, 10 * time.Millisecond
