package as_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
)

func TestRegistrationTokenDoesNotGoInTheClear(t *testing.T) {
	t.Parallel()
	client, err := as.New(as.Config{Issuer: "https://as.example.com", Transport: noTransport{t}})
	require.NoError(t, err)
	server, err := client.Known(as.Metadata{Issuer: "https://as.example.com", TokenEndpoint: "https://as.example.com/token"})
	require.NoError(t, err)
	r := as.Registration{ClientID: "c1", AccessToken: secret.New("rat"), URI: "http://as.example.com/c/c1?secret=1"}
	_, err = server.ReadRegistration(t.Context(), r)
	require.ErrorIs(t, err, as.ErrInsecureEndpoint)
	require.NotContains(t, err.Error(), "secret=1")
	_, err = server.UpdateRegistration(t.Context(), r, as.ClientMetadata{})
	require.ErrorIs(t, err, as.ErrInsecureEndpoint)
	require.ErrorIs(t, server.DeleteRegistration(t.Context(), r), as.ErrInsecureEndpoint)
}

func TestRegistration(t *testing.T) {
	t.Parallel()
	server := discover(t, keycloakDocument,
		exchange{
			method: "POST", path: "/clients-registrations/openid-connect", header: map[string]string{"Authorization": "Bearer iat"},
			body: `{"client_name":"umagate photos","grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:uma-ticket"],
				"token_endpoint_auth_method":"client_secret_post"}`,
			status: 201, answer: `{"client_id":"c1","client_secret":"hush","client_secret_expires_at":1790000000,"token_endpoint_auth_method":"client_secret_basic",
				"registration_access_token":"rat-1","registration_client_uri":"ISSUER/c/c1"}`,
		},
		exchange{method: "GET", path: "/c/c1", header: map[string]string{"Authorization": "Bearer rat-1"}, status: 200, answer: `{"client_id":"c1"}`},
		exchange{
			method: "PUT", path: "/c/c1", header: map[string]string{"Authorization": "Bearer rat-1"}, body: `{"client_id":"c1","client_name":"other"}`,
			status: 200, answer: `{"client_id":"c1","client_secret":"hush-2","registration_access_token":"rat-2"}`,
		},
		exchange{method: "GET", path: "/c/c1", header: map[string]string{"Authorization": "Bearer rat-2"}, status: 401, answer: `{"error":"invalid_token"}`},
		exchange{method: "DELETE", path: "/c/c1", header: map[string]string{"Authorization": "Bearer rat-2"}, status: 204},
		exchange{
			method: "POST", path: "/clients-registrations/openid-connect", status: 403,
			answer: `{"error":"insufficient_scope","error_description":"Policy 'Trusted Hosts' rejected request"}`,
		},
	)
	ctx := t.Context()
	metadata := as.ClientMetadata{Name: "umagate photos", GrantTypes: server.Dialect().GrantTypes, AuthMethod: clientauth.SecretPost, Scope: server.Dialect().RegisterScope}
	r, err := server.Register(ctx, metadata, secret.New("iat"))
	require.NoError(t, err)
	require.Equal(t, "hush", r.ClientSecret.Reveal())
	require.Equal(t, time.Unix(1790000000, 0), r.SecretExpiresAt)
	r.AuthMethod = clientauth.SecretPost
	read, err := server.ReadRegistration(ctx, r)
	require.NoError(t, err)
	require.Equal(t, r, read, "what the answer leaves out is kept")
	updated, err := server.UpdateRegistration(ctx, r, as.ClientMetadata{Name: "other"})
	require.NoError(t, err)
	require.Equal(t, "rat-2", updated.AccessToken.Reveal())
	require.Equal(t, "hush-2", updated.ClientSecret.Reveal())
	require.Equal(t, clientauth.SecretPost, updated.AuthMethod)
	_, err = server.ReadRegistration(ctx, updated)
	require.ErrorIs(t, err, as.ErrRegistrationRefused)
	require.NoError(t, server.DeleteRegistration(ctx, updated))
	_, err = server.Register(ctx, as.ClientMetadata{}, secret.Text{})
	require.ErrorIs(t, err, as.ErrRegistrationRefused)
	require.Contains(t, err.Error(), "Trusted Hosts")
	require.Contains(t, as.Remedy(err), "initial_access_token")
}

