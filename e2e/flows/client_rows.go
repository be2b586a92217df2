package flows

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func clientRows() []row {
	return []row{
		{name: "discovery names the issuer and its endpoints", run: discovery},
		{name: "discovery names the UMA grant", needs: []Capability{UMAGrantListed}, run: func(t *testing.T, w *world) {
			t.Helper()
			require.Contains(t, w.meta["grant_types_supported"], umaGrant)
		}},
		{name: "the JWKS has keys to verify with", run: publishedKeys},
		{name: "a registration is read, updated and deleted", run: registrationLife},
		{name: "a bad registration is refused", run: badRegistration},
		{name: "client_secret_basic", run: func(t *testing.T, w *world) {
			t.Helper()
			c := w.newClient(t, w.rsMetadata())
			requireToken(t, w.token(t, w.patForm(), c.auth()))
			r := w.token(t, w.patForm(), basic(c.id, "wrong"))
			require.Equal(t, http.StatusUnauthorized, r.status, r.raw)
			r = w.token(t, w.patForm(), basic("nobody-knows-this-client", c.secret))
			require.Equal(t, http.StatusUnauthorized, r.status, r.raw)
			require.Equal(t, "invalid_client", r.text("error"))
		}},
		{name: "client_secret_post", run: func(t *testing.T, w *world) {
			t.Helper()
			c := w.newClient(t, w.authMetadata("client_secret_post", nil))
			f := w.patForm()
			f.Set("client_id", c.id)
			f.Set("client_secret", c.secret)
			requireToken(t, w.token(t, f, nobody))
			f.Set("client_secret", "wrong")
			require.Equal(t, http.StatusUnauthorized, w.token(t, f, nobody).status)
		}},
		{name: "client_secret_jwt", run: func(t *testing.T, w *world) {
			t.Helper()
			c := w.newClient(t, w.authMetadata("client_secret_jwt", nil))
			w.requireAssertions(t, c, jose.SigningKey{Algorithm: jose.HS256, Key: []byte(c.secret)}, "")
		}},
		{name: "private_key_jwt RS256", run: func(t *testing.T, w *world) {
			t.Helper()
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(t, err)
			w.requireKeyAssertions(t, jose.RS256, key, key.Public())
		}},
		{name: "private_key_jwt PS256", run: func(t *testing.T, w *world) {
			t.Helper()
			key, err := rsa.GenerateKey(rand.Reader, 2048)
			require.NoError(t, err)
			w.requireKeyAssertions(t, jose.PS256, key, key.Public())
		}},
		{name: "private_key_jwt ES256", run: func(t *testing.T, w *world) {
			t.Helper()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			require.NoError(t, err)
			w.requireKeyAssertions(t, jose.ES256, key, key.Public())
		}},
	}
}

func requireToken(t *testing.T, r reply) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.NotEmpty(t, r.text("access_token"))
	require.Positive(t, r.body["expires_in"])
	require.Contains(t, r.header.Get("Cache-Control"), "no-store")
}

func discovery(t *testing.T, w *world) {
	t.Helper()
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/uma2-configuration"} {
		r := w.do(t, http.MethodGet, w.URL+path, "", "", nobody)
		require.Equal(t, http.StatusOK, r.status, path)
		require.Equal(t, w.URL, r.text("issuer"), path)
		for _, name := range []string{"token_endpoint", "authorization_endpoint", "introspection_endpoint", "registration_endpoint", "jwks_uri"} {
			require.NotEmpty(t, r.text(name), "%s: %s", path, name)
		}
	}
	for _, name := range []string{"permission_endpoint", "resource_registration_endpoint"} {
		require.NotEmpty(t, w.meta[name], name)
	}
}

func publishedKeys(t *testing.T, w *world) {
	t.Helper()
	r := w.do(t, http.MethodGet, w.endpoint(t, "jwks_uri"), "", "", nobody)
	require.Equal(t, http.StatusOK, r.status)
	keys, ok := r.body["keys"].([]any)
	require.True(t, ok)
	require.NotEmpty(t, keys)
	for _, k := range keys {
		require.NotContains(t, k, "d", "a private key is published")
	}
}

