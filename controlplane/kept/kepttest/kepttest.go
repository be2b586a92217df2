// Package kepttest speaks as a Keycloak that keeps paths with the resources of one client,
// for tests of what is made of them.
package kepttest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

// Keycloak has resources whose id is their name, each with the scope view.
type Keycloak struct {
	// Issuer is what it calls itself. Set it before the first request.
	Issuer string

	mu        sync.Mutex
	resources map[string][]string // URIs, by id
	hidden    map[string]bool     // not in the list
	down      bool                // lists nothing
	changes   []string            // requests that change something
	reads     int
}

// Set has a resource with these URIs.
func (k *Keycloak) Set(id string, uris ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.resources == nil {
		k.resources = map[string][]string{}
	}
	k.resources[id] = uris
}

// Remove has no such resource any more.
func (k *Keycloak) Remove(ids ...string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range ids {
		delete(k.resources, id)
	}
}

// Hide leaves a resource out of the list, or lists it again. It is there in any case.
func (k *Keycloak) Hide(id string, hidden bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.hidden == nil {
		k.hidden = map[string]bool{}
	}
	k.hidden[id] = hidden
}

// SetDown answers each list with an error, or no more.
func (k *Keycloak) SetDown(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

// Changes are the requests so far that would have changed something.
func (k *Keycloak) Changes() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]string{}, k.changes...)
}

// Reads counts the lists so far.
func (k *Keycloak) Reads() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reads
}

// ServeHTTP answers as the AS.
func (k *Keycloak) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := func(id string) map[string]any {
		return map[string]any{"_id": id, "name": id, "uris": k.resources[id], "scopes": []map[string]string{{"name": "view"}}}
	}
	var answer any
	_, id, one := strings.Cut(r.URL.Path, "/resource_set/")
	switch {
	case strings.Contains(r.URL.Path, ".well-known"):
		answer = map[string]string{
			"issuer": k.Issuer, "token_endpoint": k.Issuer + "/protocol/openid-connect/token", "introspection_endpoint": k.Issuer + "/introspect",
			"resource_registration_endpoint": k.Issuer + "/authz/protection/resource_set", "permission_endpoint": k.Issuer + "/authz/protection/permission",
		}
	case strings.HasSuffix(r.URL.Path, "/token"):
		answer = map[string]any{"access_token": "pat", "token_type": "Bearer", "expires_in": 1 << 20}
	case r.Method != http.MethodGet:
		k.changes = append(k.changes, r.Method+" "+r.URL.Path)
	case one:
		if k.resources[id] == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer = entry(id)
	case k.down:
		http.Error(w, "down", http.StatusInternalServerError)
		return
	default:
		k.reads++
		list := []map[string]any{}
		for id := range k.resources {
			if !k.hidden[id] {
				list = append(list, entry(id))
			}
		}
		answer = list
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a test whose client is gone has what it wants
}
