package kube_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/envoy"
)

const authorizationServer = `
apiVersion: umagate.io/v1alpha1
kind: AuthorizationServer
metadata: {namespace: team-a, name: as}
spec: {issuer: ISSUER, client: {register: {}}}`

const photos = `
apiVersion: umagate.io/v1alpha1
kind: ProtectedAPI
metadata: {namespace: team-a, name: photos}
spec:
  authorizationServerRef: {name: as}
  hosts: [photos.example.com]
  resources:
  - name: albums
    conditions:
    - {paths: [/albums/**], methods: [GET], scopes: [view]}`

// TestObjects runs one control plane for each story, on one API server.
func TestObjects(t *testing.T) {
	a := startAPI(t)
	for _, tt := range []struct {
		name string
		run  func(story)
	}{
		{"life", story.life},
		{"conflict", story.conflict},
		{"grant", story.grant},
		{"secret", story.secretRotates},
		{"authorization server down", story.serverDown},
		{"restart", story.restart},
		{"targets", story.targets},
		{"envoy", story.programmed},
		{"file", story.fileFirst},
		{"upstream", story.foreignUpstream},
		{"server in use", story.serverInUse},
		{"definitions upgraded", story.upgraded},
		{"api server away", story.apiServerAway},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(story{t, a}) })
	}
}

// story is one test of objects.
type story struct {
	*testing.T
	*api
}

// life: an object is created, changed, made invalid, mended and deleted, and what the AS
// has follows.
func (s story) life() {
	t := s.T
	c := s.start(s.T, 1)
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	c.until("team-a", "photos", v1alpha1.Programmed, metav1.ConditionFalse, v1alpha1.ReasonNoEnvoys)
	c.atAS("albums")
	got := c.get("team-a", "photos")
	require.Equal(t, []string{"photos.example.com"}, got.Status.Hosts)
	require.Equal(t, c.as.Issuer(), got.Status.Issuer)
	require.Equal(t, c.named("team-a_photos"), got.Status.Site)
	require.Equal(t, "1/1", got.Status.Resources)
	require.Equal(t, []string{v1alpha1.Finalizer}, got.Finalizers)
	c.event("team-a", "photos", "1 of 1 resources are registered")

	more := photos + "\n  - name: shares\n    conditions:\n    - {paths: [/shares/**], methods: [GET], scopes: [view]}"
	c.apply(more)
	c.until("team-a", "photos", v1alpha1.Synced, metav1.ConditionTrue, "2 of 2")
	c.atAS("albums", "shares")

	c.apply(strings.Replace(more, "/shares/**", "shares", 1))
	message := c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)
	require.Contains(t, message, `spec.resources[1].conditions[0].paths[0]: a path template begins with "/"`)
	require.Contains(t, message, "what was accepted before stays in force")
	c.event("team-a", "photos", "spec.resources[1].conditions[0].paths[0]")
	c.until("team-a", "photos", v1alpha1.Synced, metav1.ConditionTrue)
	c.atAS("albums", "shares")

	c.apply(more)
	c.ready("team-a", "photos")
	c.delete(&v1alpha1.ProtectedAPI{}, "team-a", "photos")
	c.gone("team-a", "photos")
	c.atAS()
	removed := false
	for _, call := range c.as.Calls(devas.EndpointRegistration) {
		removed = removed || call.Method == http.MethodDelete
	}
	require.True(t, removed, "the client is deregistered")

	c.apply(photos) // it may come again, and is registered anew
	c.ready("team-a", "photos")
	c.atAS("albums")
	c.RequireNoSecrets(c.as)
}

