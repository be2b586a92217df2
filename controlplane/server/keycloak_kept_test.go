package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// probe is a request that is asked again and again.
type probe struct{ who, path string }

// traffic asks a gateway without a pause. Every answer has to be one of those that are
// allowed while it is under way.
type traffic struct {
	t      *testing.T
	base   string
	tokens map[string]string

	mu      sync.Mutex
	allowed map[probe][]int
	asked   int
	// since counts the answers in a row that are the last of the allowed ones.
	since map[probe]int
}

func (f *traffic) run() (stop func()) {
	done := make(chan struct{})
	var running sync.WaitGroup
	people := map[string][]probe{}
	for p := range f.allowed {
		people[p.who] = append(people[p.who], p)
	}
	for _, of := range people {
		running.Go(func() {
			for {
				for _, p := range of {
					select {
					case <-done:
						return
					default:
						f.ask(p)
					}
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); running.Wait() })
}

func (f *traffic) ask(p probe) {
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.base+p.path, http.NoBody)
	if err != nil {
		f.t.Error(err)
		return
	}
	req.Host = "photos.example.com"
	if token := f.tokens[p.who]; token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	f.mu.Lock()
	before := f.allowed[p]
	f.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Error(err)
		return
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.allowed[p]
	f.asked++
	if !slices.Contains(before, resp.StatusCode) && !slices.Contains(now, resp.StatusCode) {
		f.t.Errorf("%s at %s: %d is none of %v: %s", p.who, p.path, resp.StatusCode, now, body)
	}
	if resp.StatusCode == now[len(now)-1] {
		f.since[p]++
	} else {
		f.since[p] = 0
	}
}

// change allows what is, and what will be, until every answer is the latter.
func (f *traffic) change(after map[probe]int, change func()) {
	f.t.Helper()
	f.mu.Lock()
	for p, status := range after {
		if last := f.allowed[p][0]; last != status {
			f.allowed[p] = []int{last, status}
		}
	}
	f.mu.Unlock()
	change()
	f.mu.Lock()
	clear(f.since)
	f.mu.Unlock()
	require.Eventually(f.t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for p := range f.allowed {
			if f.since[p] < 5 {
				return false
			}
		}
		return true
	}, servertest.Within, 10*time.Millisecond, "%v", after)
	f.mu.Lock()
	defer f.mu.Unlock()
	for p, all := range f.allowed {
		f.allowed[p] = all[len(all)-1:]
	}
}

// keptAt changes the resources that a client has at Keycloak, as an administrator does.
type keptAt struct {
	t    *testing.T
	as   *keycloak.Server
	path string
}

func (k *keptAt) put(name string, uris, scopes []string) {
	k.t.Helper()
	document := map[string]any{"name": name, "uris": uris}
	of := []map[string]string{}
	for _, s := range scopes {
		of = append(of, map[string]string{"name": s})
	}
	document["scopes"] = of
	id := k.id(name)
	if id == "" {
		require.NoError(k.t, k.as.AdminIn(k.t.Context(), "kept", http.MethodPost, k.path, document, nil))
		return
	}
	document["_id"] = id
	require.NoError(k.t, k.as.AdminIn(k.t.Context(), "kept", http.MethodPut, k.path+"/"+id, document, nil))
}

func (k *keptAt) id(name string) string {
	k.t.Helper()
	var found []struct {
		ID   string `json:"_id"`
		Name string `json:"name"`
	}
	require.NoError(k.t, k.as.AdminIn(k.t.Context(), "kept", http.MethodGet, k.path, nil, &found))
	for _, r := range found {
		if r.Name == name {
			return r.ID
		}
	}
	return ""
}

func (k *keptAt) rename(from, to string, uris, scopes []string) {
	k.t.Helper()
	of := []map[string]string{}
	for _, s := range scopes {
		of = append(of, map[string]string{"name": s})
	}
	id := k.id(from)
	require.NoError(k.t, k.as.AdminIn(k.t.Context(), "kept", http.MethodPut, k.path+"/"+id, map[string]any{"_id": id, "name": to, "uris": uris, "scopes": of}, nil))
}

func (k *keptAt) remove(name string) {
	k.t.Helper()
	require.NoError(k.t, k.as.AdminIn(k.t.Context(), "kept", http.MethodDelete, k.path+"/"+k.id(name), nil, nil))
}

