package as_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// TestOwner replays what a Keycloak does with a resource that belongs to a person:
// 26.0 takes the owner at the protection API, 26.7 ignores it there; both take it
// from a service account that may manage authorization.
func TestOwner(t *testing.T) {
	t.Parallel()
	const (
		keycloak = `{"issuer":"ISSUER/realms/r","token_endpoint":"ISSUER/realms/r/protocol/openid-connect/token",
			"introspection_endpoint":"ISSUER/realms/r/i","resource_registration_endpoint":"ISSUER/realms/r/authz/protection/resource_set",
			"permission_endpoint":"ISSUER/realms/r/authz/protection/permission"}`
		byAdmin = "/admin/realms/r/clients/rs/authz/resource-server/resource"
		byPAT   = "/realms/r/authz/protection/resource_set"
		asked   = `{"name":"album-1","owner":{"id":"alice"},"ownerManagedAccess":true,"scopes":[{"name":"view"}]}`
		named   = `{"name":"album-1","owner":"alice","ownerManagedAccess":true,"resource_scopes":["view"]}`
	)
	post := func(path, body string, status int, answer string) exchange {
		return exchange{method: http.MethodPost, path: path, body: body, status: status, answer: answer}
	}
	forbidden := post(byAdmin, asked, 403, `{"error":"HTTP 403 Forbidden"}`)
	own := func(answer string) exchange {
		return get(byPAT+"?deep=true&first=0&max=1&owner=rs", 200, answer)
	}
	const another = "/admin/realms/r/clients/c-1/authz/resource-server/resource"
	gone := exchange{method: http.MethodDelete, path: byPAT + "/r1", status: 204}
	tests := []struct {
		name      string
		exchanges []exchange
		id        string
		err       error
	}{
		{"by the administration API", []exchange{post(byAdmin, asked, 201, `{"_id":"r1","owner":{"id":"alice","name":"a"}}`)}, "r1", nil},
		{"by the user name", []exchange{post(byAdmin, asked, 201, `{"_id":"r1","owner":{"id":"3f2c","name":"alice"}}`)}, "r1", nil},
		{"who is another", []exchange{post(byAdmin, asked, 201, `{"_id":"r1","owner":{"id":"3f2c","name":"bob"}}`), gone}, "", as.ErrOwner},
		{"who is nobody", []exchange{post(byAdmin, asked, 500, `{"error":"unknown_error","error_description":"For more on this error consult the server log."}`)}, "", as.ErrUnknownOwner},
		{"whose client has another id, which a resource tells", []exchange{
			forbidden, own(`[{"_id":"r0","name":"albums","owner":{"id":"c-1","name":"rs"}}]`),
			post(another, asked, 201, `{"_id":"r1","owner":{"id":"alice"}}`),
		}, "r1", nil},
		{"whose client has another id, and nothing yet", []exchange{
			forbidden, own(`[]`), post(byPAT, named, 201, `{"_id":"r1","owner":{"id":"c-1","name":"rs"}}`), gone,
			post(another, asked, 201, `{"_id":"r2","owner":{"id":"alice"}}`),
		}, "r2", nil},
		{"which has one", []exchange{post(byAdmin, asked, 409, `{"error":"invalid_request"}`)}, "", as.ErrConflict},
		{"which is down", []exchange{post(byAdmin, asked, 503, ``)}, "", as.ErrUnavailable},
		{"by name, where it counts", []exchange{forbidden, own(`[]`), post(byPAT, named, 201, `{"_id":"r1","owner":{"id":"alice","name":"a"}}`)}, "r1", nil},
		{"by name, where it does not", []exchange{
			forbidden, own(`[]`), post(byPAT, named, 201, `{"_id":"r1","owner":{"id":"rs","name":"rs"}}`), gone, forbidden, own(`[]`),
		}, "", as.ErrOwner},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			const umaAtRealm = "/realms/r" + umaPath
			r := record(t, append([]exchange{get(umaAtRealm, 200, keycloak)}, tt.exchanges...)...)
			client, err := as.New(as.Config{Issuer: r.URL + "/realms/r"})
			require.NoError(t, err)
			server, err := client.Discover(t.Context())
			require.NoError(t, err)
			pat := as.Token{
				Value:    secret.New("e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"azp":"rs"}`)) + ".x"),
				IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
			}
			created, err := server.Protection(as.NewPATSource(pat, func(context.Context) (as.Token, error) { return as.Token{}, as.ErrClientRefused }, nil, nil)).Create(t.Context(), as.Resource{Name: "album-1", Scopes: []string{"view"}, Owner: "alice"})
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.id, created.ID)
			if err != nil {
				require.NotEmpty(t, as.Remedy(err))
			}
		})
	}
}
