package site_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/site"
)

// TestSharedResources: one resource of two sites, where each means its own.
func TestSharedResources(t *testing.T) {
	const one = `
- name: %s
  hosts: [%[1]s.example.com]
  require: %s
  authorization_server: {issuer: "%s", client: {id: rs, secret: "ssssssssssssssssssss"}}
  token: {audiences: [x]}
  resources:
  - {name: albums, %s}
`
	const protected, public = `conditions: [{paths: ["/albums"], scopes: [view]}]`, `conditions: [{paths: ["/albums"], public: true}]`
	tests := []struct {
		name, require, issuer, resource string
		fault                           bool
	}{
		{"the same", "uma", "https://as", protected, true},
		{"the same, its issuer with a slash", "uma", "https://as/", protected, true},
		{"the same, its host in capitals", "uma", "https://AS", protected, true},
		{"the same, with its port", "uma", "https://as:443", protected, true},
		{"another port", "uma", "https://as:8443", protected, false},
		{"another authorization server", "uma", "https://other", protected, false},
		{"one that is not registered", "uma", "https://as", public, false},
		{"nothing is registered", "oauth_scopes", "https://as", protected, false},
		{"given by its id", "uma", "https://as", "id: r-1, " + protected, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "sites:" + fmt.Sprintf(one, "a", "uma", "https://as", protected) + fmt.Sprintf(one, "b", tt.require, tt.issuer, tt.resource)
			_, err := site.Parse("umagate.yaml", []byte(text), site.Environment{LookupEnv: func(string) (string, bool) { return "", false }})
			if !tt.fault {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "sites[1].resources[0].name")
			require.ErrorContains(t, err, "a client of its own")
		})
	}
}

// TestSharedInstances: what two sites of one client call by one name is one resource
// at the AS, so that a permission for one site's would open the other's.
func TestSharedInstances(t *testing.T) {
	const one = `
- name: %s
  hosts: [%[1]s.example.com]
  authorization_server: {issuer: "https://as", client: {id: %s, secret: "ssssssssssssssssssss"}}
  resources:
  - {name: "%s", conditions: [{paths: ["/albums/{id}"], scopes: [view]}]}
`
	tests := []struct {
		name, client, resource string
		fault                  bool
	}{
		{"the same", "rs", "album-{id}", true},
		{"one that is an instance's", "rs", "album-7", true},
		{"another name", "rs", "film-{id}", false},
		{"another client", "other", "album-{id}", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "sites:" + fmt.Sprintf(one, "a", "rs", "album-{id}") + fmt.Sprintf(one, "b", tt.client, tt.resource)
			_, err := site.Parse("umagate.yaml", []byte(text), site.Environment{LookupEnv: func(string) (string, bool) { return "", false }})
			if !tt.fault {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "sites[1].resources[0].name")
			require.ErrorContains(t, err, "a client of its own")
		})
	}
}