// TestKeptAtKeycloakUnderTraffic: an administrator adds, renames and removes resources,
// URIs and scopes at a real Keycloak while requests run through a real Envoy, on a site
// whose other paths any token opens. Each answer is one of before or after; what was
// protected opens at no moment.
func TestKeptAtKeycloakUnderTraffic(t *testing.T) {
	t.Parallel()
	binary := envoytest.Binary(t)
	as := keycloaktest.Start(t)
	clients := realmClients()
	clients[0]["authorizationServicesEnabled"] = true
	clients[0]["authorizationSettings"] = map[string]any{
		"policyEnforcementMode": "ENFORCING", "decisionStrategy": "AFFIRMATIVE", "allowRemoteResourceManagement": true,
		"resources": []map[string]any{{"name": "albums", "uris": []string{"/albums/*"}, "scopes": []map[string]string{{"name": "view"}}}},
		"scopes":    []map[string]string{{"name": "view"}, {"name": "audit"}},
		"policies": []map[string]any{
			{"name": "alice", "type": "user", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": map[string]string{"users": `["alice"]`}},
			{"name": "alice views", "type": "scope", "logic": "POSITIVE", "decisionStrategy": "UNANIMOUS", "config": map[string]string{"scopes": `["view"]`, "applyPolicies": `["alice"]`}},
		},
	}
	person := func(name string) map[string]any {
		return map[string]any{
			"username": name, "enabled": true, "email": name + "@example.com", "firstName": name, "lastName": "X",
			"credentials": []map[string]any{{"type": "password", "value": name}},
		}
	}
	require.NoError(t, as.ImportRealm(t.Context(), map[string]any{
		"realm": "kept", "enabled": true, "sslRequired": "none", "accessTokenLifespan": 1800, "clients": clients, "users": []map[string]any{person("alice"), person("bob")},
	}))
	client, err := as.ClientIn(t.Context(), "kept", "api")
	require.NoError(t, err)
	at := &keptAt{t: t, as: as, path: "/clients/" + client + "/authz/resource-server/resource"}
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	p := newPlane(t)
	p.Write(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: "` + servertest.Module(t) + `"}
sites:
- name: photos
  hosts: [photos.example.com]
  upstream: ` + api.URL + `
  authorization_server: {issuer: "` + as.URL() + `/realms/kept", insecure_http: true, client: {id: api, secret: api-secret}}
  token: {evaluate: at_as}
  challenge: bearer
  unmatched: authenticated
  resources_at_as: {}
  limits: {evaluations_per_second: 100000, evaluation_burst: 100000}
`)
	p.Start()
	p.Until("all is well before any Envoy is there", allWell)
	e := p.protect(envoy.Options{Binary: binary})
	p.Until("Envoy has acknowledged everything", servertest.Acknowledged)

	f := &traffic{t: t, base: e.Base, tokens: map[string]string{}, since: map[probe]int{}, allowed: map[probe][]int{}}
	for _, who := range []string{"alice", "bob"} {
		token, err := as.TokenIn(t.Context(), "kept", "people", who)
		require.NoError(t, err)
		f.tokens[who] = token
	}
	for _, path := range []string{"/albums/1", "/albums/secret", "/reports/1", "/pictures/1"} {
		for _, who := range []string{"alice", "bob", "nobody"} {
			status := http.StatusOK // any token does, where no resource has the path
			switch {
			case who == "nobody":
				status = http.StatusUnauthorized
			case who == "bob" && path[:2] == "/a":
				status = http.StatusForbidden
			}
			f.allowed[probe{who, path}] = []int{status}
		}
	}
	stop := f.run()
	t.Cleanup(stop)
	const ok, no = http.StatusOK, http.StatusForbidden
	view, both := []string{"view"}, []string{"view", "audit"}
	f.change(nil, func() {})

	f.change(map[probe]int{{"bob", "/reports/1"}: no}, func() { at.put("reports", []string{"/reports/*"}, view) })
	f.change(map[probe]int{{"bob", "/pictures/1"}: no}, func() { at.put("albums", []string{"/albums/*", "/pictures/{id}"}, view) })
	f.change(nil, func() { at.rename("albums", "photos", []string{"/albums/*", "/pictures/{id}"}, view) })
	f.change(map[probe]int{{"alice", "/albums/secret"}: no}, func() { at.put("secrets", []string{"/albums/secret"}, []string{"audit"}) })
	f.change(map[probe]int{{"alice", "/reports/1"}: no}, func() { at.put("reports", []string{"/reports/*"}, []string{"audit"}) })
	f.change(map[probe]int{{"alice", "/reports/1"}: ok}, func() { at.put("reports", []string{"/reports/*"}, both) })
	// A narrower URI is gone: the wider one has the path again, and nothing else.
	f.change(map[probe]int{{"alice", "/albums/secret"}: ok}, func() { at.remove("secrets") })
	// What no resource has any more is what any token opens, but not where it was protected.
	f.change(map[probe]int{{"alice", "/pictures/1"}: no, {"nobody", "/pictures/1"}: no}, func() { at.put("photos", []string{"/albums/*"}, view) })
	f.change(map[probe]int{{"alice", "/reports/1"}: no, {"nobody", "/reports/1"}: no}, func() { at.remove("reports") })
	stop()
	t.Logf("%d requests", f.asked)
	settled := p.Until("all is well", func(s server.Status) bool { return s.OK })
	require.NotNil(t, settled.Sites[0].Kept)
}
