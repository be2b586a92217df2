package devas_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := devas.New(devas.Options{
		Issuer: "as.example", SigningAlg: "none", RPTFormat: "paseto", Users: []devas.User{{Name: "x"}}, Clients: []devas.Client{{}},
	})
	for _, part := range []string{"issuer", "signing_alg", "token format", "users[0]", "clients[0]"} {
		require.ErrorContains(t, err, part)
	}
	_, err = devas.New(devas.Options{Clients: []devas.Client{{ID: "confidential"}}})
	require.ErrorContains(t, err, "secret")
}

func TestRegistrationWithInitialAccessTokens(t *testing.T) {
	t.Parallel()
	k := &kit{Server: start(t, devas.Options{
		Registration: devas.RegistrationToken, InitialAccessTokens: []devas.InitialAccessToken{{Token: "twice", Uses: 2}},
	})}
	const body = `{"grant_types":["client_credentials"]}`
	require.Equal(t, 401, k.register(t, "/register", body).status)
	for _, want := range []int{201, 201, 401} {
		a, err := k.send(t, http.MethodPost, "/register", "twice", "application/json", body)
		require.NoError(t, err)
		require.Equal(t, want, a.status)
	}
	off := &kit{Server: start(t, devas.Options{Registration: devas.RegistrationOff})}
	require.Equal(t, 403, off.register(t, "/register", body).status)
	a, err := off.send(t, http.MethodGet, "/.well-known/openid-configuration", "", "", "")
	require.NoError(t, err)
	require.NotContains(t, a.body, "registration_endpoint")
}

