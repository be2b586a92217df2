package as_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// TestProbes: the calls are Envoy's, byte for byte in what matters, and tell the clock.
func TestProbes(t *testing.T) {
	t.Parallel()
	var ahead time.Duration
	status, date := http.StatusOK, true
	ticket := "opaque"
	var seen *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		body, _ = io.ReadAll(r.Body)
		if w.Header()["Date"] = nil; date {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if r.URL.Path == "/introspect" {
			_, _ = io.WriteString(w, `{"active":false}`)
			return
		}
		if r.URL.Path == "/token" {
			claims := fmt.Sprintf(`{"iat":%d}`, time.Now().Add(ahead).Unix())
			_, _ = fmt.Fprintf(w, `{"access_token":%q,"expires_in":60}`, "e30."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".x")
			return
		}
		_, _ = fmt.Fprintf(w, `{"ticket":%q}`, ticket)
	}))
	t.Cleanup(server.Close)
	client, err := as.New(as.Config{Issuer: server.URL, Dialect: as.DialectKeycloak})
	require.NoError(t, err)
	known, err := client.Known(as.Metadata{
		Issuer: server.URL, TokenEndpoint: server.URL + "/token", IntrospectionEndpoint: server.URL + "/introspect", PermissionEndpoint: server.URL + "/permission",
	})
	require.NoError(t, err)

	clock, err := known.ProbeIntrospection(t.Context(), as.Asked{Authorization: secret.New("Basic cnM6cw==")}, secret.New("the-token"))
	require.NoError(t, err)
	require.Zero(t, clock.Differs())
	require.Equal(t, "Basic cnM6cw==", seen.Header.Get("Authorization"))
	require.Equal(t, "application/x-www-form-urlencoded", seen.Header.Get("Content-Type"))
	require.Equal(t, "token=the-token&token_type_hint=requesting_party_token", string(body))
	_, err = known.ProbeIntrospection(t.Context(), as.Asked{ClientID: "rs", Hint: "access_token"}, secret.New("the-token"))
	require.NoError(t, err)
	require.Empty(t, seen.Header.Get("Authorization"), "its certificate says who it is")
	require.Equal(t, "client_id=rs&token=the-token&token_type_hint=access_token", string(body))

	wanted := []config.Permission{{ResourceID: "1", ResourceScopes: []string{"view"}}}
	ahead = -10 * time.Minute
	clock, err = known.ProbePermission(t.Context(), as.Asked{Authorization: secret.New("Bearer the-pat")}, wanted)
	require.NoError(t, err)
	require.InDelta(t, -600, clock.Differs().Seconds(), 2)
	require.Equal(t, "Bearer the-pat", seen.Header.Get("Authorization"))
	require.JSONEq(t, `[{"resource_id":"1","resource_scopes":["view"]}]`, string(body))

	// Without a Date, a new token says when it was issued.
	date = false
	clock, err = known.ProbeIntrospection(t.Context(), as.Asked{}, secret.New("the-token"))
	require.NoError(t, err)
	require.Zero(t, clock, "nothing is known")
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("s"), nil)
	require.NoError(t, err)
	ahead = time.Hour
	clock, err = known.ProbeClock(t.Context(), auth)
	require.NoError(t, err)
	require.InDelta(t, 3600, clock.Differs().Seconds(), 2)

	status = http.StatusUnauthorized
	_, err = known.ProbeIntrospection(t.Context(), as.Asked{Authorization: secret.New("Basic hush-hush")}, secret.New("the-token"))
	require.ErrorIs(t, err, as.ErrClientRefused)
	require.NotContains(t, err.Error(), "hush")
	_, err = known.ProbePermission(t.Context(), as.Asked{}, wanted)
	require.ErrorIs(t, err, as.ErrPATRefused)
	status, ticket = http.StatusOK, ""
	_, err = known.ProbePermission(t.Context(), as.Asked{}, wanted)
	require.ErrorIs(t, err, as.ErrMalformed)
}
