package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/cli"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/sampleapi"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
	"github.com/umagate/umagate/envoy/envoytest"
)

// asked sends a request, requires a status and reads the answer.
func asked(t *testing.T, r *http.Request, status int, to any) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, status, response.StatusCode, "%.300s", body)
	if to != nil {
		require.NoError(t, json.Unmarshal(body, to))
	}
}

// An RPT of a real Keycloak with everything that alice may, 300 resources, opens
// the one that is asked for.
func TestLongRPTOfKeycloak(t *testing.T) {
	const resources = 300
	binary := envoytest.Binary(t)
	server := keycloaktest.Start(t)
	registration, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Issuer()+"/clients-registrations/openid-connect",
		strings.NewReader(`{"client_name":"long","redirect_uris":[],"grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:uma-ticket"]}`))
	require.NoError(t, err)
	registration.Header.Set("Content-Type", "application/json")
	var rs struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	asked(t, registration, http.StatusCreated, &rs)

	client, err := as.New(as.Config{Issuer: server.Issuer()})
	require.NoError(t, err)
	known, err := client.Discover(t.Context())
	require.NoError(t, err)
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, rs.ID, secret.New(rs.Secret), nil)
	require.NoError(t, err)
	pat, err := known.PAT(t.Context(), auth)
	require.NoError(t, err)
	protection := known.Protection(as.NewPATSource(pat, nil, nil, nil))
	for i := range resources {
		name := "albums"
		if i > 0 {
			name = fmt.Sprintf("album number %d", i)
		}
		_, err := protection.Create(t.Context(), as.Resource{Name: name, Scopes: []string{"view"}})
		require.NoError(t, err)
	}
	require.NoError(t, server.ImportPolicies(t.Context(), rs.ID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))

	alice, err := server.Token(t.Context(), "alice")
	require.NoError(t, err)
	grant, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.Issuer()+"/protocol/openid-connect/token",
		strings.NewReader(url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "audience": {rs.ID}}.Encode()))
	require.NoError(t, err)
	grant.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	grant.Header.Set("Authorization", "Bearer "+alice)
	var rpt struct {
		Token string `json:"access_token"`
	}
	asked(t, grant, http.StatusOK, &rpt)
	t.Logf("an RPT of %d bytes", len(rpt.Token))
	require.Greater(t, len(rpt.Token), 30<<10)

	api, err := sampleapi.New().Start(t.Context(), "127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(api.Stop)
	config := file(t, `
plugin: {wasm: `+module(t)+`}
envoy: {listener: "127.0.0.1:0", admin: "127.0.0.1:0", access_log: "off"}
sites:
- name: photos
  hosts: ["*"]
  upstream: http://`+api.Address+`
  authorization_server: {issuer: `+server.Issuer()+`, client: {id: `+rs.ID+`, secret: "${RS_SECRET}"}}
  resources:
  - {name: albums, conditions: [{paths: ["/albums/{id}"], methods: [GET], scopes: [view]}]}
`)
	vars := map[string]string{"RS_SECRET": rs.Secret}
	code, bootstrap, stderr := run(t, vars, "render", "envoy", "-c", config)
	require.Equal(t, cli.ExitOK, code, stderr)
	process := envoytest.Start(t, envoy.Options{Binary: binary, Bootstrap: []byte(bootstrap)})
	base := "http://" + envoytest.Address(t.Context(), t, process, "umagate")
	for range 2 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/albums/1", http.NoBody)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+rpt.Token)
		asked(t, request, http.StatusOK, nil)
	}
	vars["UMAGATE_TOKEN"] = rpt.Token
	code, out, stderr := run(t, vars, "check", "-c", config, "--host", "h", "--path", "/albums/1")
	require.Equal(t, cli.ExitOK, code, out+stderr)
}