// conflict: of two namespaces, the oldest has the host, and keeps what it has; the other is
// told whose it is, and has it when it is free.
func (s story) conflict() {
	t := s.T
	c := s.start(s.T, 2)
	other := strings.ReplaceAll(photos, "team-a, name: photos", "team-b, name: theirs")
	c.apply(authorizationServer + "\n---\n" + strings.Replace(authorizationServer, "team-a", "team-b", 1) + "\n---\n" + photos)
	c.ready("team-a", "photos")
	c.apply(other)
	message := c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonConflicted)
	require.Contains(t, message, c.named("photos.example.com is of ProtectedAPI team-a/photos"))
	c.until("team-b", "theirs", v1alpha1.Registered, metav1.ConditionFalse, "not served")
	require.Empty(t, c.get("team-b", "theirs").Status.Hosts)

	// What is of a host that somebody has is no other's, however it is written.
	for _, host := range []string{"PHOTOS.example.com", "photos.example.com."} {
		c.apply(strings.Replace(other, "hosts: [photos.example.com]", "hosts: ["+host+"]", 1))
		c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse)
	}
	c.apply(strings.Replace(other, "hosts: [photos.example.com]", "hosts: [photos.example.com]\n  path_prefixes: [/albums/1]", 1))
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonConflicted)

	// The younger one gets a host of its own. The older asks for that later, in vain.
	c.apply(strings.Replace(other, "hosts: [photos.example.com]", "hosts: [theirs.example.com]", 1))
	c.ready("team-b", "theirs")
	c.apply(strings.Replace(photos, "hosts: [photos.example.com]", "hosts: [photos.example.com, theirs.example.com]", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, "theirs.example.com is of ProtectedAPI team-b/theirs")
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionTrue)

	c.apply(photos)
	c.ready("team-a", "photos")
	c.delete(&v1alpha1.ProtectedAPI{}, "team-a", "photos")
	c.apply(other)
	c.ready("team-b", "theirs")
	require.Equal(t, []string{"photos.example.com"}, c.get("team-b", "theirs").Status.Hosts)
}

const grantForB = `
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {namespace: team-a, name: teams}
spec:
  from: [{group: umagate.io, kind: ProtectedAPI, namespace: team-b}]
  to: [{group: umagate.io, kind: AuthorizationServer, name: as}]`

// grant: an AS of another namespace may be named when that namespace says so, and no
// longer: what was accepted does not stay then.
func (s story) grant() {
	c := s.start(s.T, 2)
	theirs := strings.NewReplacer("team-a, name: photos", "team-b, name: theirs", "{name: as}", "{name: as, namespace: team-a}").Replace(photos)
	c.apply(authorizationServer + "\n---\n" + theirs)
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted, "ask for a ReferenceGrant there")
	c.atAS()
	// Whether there is such a one is not told.
	c.apply(strings.Replace(theirs, "name: as,", "name: none,", 1))
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
	c.apply(theirs)

	c.apply(strings.Replace(grantForB, "name: as}", "name: another}", 1))
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
	c.apply(grantForB)
	c.ready("team-b", "theirs")
	c.atAS("albums")

	c.delete(&gatewaybeta.ReferenceGrant{}, "team-a", "teams")
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
	c.until("team-b", "theirs", v1alpha1.Synced, metav1.ConditionFalse)
	// Nor does a fault that it gets now bring it back.
	c.apply(strings.NewReplacer("/albums/**", "albums", ", namespace: team-a}", "}").Replace(theirs) + "\n---\n" + strings.Replace(authorizationServer, "team-a", "team-b", 1))
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)
	c.until("team-b", "theirs", v1alpha1.Synced, metav1.ConditionFalse, "not served")

	// What it has at the AS is removed all the same.
	c.apply(theirs)
	c.until("team-b", "theirs", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefNotPermitted)
	c.delete(&v1alpha1.ProtectedAPI{}, "team-b", "theirs")
	c.gone("team-b", "theirs")
	c.atAS()
}