func registrationLife(t *testing.T, w *world) {
	t.Helper()
	c := w.newClient(t, w.rsMetadata())
	first := c.registrationToken
	require.NotEmpty(t, c.secret)
	require.NotEmpty(t, c.registrationURI)

	r := w.do(t, http.MethodGet, c.registrationURI, "", "", bearer(c.registrationToken))
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, c.id, r.text("client_id"))
	if next := r.text("registration_access_token"); next != "" {
		c.registrationToken = next
	}

	next := w.rsMetadata()
	next["client_id"], next["client_name"] = c.id, "renamed"
	r = w.json(t, http.MethodPut, c.registrationURI, next, bearer(c.registrationToken))
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, "renamed", r.text("client_name"))
	c.registrationToken = r.text("registration_access_token")
	require.NotEqual(t, first, c.registrationToken, "an update makes the registration access token anew")
	requireToken(t, w.token(t, w.patForm(), c.auth()))

	r = w.do(t, http.MethodGet, c.registrationURI, "", "", bearer(first))
	require.Equal(t, http.StatusUnauthorized, r.status, r.raw)

	r = w.do(t, http.MethodDelete, c.registrationURI, "", "", bearer(c.registrationToken))
	require.Equal(t, http.StatusNoContent, r.status, r.raw)
	r = w.token(t, w.patForm(), c.auth())
	require.Equal(t, http.StatusUnauthorized, r.status, r.raw)
	require.Equal(t, "invalid_client", r.text("error"))
}

func badRegistration(t *testing.T, w *world) {
	t.Helper()
	for name, change := range map[string]func(map[string]any){
		"jwks and jwks_uri": func(m map[string]any) {
			m["jwks"], m["jwks_uri"] = map[string]any{"keys": []any{}}, "http://127.0.0.1:1/jwks"
		},
		"grant_types of another type": func(m map[string]any) { m["grant_types"] = 7 },
	} {
		m := w.rsMetadata()
		change(m)
		r := w.register(t, m)
		require.Equal(t, http.StatusBadRequest, r.status, "%s: %s", name, r.raw)
	}
}

func (w *world) authMetadata(method string, key *jose.JSONWebKey) map[string]any {
	m := w.rsMetadata()
	m["token_endpoint_auth_method"] = method
	if key != nil {
		m["jwks"] = jose.JSONWebKeySet{Keys: []jose.JSONWebKey{*key}}
	}
	return m
}

func (w *world) requireKeyAssertions(t *testing.T, alg jose.SignatureAlgorithm, private, public any) {
	t.Helper()
	m := w.authMetadata("private_key_jwt", &jose.JSONWebKey{Key: public, KeyID: "k1", Algorithm: string(alg), Use: "sig"})
	m["token_endpoint_auth_signing_alg"] = string(alg)
	c := w.newClient(t, m)
	w.requireAssertions(t, c, jose.SigningKey{Algorithm: alg, Key: private}, "k1")
}

// requireAssertions gets a token by a client assertion, and none by one that is
// used again, for somebody else, expired, or signed by another key.
func (w *world) requireAssertions(t *testing.T, c *registered, key jose.SigningKey, kid string) {
	t.Helper()
	good := func() jwt.Claims {
		return jwt.Claims{
			Issuer: c.id, Subject: c.id, Audience: jwt.Audience{w.endpoint(t, "token_endpoint")}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(time.Minute)),
		}
	}
	send := func(claims jwt.Claims, key jose.SigningKey) (reply, url.Values) {
		f := w.patForm()
		f.Set("client_assertion_type", assertionType)
		f.Set("client_assertion", assertion(t, key, kid, claims))
		return w.token(t, f, nobody), f
	}
	r, used := send(good(), key)
	requireToken(t, r)
	issuer := good()
	issuer.Audience = jwt.Audience{w.URL}
	r, _ = send(issuer, key)
	requireToken(t, r)

	require.NotEqual(t, http.StatusOK, w.token(t, used, nobody).status, "a jti is good for one use")
	other := good()
	other.Audience = jwt.Audience{"https://another.example"}
	expired := good()
	expired.Expiry = jwt.NewNumericDate(time.Now().Add(-time.Hour))
	for name, claims := range map[string]jwt.Claims{"another audience": other, "expired": expired} {
		r, _ := send(claims, key)
		require.NotEqual(t, http.StatusOK, r.status, name)
	}
	forged := jose.SigningKey{Algorithm: jose.HS256, Key: []byte("another-secret-of-sufficient-length-0123456789")}
	r, _ = send(good(), forged)
	require.NotEqual(t, http.StatusOK, r.status, "signed by another key")
}

func assertion(t *testing.T, key jose.SigningKey, kid string, claims jwt.Claims) string {
	t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(key, options)
	require.NoError(t, err)
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(t, err)
	return text
}
