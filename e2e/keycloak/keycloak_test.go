package keycloak_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
)

// call sends a request and decodes the JSON answer into a map.
func call(ctx context.Context, t *testing.T, method, to, bearer, contentType, body string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", contentType)
	if bearer != "" {
		request.Header.Set("Authorization", "Bearer "+bearer)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var answer map[string]any
	if bytes.HasPrefix(text, []byte("{")) {
		require.NoError(t, json.Unmarshal(text, &answer))
	}
	return response.StatusCode, answer
}

// TestServer walks what other packages' tests rely on, on one server.
func TestServer(t *testing.T) {
	ctx := t.Context()
	server := keycloaktest.Start(t)
	realm := server.Issuer()
	token := realm + "/protocol/openid-connect/token"
	const form, document = "application/x-www-form-urlencoded", "application/json"

	// A resource server registers itself, which loopback may.
	status, client := call(ctx, t, http.MethodPost, realm+"/clients-registrations/openid-connect", "", document,
		`{"client_name":"rs","redirect_uris":[],"grant_types":["client_credentials","urn:ietf:params:oauth:grant-type:uma-ticket"]}`)
	require.Equal(t, http.StatusCreated, status, client)
	id, secret := client["client_id"].(string), client["client_secret"].(string)
	pat := func() string {
		status, answer := call(ctx, t, http.MethodPost, token, "", form,
			url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode())
		require.Equal(t, http.StatusOK, status, answer)
		return answer["access_token"].(string)
	}
	status, resource := call(ctx, t, http.MethodPost, realm+"/authz/protection/resource_set", pat(), document,
		`{"name":"album 1","resource_scopes":["view"]}`)
	require.Equal(t, http.StatusCreated, status, resource)
	ticket := func() string {
		status, answer := call(ctx, t, http.MethodPost, realm+"/authz/protection/permission", pat(), document,
			`[{"resource_id":"`+resource["_id"].(string)+`","resource_scopes":["view"]}]`)
		require.Equal(t, http.StatusCreated, status, answer)
		return answer["ticket"].(string)
	}
	rpt := func(person string) (string, error) {
		access, err := server.Token(ctx, person)
		require.NoError(t, err)
		return server.RPT(ctx, access, ticket())
	}
	active := func(of string) bool {
		status, answer := call(ctx, t, http.MethodPost, token+"/introspect", "", form,
			url.Values{"token": {of}, "client_id": {id}, "client_secret": {secret}}.Encode())
		require.Equal(t, http.StatusOK, status, answer)
		is, ok := answer["active"].(bool)
		return ok && is
	}

	t.Run("policies", func(t *testing.T) {
		_, err := rpt("alice")
		var refused *keycloak.StatusError
		require.ErrorAs(t, err, &refused, "without a policy nobody may")
		require.Equal(t, http.StatusForbidden, refused.Status)
		require.NoError(t, server.ImportPolicies(ctx, id, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
		_, err = rpt("alice")
		require.NoError(t, err)
		_, err = rpt("bob")
		require.ErrorAs(t, err, &refused)
	})
	t.Run("logout", func(t *testing.T) {
		alices, err := rpt("alice")
		require.NoError(t, err)
		require.True(t, active(alices))
		require.NoError(t, server.Logout(ctx, "alice"))
		require.False(t, active(alices))
	})
	t.Run("lifespan of a client", func(t *testing.T) {
		require.NoError(t, server.SetClientAttributes(ctx, id, map[string]string{"access.token.lifespan": "77"}))
		_, answer := call(ctx, t, http.MethodPost, token, "", form,
			url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode())
		require.InDelta(t, 77, answer["expires_in"], 1)
	})
	t.Run("lifespan of the realm", func(t *testing.T) {
		require.NoError(t, server.SetAccessTokenLifespan(ctx, 100*time.Second))
		_, answer := call(ctx, t, http.MethodPost, token, "", form, url.Values{
			"grant_type": {"password"}, "client_id": {keycloak.AppClient}, "username": {"bob"}, "password": {keycloak.Password("bob")},
		}.Encode())
		require.InDelta(t, 100, answer["expires_in"], 1)
	})
	t.Run("keys", func(t *testing.T) {
		keys := func() []any {
			_, answer := call(ctx, t, http.MethodGet, realm+"/protocol/openid-connect/certs", "", document, "")
			return answer["keys"].([]any)
		}
		before := len(keys())
		old, err := rpt("alice")
		require.NoError(t, err)
		require.NoError(t, server.RotateKeys(ctx))
		require.Len(t, keys(), before+1)
		now, err := rpt("alice")
		require.NoError(t, err)
		header := func(token string) string { return token[:strings.IndexByte(token, '.')] }
		require.NotEqual(t, header(old), header(now), "another key signs")
		require.True(t, active(old))
	})
	t.Run("initial access token", func(t *testing.T) {
		initial, err := server.InitialAccessToken(ctx, 1)
		require.NoError(t, err)
		register := func() int {
			status, _ := call(ctx, t, http.MethodPost, realm+"/clients-registrations/openid-connect", initial, document, `{"redirect_uris":[]}`)
			return status
		}
		require.Equal(t, http.StatusCreated, register())
		require.Equal(t, http.StatusUnauthorized, register(), "it is used up")
	})
	t.Run("frozen", func(t *testing.T) {
		require.NoError(t, server.Freeze())
		defer func() { require.NoError(t, server.Thaw()) }()
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, err := server.AdminToken(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
	t.Run("killed and back", func(t *testing.T) {
		server.Kill()
		_, err := server.AdminToken(ctx)
		require.Error(t, err)
		require.NoError(t, server.Restart(ctx))
		_, err = rpt("alice")
		require.NoError(t, err, "the registration is still there")
	})
	t.Run("deleted client", func(t *testing.T) {
		require.NoError(t, server.DeleteClient(ctx, id))
		status, _ := call(ctx, t, http.MethodPost, token, "", form,
			url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}.Encode())
		require.Equal(t, http.StatusUnauthorized, status)
	})
}

// The realm has a resource server's client of its own, for a configuration that
// registers none.
func TestGivenClient(t *testing.T) {
	server := keycloaktest.Start(t)
	status, answer := call(t.Context(), t, http.MethodPost, server.Issuer()+"/protocol/openid-connect/token", "", "application/x-www-form-urlencoded",
		url.Values{"grant_type": {"client_credentials"}, "client_id": {"photos-api"}, "client_secret": {"photos-api-secret"}}.Encode())
	require.Equal(t, http.StatusOK, status, answer)
	status, answer = call(t.Context(), t, http.MethodPost, server.Issuer()+"/authz/protection/resource_set", answer["access_token"].(string), "application/json",
		`{"name":"album 1","resource_scopes":["view"]}`)
	require.Equal(t, http.StatusCreated, status, answer)
}