func TestMetadataRefused(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	for _, tt := range []struct{ name, body, code string }{
		{"not JSON", `<`, "invalid_client_metadata"},
		{"an array", `[]`, "invalid_client_metadata"},
		{"auth method", `{"grant_types":["client_credentials"],"token_endpoint_auth_method":"x"}`, "invalid_client_metadata"},
		{"grant type", `{"grant_types":["implicit"]}`, "invalid_client_metadata"},
		{"response type", `{"grant_types":["client_credentials"],"response_types":["token"]}`, "invalid_client_metadata"},
		{"algorithm", `{"grant_types":["client_credentials"],"id_token_signed_response_alg":"none"}`, "invalid_client_metadata"},
		{"keys are needed", `{"grant_types":["client_credentials"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		{"an address is needed", `{}`, "invalid_redirect_uri"},
		{"a relative address", `{"redirect_uris":["/cb"]}`, "invalid_redirect_uri"},
		{"an address with a fragment", `{"redirect_uris":["https://a.example/#x"]}`, "invalid_redirect_uri"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := k.register(t, "/register", tt.body)
			require.Equal(t, 400, a.status, a.raw)
			require.Equal(t, tt.code, a.body["error"])
		})
	}
	a := k.register(t, "/register", `{"grant_types":["client_credentials"],"software_statement":"x.y.z","unknown":1}`)
	require.Equal(t, 201, a.status, "what is unknown is ignored: RFC 7591 section 2")
}

func TestClientKeysByAddress(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Use: "sig"}}})
	}))
	t.Cleanup(keys.Close)
	k := newKit(t, devas.Options{})
	b, err := json.Marshal(devas.Metadata{
		GrantTypes: []string{"client_credentials"}, TokenEndpointAuthMethod: devas.AuthPrivateKeyJWT, JWKSURI: keys.URL,
	})
	require.NoError(t, err)
	a := k.register(t, "/register", string(b))
	require.Equal(t, 201, a.status, a.raw)
	require.NotContains(t, a.body, "client_secret")
	id, _ := a.body["client_id"].(string)

	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	require.NoError(t, err)
	token := func(change func(*jwt.Claims)) answer {
		claims := jwt.Claims{
			Issuer: id, Subject: id, Audience: jwt.Audience{k.Issuer()}, ID: rand.Text(), Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		}
		change(&claims)
		text, err := jwt.Signed(signer).Claims(claims).Serialize()
		require.NoError(t, err)
		a, err := k.send(t, http.MethodPost, "/token", "none", "application/x-www-form-urlencoded", url.Values{
			"grant_type": {"client_credentials"}, "client_assertion": {text},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		}.Encode())
		require.NoError(t, err)
		return a
	}
	require.Equal(t, 200, token(func(*jwt.Claims) {}).status)
	for name, change := range map[string]func(*jwt.Claims){
		"another iss":      func(c *jwt.Claims) { c.Issuer = "x" },
		"another sub":      func(c *jwt.Claims) { c.Subject = "rs" },
		"another aud":      func(c *jwt.Claims) { c.Audience = jwt.Audience{"x"} },
		"no exp":           func(c *jwt.Claims) { c.Expiry = nil },
		"exp far ahead":    func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(48 * time.Hour)) },
		"nbf in an hour":   func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(time.Now().Add(time.Hour)) },
		"no jti":           func(c *jwt.Claims) { c.ID = "" },
		"exp in the past":  func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Second)) },
		"a jti used twice": func(c *jwt.Claims) { c.ID = "same" },
	} {
		if name == "a jti used twice" {
			require.Equal(t, 200, token(change).status)
		}
		a := token(change)
		require.Equal(t, 401, a.status, name)
		require.Equal(t, "invalid_client", a.body["error"], name)
	}
	keys.Close()
	require.Equal(t, 401, token(func(*jwt.Claims) {}).status, "keys that cannot be had verify nothing")
}

func TestTokenEndpointRefusals(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{Clients: []devas.Client{{ID: "narrow", Secret: "s", Metadata: devas.Metadata{
		GrantTypes: []string{"client_credentials"}, Scope: "albums:read uma_protection", TokenEndpointAuthMethod: devas.AuthPost,
	}}}})
	narrow := url.Values{"grant_type": {"client_credentials"}, "client_id": {"narrow"}, "client_secret": {"s"}}
	for _, tt := range []struct {
		name   string
		form   url.Values
		status int
		code   string
	}{
		{"nobody", url.Values{"grant_type": {"client_credentials"}}, 401, "invalid_client"},
		{"a public client has no credentials", with(narrow, "client_id", "app", "client_secret", ""), 400, "unauthorized_client"},
		{"a method it has not registered", with(narrow, "client_id", "rs", "client_secret", "rs-secret"), 401, "invalid_client"},
		{"two ways at once", with(narrow, "client_assertion", "x"), 400, "invalid_request"},
		{"a grant it has not registered", with(narrow, "grant_type", "password"), 400, "unauthorized_client"},
		{"a scope it has not registered", with(narrow, "scope", "email"), 400, "invalid_scope"},
		{"no grant type", with(narrow, "grant_type", ""), 400, "unsupported_grant_type"},
		{"a parameter twice", url.Values{"grant_type": {"client_credentials", "password"}}, 400, "invalid_request"},
		{"all is well", narrow, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := k.send(t, http.MethodPost, "/token", "none", "application/x-www-form-urlencoded", tt.form.Encode())
			require.NoError(t, err)
			require.Equal(t, tt.status, a.status, a.raw)
			if tt.code != "" {
				require.Equal(t, tt.code, a.body["error"])
				require.NotEmpty(t, a.body["error_description"])
			} else {
				require.Equal(t, "albums:read uma_protection", a.body["scope"])
			}
		})
	}
	a, err := k.send(t, http.MethodPost, "/token", "none", "application/x-www-form-urlencoded", "x="+strings.Repeat("x", 2<<20))
	require.NoError(t, err)
	require.Equal(t, 413, a.status, a.raw)
	a, err = k.send(t, http.MethodGet, "/token", "", "", "")
	require.NoError(t, err)
	require.Equal(t, 405, a.status)
	require.Equal(t, "POST", a.header.Get("Allow"))
}

func TestProtectionAPIRefusals(t *testing.T) {
	t.Parallel()
	k := newKit(t, devas.Options{})
	id := k.resource(t, "album", "view")
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code                     string
	}{
		{"patch a resource", "PATCH", "/uma/resources/" + id, `{}`, 405, "unsupported_method_type"},
		{"delete the list", "DELETE", "/uma/resources", ``, 405, "unsupported_method_type"},
		{"no scopes", "POST", "/uma/resources", `{"name":"x"}`, 400, "invalid_request"},
		{"an empty scope", "POST", "/uma/resources", `{"name":"x","resource_scopes":[""]}`, 400, "invalid_request"},
		{"scopes of another type", "POST", "/uma/resources", `{"name":"x","resource_scopes":7}`, 400, "invalid_request"},
		{"two values", "POST", "/uma/resources", `{"resource_scopes":[]} {}`, 400, "invalid_request"},
		{"an unknown resource", "GET", "/uma/resources/x", ``, 404, "not_found"},
		{"no permission", "POST", "/uma/permission", `[]`, 400, "invalid_request"},
		{"no resource_id", "POST", "/uma/permission", `{"resource_scopes":["view"]}`, 400, "invalid_request"},
		{"no resource_scopes", "POST", "/uma/permission", `{"resource_id":"` + id + `"}`, 400, "invalid_request"},
		{"an unknown resource in a permission", "POST", "/uma/permission", `{"resource_id":"x","resource_scopes":[]}`, 400, "invalid_resource_id"},
		{"an unknown scope in a permission", "POST", "/uma/permission", `{"resource_id":"` + id + `","resource_scopes":["x"]}`, 400, "invalid_scope"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := k.send(t, tt.method, tt.path, k.pat, "application/json", tt.body)
			require.NoError(t, err)
			require.Equal(t, tt.status, a.status, a.raw)
			require.Equal(t, tt.code, a.body["error"])
		})
	}
	t.Run("a token without the scope", func(t *testing.T) {
		a, err := k.send(t, http.MethodGet, "/uma/resources", k.party(t, "alice"), "", "")
		require.NoError(t, err)
		require.Equal(t, 403, a.status)
		require.Equal(t, "insufficient_scope", a.body["error"])
		require.Contains(t, a.header.Get("WWW-Authenticate"), `scope="uma_protection"`)
	})
	t.Run("an RPT is no PAT", func(t *testing.T) {
		_, err := k.Permit(devas.Policy{Resource: "*", Subjects: []string{"*"}})
		require.NoError(t, err)
		a, err := k.send(t, http.MethodGet, "/uma/resources", k.rpt(t, "bob", id, "view"), "", "")
		require.NoError(t, err)
		require.NotEqual(t, 200, a.status)
	})
}

func TestAMountedServer(t *testing.T) {
	t.Parallel()
	as, err := devas.New(devas.Options{Issuer: "http://placeholder/auth"})
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/", as)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	as.SetIssuer(server.URL + "/auth")
	k := &kit{Server: as}
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/uma2-configuration", "/../.well-known/oauth-authorization-server/auth"} {
		a, err := k.send(t, http.MethodGet, path, "", "", "")
		require.NoError(t, err)
		require.Equal(t, 200, a.status, path)
		require.Equal(t, server.URL+"/auth", a.body["issuer"])
		require.Equal(t, server.URL+"/auth/token", a.body["token_endpoint"])
	}
}