func TestResources(t *testing.T) {
	t.Parallel()
	bearer := map[string]string{"Authorization": "Bearer pat-1"}
	album := as.Resource{Name: "albums", Type: "urn:album", Scopes: []string{"view", "edit"}, Description: "pictures"}
	t.Run("generic", func(t *testing.T) {
		t.Parallel()
		api := discover(t, genericDocument,
			exchange{
				method: "POST", path: "/rs", header: bearer, body: `{"name":"albums","type":"urn:album","resource_scopes":["view","edit"],"description":"pictures"}`,
				status: 201, answer: `{"_id":"r1"}`,
			},
			exchange{
				method: "PUT", path: "/rs/r1", header: bearer, body: `{"name":"albums","type":"urn:album","resource_scopes":["view","edit"],"description":"pictures"}`,
				status: 200, answer: `{"_id":"r1"}`,
			},
			get("/rs", 200, `["r1","r/2"]`), get("/rs/r1", 200, `{"name":"other","resource_scopes":[]}`),
			get("/rs/r%2F2", 200, `{"_id":"r/2","name":"albums","resource_scopes":["view","edit"]}`),
			exchange{method: "DELETE", path: "/rs/r1", header: bearer, status: 404, answer: `{"error":"not_found"}`},
		).Protection(pats("pat-1"))
		created, err := api.Create(t.Context(), album)
		require.NoError(t, err)
		require.Equal(t, "r1", created.ID)
		require.NoError(t, api.Update(t.Context(), created))
		found, err := api.FindByName(t.Context(), "albums")
		require.NoError(t, err)
		require.Equal(t, []as.Resource{{ID: "r/2", Name: "albums", Scopes: []string{"edit", "view"}}}, found)
		require.NoError(t, api.Delete(t.Context(), "r1"), "gone already")
	})
	t.Run("keycloak", func(t *testing.T) {
		t.Parallel()
		const set = "/authz/protection/resource_set"
		page := make([]string, 10_000)
		for i := range page {
			page[i] = fmt.Sprintf(`"r%d"`, i)
		}
		api := discover(t, keycloakDocument,
			exchange{method: "POST", path: set, body: `{"name":"albums","type":"urn:album","resource_scopes":["view","edit"]}`, status: 409, answer: `{"error":"invalid_request"}`},
			get(set+"/r1", 200, `{"_id":"r1","name":"albums","owner":{"id":"o"},"ownerManagedAccess":true,"scopes":[{"id":"1","name":"view"}],"resource_scopes":[{"name":"view"}],"icon_uri":"old"}`),
			exchange{
				method: "PUT", path: set + "/r1", status: 204,
				body: `{"_id":"r1","name":"albums","type":"urn:album","owner":{"id":"o"},"ownerManagedAccess":true,"resource_scopes":["view","edit"]}`,
			},
			get(set+"?deep=true&exactName=true&name=albums", 200, `[{"_id":"r1","name":"Albums","scopes":[{"id":"1","name":"view"}]}]`),
			get(set+"?first=0&max=10000", 200, "["+strings.Join(page, ",")+"]"), get(set+"?first=10000&max=10000", 200, `["last"]`),
		).Protection(pats("pat-1"))
		_, err := api.Create(t.Context(), album)
		require.ErrorIs(t, err, as.ErrConflict)
		updated := album
		updated.ID = "r1"
		require.NoError(t, api.Update(t.Context(), updated))
		found, err := api.FindByName(t.Context(), "albums")
		require.NoError(t, err)
		require.Empty(t, found, "the search compares without case")
		ids, err := api.List(t.Context())
		require.NoError(t, err)
		require.Len(t, ids, 10_001)
	})
}

func TestIntrospectionCredential(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		document, path, authorization, hint string
	}{
		"generic":  {genericDocument, "/introspect", basicHeader, ""},
		"keycloak": {keycloakDocument, "/protocol/openid-connect/token/introspect", basicHeader, "requesting_party_token"},
		"gluu":     {gluuDocument, "/oxauth/restv1/rpt/status", "Bearer pat-1", ""},
		"wso2":     {wso2Document, "/oauth2/introspect", "Bearer pat-1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form := url.Values{"token": {"rpt"}}
			if tt.hint != "" {
				form.Set("token_type_hint", tt.hint)
			}
			server := discover(t, tt.document, exchange{
				method: "POST", path: tt.path, form: form, header: map[string]string{"Authorization": tt.authorization}, status: 200, answer: `{"active":false}`,
			})
			answer, err := server.Introspect(t.Context(), basic(t), pats("pat-1"), secret.New("rpt"))
			require.NoError(t, err)
			require.JSONEq(t, `{"active":false}`, string(answer))
		})
	}
}