// secretRotates: a client's secret is read from the Secret that is named, and anew when it
// changes.
func (s story) secretRotates() {
	t := s.T
	c := s.start(s.T, 1)
	rotate := func(secret string) {
		require.NoError(t, c.as.AddClient(devas.Client{ID: "photos", Secret: devas.Secret(secret)}))
	}
	secret := func(value string) string {
		return "\napiVersion: v1\nkind: Secret\nmetadata: {namespace: team-a, name: client}\ndata: {secret: " + base64.StdEncoding.EncodeToString([]byte(value)) + "}"
	}
	rotate("first-secret")
	c.apply(strings.Replace(authorizationServer, "{register: {}}", "{id: photos, secret: {secretKeyRef: {name: client, key: secret}}}", 1) + "\n---\n" + photos)
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonRefInvalid, "there is no Secret team-a/client; create it")
	c.apply(strings.Replace(secret("first-secret"), "{secret:", "{other:", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, "Secret team-a/client has no secret")
	c.apply(secret("first-secret"))
	c.ready("team-a", "photos")
	c.atAS("albums")

	rotate("second-secret")
	c.as.ExpirePATs()
	c.as.ExpireTokens("photos")
	c.apply(secret("second-secret"))
	require.Eventually(t, func() bool {
		for _, call := range c.as.Calls(devas.EndpointToken) {
			if _, password, ok := (&http.Request{Header: call.Header}).BasicAuth(); ok && password == "second-secret" {
				return true
			}
		}
		return false
	}, withinTest, everyTest)
	c.ready("team-a", "photos")

	// Gone, the last one stays in force, and the author is told.
	c.delete(&corev1.Secret{}, "team-a", "client")
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, "there is no Secret", "stays in force")
	c.until("team-a", "photos", v1alpha1.Synced, metav1.ConditionTrue)
	for _, value := range []string{"first-secret", "second-secret"} {
		require.NotContains(t, c.Log.String(), value)
	}
}

// serverDown: an AS that does not answer is told, and asked again; a deleted object waits
// for it.
func (s story) serverDown() {
	t := s.T
	c := s.start(s.T, 1)
	require.NoError(t, c.as.SetFault(devas.Fault{Kind: devas.FaultDown}))
	c.apply(authorizationServer + "\n---\n" + photos)
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionTrue)
	c.until("team-a", "photos", v1alpha1.Registered, metav1.ConditionFalse, v1alpha1.ReasonFailed)
	c.as.ClearFaults(devas.EndpointAny)
	c.ready("team-a", "photos")

	require.NoError(t, c.as.SetFault(devas.Fault{Kind: devas.FaultDown}))
	c.delete(&v1alpha1.ProtectedAPI{}, "team-a", "photos")
	require.Eventually(t, func() bool { return len(c.Status().Sites) == 0 }, withinTest, everyTest, "its host is denied at once")
	require.Eventually(t, func() bool { return strings.Contains(c.Log.String(), "is not removed, and tried again") }, withinTest, everyTest)
	require.Equal(t, []string{v1alpha1.Finalizer}, c.get("team-a", "photos").Finalizers)
	c.as.ClearFaults(devas.EndpointAny)
	c.gone("team-a", "photos")
	c.atAS()
}

// restart: what changes while the controller is away is done when it is back, and what it
// had registered is not registered again.
func (s story) restart() {
	t := s.T
	c := s.start(s.T, 1)
	kept := strings.NewReplacer("name: photos", "name: kept", "photos.example.com", "kept.example.com", "name: albums", "name: kept").Replace(photos)
	c.apply(authorizationServer + "\n---\n" + photos + "\n---\n" + kept)
	c.ready("team-a", "photos")
	c.ready("team-a", "kept")
	registrations := len(c.as.Calls(devas.EndpointRegistration))
	c.Stop()
	c.delete(&v1alpha1.ProtectedAPI{}, "team-a", "photos")
	c.apply(strings.Replace(kept, "[/albums/**]", "[/albums/**, /more]", 1))
	c.Start()
	c.gone("team-a", "photos")
	c.until("team-a", "kept", v1alpha1.Synced, metav1.ConditionTrue)
	c.atAS("kept")
	for _, call := range c.as.Calls(devas.EndpointRegistration)[registrations:] {
		require.NotEqual(t, http.MethodPost, call.Method)
	}
}

// targets: hosts and paths come of what the object is attached to.
func (s story) targets() {
	t := s.T
	c := s.start(s.T, 1)
	attached := strings.Replace(photos, "  hosts: [photos.example.com]", "  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: photos}]", 1)
	c.apply(authorizationServer + "\n---\n" + attached)
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonTargetNotFound, "there is no HTTPRoute photos")
	const edge = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {namespace: team-a, name: edge}
spec:
  gatewayClassName: any
  listeners:
  - {name: web, protocol: HTTP, port: 80, hostname: "*.example.org"}
  - {name: db, protocol: TCP, port: 5432}
`
	const route = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {namespace: team-a, name: photos}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /albums/}}]
    backendRefs: [{name: photos, port: 80}]`
	c.apply(edge + "\n---\n" + route)
	c.ready("team-a", "photos")
	got := c.get("team-a", "photos")
	require.Equal(t, []string{"*.example.org/albums"}, got.Status.Hosts)
	require.Len(t, got.Status.Ancestors, 1)
	require.Equal(t, "edge", string(got.Status.Ancestors[0].AncestorRef.Name))
	require.Equal(t, v1alpha1.ControllerName, got.Status.Ancestors[0].ControllerName)
	require.True(t, meta.IsStatusConditionTrue(got.Status.Ancestors[0].Conditions, v1alpha1.Accepted))

	c.apply(strings.Replace(route, "parentRefs:", "hostnames: [photos.example.org, pictures.example.org]\n  parentRefs:", 1))
	require.Eventually(t, func() bool { return len(c.get("team-a", "photos").Status.Hosts) == 2 }, withinTest, everyTest)
	c.apply(strings.Replace(route, "{type: PathPrefix, value: /albums/}", "{type: RegularExpression, value: /a.*}", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid, "write spec.path_prefixes")
	c.apply(strings.Replace(attached, "  resources:", "  path_prefixes: [/albums]\n  resources:", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionTrue)

	for _, other := range []struct{ ref, host string }{
		{`{group: gateway.networking.k8s.io, kind: Gateway, name: edge}`, "*.example.org"},
		{`{group: gateway.networking.k8s.io, kind: Gateway, name: edge, sectionName: web}`, "*.example.org"},
	} {
		c.apply(strings.Replace(attached, "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: photos}", other.ref, 1))
		c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionTrue)
		require.Equal(t, []string{other.host}, c.get("team-a", "photos").Status.Hosts)
	}
	c.apply(strings.Replace(attached, "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: photos}", `{group: gateway.networking.k8s.io, kind: Gateway, name: edge, sectionName: db}`, 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonTargetNotFound)

	c.apply(strings.Replace(attached, "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: photos}", `{group: "", kind: Service, name: photos}`, 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonTargetNotFound)
	c.apply("\napiVersion: v1\nkind: Service\nmetadata: {namespace: team-a, name: photos}\nspec: {ports: [{port: 80}]}")
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionTrue)
	require.Contains(t, c.get("team-a", "photos").Status.Hosts, c.named("photos.team-a.svc.cluster.local"))
}

// programmed: how many Envoys have it is told, and a real one enforces it.
func (s story) programmed() {
	t := s.T
	c := s.start(s.T, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(upstream.Close)
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	e := c.Protect(envoy.Options{})
	c.until("team-a", "photos", v1alpha1.Programmed, metav1.ConditionTrue, "acknowledged by 1 of 1 Envoys")
	require.Equal(t, "1/1", c.get("team-a", "photos").Status.Envoys)
	resp := e.Get("/albums/1", "")
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Contains(t, resp.Header.Get("WWW-Authenticate"), `ticket="`)

	c.apply(strings.Replace(photos, "scopes: [view]", "deny: true", 1))
	c.until("team-a", "photos", v1alpha1.Programmed, metav1.ConditionTrue)
	require.Equal(t, http.StatusForbidden, e.Get("/albums/1", "").StatusCode)
}

// fileFirst: a host of umagate.yaml is no object's.
func (s story) fileFirst() {
	c := s.prepare(s.T, 1)
	c.Write("listen: {api: 127.0.0.1:0, xds: 127.0.0.1:0, instances: 127.0.0.1:0}\nsites:\n- name: own\n  hosts: [photos.example.com]\n  authorization_server: {issuer: '" + c.as.Issuer() +
		"', client: {register: {}}}\n  resources: [{name: own, conditions: [{paths: [/**], scopes: [view]}]}]\n")
	c.Start()
	c.apply(authorizationServer + "\n---\n" + photos)
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonConflicted, "photos.example.com is of site own of umagate.yaml")
	c.atAS("own")
}

// foreignUpstream: a namespace cannot have Envoy call another's services.
func (s story) foreignUpstream() {
	c := s.start(s.T, 1)
	c.apply(authorizationServer + "\n---\n" + strings.Replace(photos, "  resources:", "  upstream: http://photos.kube-system.svc:80\n  resources:", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid, "spec.upstream: is no service of namespace team-a")
	c.apply(strings.Replace(photos, "  resources:", "  upstream: http://photos.team-a.svc.cluster.local:80\n  resources:", 1))
	c.until("team-a", "photos", v1alpha1.Accepted, metav1.ConditionTrue)
}

// serverInUse: an AuthorizationServer that is deleted, as with its whole namespace, stays
// until what needs it is deregistered.
func (s story) serverInUse() {
	t, a := s.T, s.api
	c := s.start(s.T, 1)
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	var as v1alpha1.AuthorizationServer
	require.Eventually(t, func() bool {
		require.NoError(t, a.client.Get(t.Context(), c.key("team-a", "as"), &as))
		return as.Status.APIs == 1 && meta.IsStatusConditionTrue(as.Status.Conditions, v1alpha1.Accepted)
	}, withinTest, everyTest)
	c.delete(&v1alpha1.AuthorizationServer{}, "team-a", "as")
	c.delete(&v1alpha1.ProtectedAPI{}, "team-a", "photos")
	c.gone("team-a", "photos")
	c.atAS()
	require.Eventually(t, func() bool { return a.client.Get(t.Context(), c.key("team-a", "as"), &as) != nil }, withinTest, everyTest)
}

// upgraded: the definitions are applied again in another version, while there are objects.
func (s story) upgraded() {
	t, a := s.T, s.api
	c := s.start(s.T, 1)
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	_, err := a.Kubectl(t.Context(), "", "patch", "crd", "protectedapis.umagate.io", "--type=json", "-p",
		`[{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/coming", "value": {"type": "string"}}]`)
	require.NoError(t, err)
	define(t, a.APIServer)
	c.apply(strings.Replace(photos, "[/albums/**]", "[/albums/**, /more]", 1))
	c.ready("team-a", "photos")
}

// apiServerAway: what is served stays while the API server is away, and what changes
// afterwards is seen.
func (s story) apiServerAway() {
	t, a := s.T, s.api
	c := s.start(s.T, 1)
	c.apply(authorizationServer + "\n---\n" + photos)
	c.ready("team-a", "photos")
	a.Pause()
	require.Len(t, c.Status().Sites, 1)
	require.NoError(t, a.Resume(t.Context()))
	require.Eventually(t, func() bool {
		return c.try(strings.Replace(photos, "[/albums/**]", "[/albums/**, /more]", 1)) == nil
	}, withinTest, everyTest)
	c.until("team-a", "photos", v1alpha1.Synced, metav1.ConditionTrue)
	require.Equal(t, int64(2), c.get("team-a", "photos").Generation)
}
