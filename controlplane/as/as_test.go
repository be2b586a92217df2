package as_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// exchange is one request that a recorded AS expects, and its answer.
type exchange struct {
	method, path string
	// form and body are what the request must have; header likewise.
	form   url.Values
	body   string
	header map[string]string

	status      int
	contentType string // application/json when empty
	answer      string
	answers     http.Header
}

// recorded is an AS that answers exactly the exchanges it was given, in order.
type recorded struct {
	t *testing.T
	*httptest.Server

	mu        sync.Mutex
	exchanges []exchange
}

func record(t *testing.T, exchanges ...exchange) *recorded {
	t.Helper()
	r := &recorded{t: t, exchanges: exchanges}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.Close()
		require.Empty(t, r.exchanges, "exchanges that did not take place")
	})
	return r
}

// ServeHTTP answers 599 to what was not expected; the failing test shows why.
func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, _ := io.ReadAll(req.Body)
	if len(r.exchanges) == 0 {
		r.t.Errorf("unexpected %s %s", req.Method, req.URL)
		w.WriteHeader(599)
		return
	}
	want := r.exchanges[0]
	r.exchanges = r.exchanges[1:]
	if req.Method != want.method || req.URL.RequestURI() != want.path {
		r.t.Errorf("got %s %s, expected %s %s", req.Method, req.URL.RequestURI(), want.method, want.path)
	}
	for name, value := range want.header {
		if got := req.Header.Get(name); got != value {
			r.t.Errorf("%s %s: header %s is %q, expected %q", req.Method, req.URL, name, got, value)
		}
	}
	if want.form != nil {
		if got, _ := url.ParseQuery(string(body)); got.Encode() != want.form.Encode() {
			r.t.Errorf("%s %s: form %v, expected %v", req.Method, req.URL, got, want.form)
		}
	}
	if want.body != "" && !sameJSON(string(body), want.body) {
		r.t.Errorf("%s %s: body %s, expected %s", req.Method, req.URL, body, want.body)
	}
	maps.Copy(w.Header(), want.answers)
	contentType := want.contentType
	if contentType == "" {
		contentType = "application/json"
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(want.status)
	_, _ = io.WriteString(w, strings.ReplaceAll(want.answer, "ISSUER", r.URL))
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return string(p) == string(q)
}

const (
	umaPath   = "/.well-known/uma2-configuration"
	oidcPath  = "/.well-known/openid-configuration"
	oauthPath = "/.well-known/oauth-authorization-server"

	genericDocument = `{"issuer":"ISSUER","token_endpoint":"ISSUER/token","introspection_endpoint":"ISSUER/introspect",
		"registration_endpoint":"ISSUER/register","resource_registration_endpoint":"ISSUER/rs","permission_endpoint":"ISSUER/perm"}`
	keycloakDocument = `{"issuer":"ISSUER","token_endpoint":"ISSUER/protocol/openid-connect/token",
		"introspection_endpoint":"ISSUER/protocol/openid-connect/token/introspect","registration_endpoint":"ISSUER/clients-registrations/openid-connect",
		"resource_registration_endpoint":"ISSUER/authz/protection/resource_set","permission_endpoint":"ISSUER/authz/protection/permission"}`
	gluuDocument = `{"issuer":"ISSUER","token_endpoint":"ISSUER/oxauth/restv1/token","introspection_endpoint":"ISSUER/oxauth/restv1/rpt/status",
		"registration_endpoint":"ISSUER/oxauth/restv1/register","resource_registration_endpoint":"ISSUER/oxauth/restv1/host/rsrc/resource_set",
		"permission_endpoint":"ISSUER/oxauth/restv1/host/rsrc_pr"}`
	wso2Document = `{"issuer":"ISSUER","token_endpoint":"ISSUER/oauth2/token","authorization_endpoint":"ISSUER/oauth2/authorize","jwks_uri":"ISSUER/oauth2/jwks",
		"registration_endpoint":"ISSUER/api/identity/oauth2/dcr/v1.1/register"}`
	springDocument = `{"issuer":"ISSUER","token_endpoint":"ISSUER/oauth2/token","authorization_endpoint":"ISSUER/oauth2/authorize","jwks_uri":"ISSUER/oauth2/jwks",
		"introspection_endpoint":"ISSUER/oauth2/introspect"}`
)

func get(path string, status int, answer string) exchange {
	return exchange{method: http.MethodGet, path: path, status: status, answer: answer}
}

func discover(t *testing.T, document string, more ...exchange) *as.Server {
	t.Helper()
	r := record(t, append([]exchange{get(umaPath, 200, document)}, more...)...)
	client, err := as.New(as.Config{Issuer: r.URL})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	return server
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		exchanges []exchange
		change    func(*as.Config)
		dialect   as.DialectName
		err       error
		token     string
	}{
		{"UMA document", []exchange{get(umaPath, 200, genericDocument)}, nil, as.DialectGeneric, nil, "/token"},
		{"keycloak", []exchange{get(umaPath, 200, keycloakDocument)}, nil, as.DialectKeycloak, nil, "/protocol/openid-connect/token"},
		{"gluu", []exchange{get(umaPath, 200, gluuDocument)}, nil, as.DialectGluu, nil, "/oxauth/restv1/token"},
		{"wso2 has no UMA document", []exchange{get(umaPath, 404, ""), get(oidcPath, 200, wso2Document)}, nil, as.DialectWSO2, nil, "/oauth2/token"},
		{"spring's paths are not wso2's alone", []exchange{get(umaPath, 404, ""), get(oidcPath, 200, springDocument)}, nil, as.DialectGeneric, nil, "/oauth2/token"},
		{
			"OAuth metadata last",
			[]exchange{get(umaPath, 404, ""), get(oidcPath, 404, ""), get(oauthPath, 200, genericDocument)},
			nil, as.DialectGeneric, nil, "/token",
		},
		{"none", []exchange{get(umaPath, 404, ""), get(oidcPath, 404, ""), get(oauthPath, 404, "")}, nil, "", as.ErrNoMetadata, ""},
		{"a failing AS is not one without UMA", []exchange{get(umaPath, 503, "")}, nil, "", as.ErrUnavailable, ""},
		{"a failing OpenID document neither", []exchange{get(umaPath, 404, ""), get(oidcPath, 500, "")}, nil, "", as.ErrUnavailable, ""},
		{"rate limited", []exchange{get(umaPath, 429, "")}, nil, "", as.ErrRateLimited, ""},
		{"another issuer", []exchange{get(umaPath, 200, strings.Replace(genericDocument, "ISSUER", "https://evil.example.com", 1))}, nil, "", as.ErrIssuer, ""},
		{
			"an alias of the issuer",
			[]exchange{get(umaPath, 200, strings.Replace(genericDocument, "ISSUER", "https://old.example.com", 1))},
			func(c *as.Config) { c.Aliases = []string{"https://x.example.com", "https://old.example.com"} }, as.DialectGeneric, nil, "/token",
		},
		{
			"an alias with a slash",
			[]exchange{get(umaPath, 200, strings.Replace(genericDocument, "ISSUER", "https://old.example.com/", 1))},
			func(c *as.Config) { c.Aliases = []string{"https://old.example.com"} }, "", as.ErrIssuer, "",
		},
		{
			"another issuer in the OpenID document", []exchange{
				get(umaPath, 404, ""), get(oidcPath, 200, strings.Replace(genericDocument, "ISSUER", "https://evil.example.com", 1)),
			}, nil, "", as.ErrIssuer, "",
		},
		{"a page", []exchange{{method: "GET", path: umaPath, status: 200, contentType: "text/html", answer: "<html>login"}}, nil, "", as.ErrNotJSON, ""},
		{"a redirect", []exchange{{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {"https://evil.example.com/"}}}}, nil, "", as.ErrRedirect, ""},
		{"too large", []exchange{get(umaPath, 200, `{"a":"`+strings.Repeat("x", as.MaxBody)+`"}`)}, nil, "", as.ErrTooLarge, ""},
		{"without what is needed", []exchange{get(umaPath, 200, `{"issuer":"ISSUER"}`)}, nil, "", as.ErrMalformed, ""},
		{
			"overridden",
			[]exchange{get(umaPath, 200, genericDocument)},
			func(c *as.Config) { c.Dialect = as.DialectGluu; c.Endpoints.Token = "https://other.example.com/t" }, as.DialectGluu, nil, "https://other.example.com/t",
		},
		{
			"its own address",
			[]exchange{get("/elsewhere", 200, genericDocument)},
			func(c *as.Config) { c.DiscoveryURL = c.Issuer + "/elsewhere" }, as.DialectGeneric, nil, "/token",
		},
		{
			"a redirect within the AS", []exchange{
				{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {"/realm/uma"}}}, get("/realm/uma", 200, genericDocument),
			}, nil, as.DialectGeneric, nil, "/token",
		},
		{
			"a redirect of the OpenID document within the AS", []exchange{
				get(umaPath, 404, ""), {method: "GET", path: oidcPath, status: 301, answers: http.Header{"Location": {"/realm/oidc"}}}, get("/realm/oidc", 200, genericDocument),
			}, nil, as.DialectGeneric, nil, "/token",
		},
		{
			"redirects without end", []exchange{
				{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {umaPath}}},
				{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {umaPath}}},
				{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {umaPath}}},
				{method: "GET", path: umaPath, status: 302, answers: http.Header{"Location": {umaPath}}},
			}, nil, "", as.ErrRedirect, "",
		},
		{"an error of status 200", []exchange{get(umaPath, 200, `{"error":"not_found","issuer":"ISSUER","token_endpoint":"ISSUER/token"}`)}, nil, "", as.ErrRejected, ""},
		{
			"without discovery", nil,
			func(c *as.Config) { c.NoDiscovery = true; c.Endpoints.Token = c.Issuer + "/t" }, as.DialectGeneric, nil, "/t",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, tt.exchanges...)
			cfg := as.Config{Issuer: r.URL}
			if tt.change != nil {
				tt.change(&cfg)
			}
			client, err := as.New(cfg)
			require.NoError(t, err)
			server, err := client.Discover(t.Context())
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.NotEmpty(t, as.Remedy(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.dialect, server.Dialect().Name)
			require.Equal(t, tt.token, strings.TrimPrefix(server.Metadata().TokenEndpoint, r.URL))
		})
	}
}

func TestHTTPSIssuerMustNotNameHTTPEndpoints(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, issuer, endpoint string
		insecure               bool
		err                    error
	}{
		{"beyond loopback", "https://as.example.com", "http://as.example.com/token", false, as.ErrInsecureEndpoint},
		{"an address of its own", "https://as.example.com", "http://10.0.0.1:8080/token", false, as.ErrInsecureEndpoint},
		{"a name like loopback's", "https://as.example.com", "http://localhost.example.com/token", false, as.ErrInsecureEndpoint},
		{"the file asks for it", "https://as.example.com", "http://keycloak:8080/token", true, nil},
		{"loopback", "https://as.example.com", "http://127.0.0.1:8080/token", false, nil},
		{"loopback, IPv6", "https://as.example.com", "http://[::1]:8080/token", false, nil},
		{"loopback by name", "https://as.example.com", "http://localhost:8080/token", false, nil},
		{"http under http", "http://as.example.com", "http://as.example.com/token", false, nil},
		{"no scheme", "https://as.example.com", "//as.example.com/token", true, as.ErrMalformed},
		{"another scheme", "https://as.example.com", "ftp://127.0.0.1/token", true, as.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, err := as.New(as.Config{Issuer: tt.issuer, InsecureHTTP: tt.insecure, Transport: noTransport{t}})
			require.NoError(t, err)
			server, err := client.Known(as.Metadata{Issuer: tt.issuer, TokenEndpoint: tt.endpoint})
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				return
			}
			if !tt.insecure && strings.HasPrefix(tt.issuer, "https:") {
				_, err = server.ReadRegistration(t.Context(), as.Registration{ClientID: "c1", URI: "http://elsewhere.example.com/c1"})
				require.ErrorIs(t, err, as.ErrInsecureEndpoint)
			}
		})
	}
}

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

// noTransport fails the test when anything is sent.
type noTransport struct{ t *testing.T }

func (n noTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s was sent", r.Method, r.URL)
	return nil, http.ErrNotSupported
}

func TestMembersOfAnotherType(t *testing.T) {
	t.Parallel()
	server := discover(t, genericDocument, exchange{method: http.MethodPost, path: "/register", status: 201, answer: `{"client_id":{"s3cr3t":1}}`})
	_, err := server.Register(t.Context(), as.ClientMetadata{}, secret.Text{})
	require.ErrorIs(t, err, as.ErrMalformed)
	require.NotErrorIs(t, err, as.ErrNotJSON)
	require.NotContains(t, err.Error(), "s3cr3t")
}

func basic(t *testing.T) clientauth.Auth {
	t.Helper()
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, "rs", secret.New("s3cr3t&more"), nil)
	require.NoError(t, err)
	return auth
}

const basicHeader = "Basic cnM6czNjcjN0JTI2bW9yZQ==" // rs:s3cr3t%26more

func TestPAT(t *testing.T) {
	t.Parallel()
	generic := url.Values{"grant_type": {"client_credentials"}, "scope": {"uma_protection"}}
	tests := []struct {
		name     string
		document string
		exchange exchange
		err      error
		not      string // must not stand in the error
	}{
		{
			"generic asks for the scope", genericDocument,
			exchange{path: "/token", form: generic, header: map[string]string{"Authorization": basicHeader}, status: 200, answer: `{"access_token":"pat","token_type":"Bearer","expires_in":60}`},
			nil, "",
		},
		{
			"keycloak refuses it", keycloakDocument,
			exchange{path: "/protocol/openid-connect/token", form: url.Values{"grant_type": {"client_credentials"}}, status: 200, answer: `{"access_token":"pat","token_type":"Bearer","expires_in":60}`},
			nil, "",
		},
		{"wrong secret", genericDocument, exchange{path: "/token", status: 401, answer: `{"error":"unauthorized_client"}`}, as.ErrClientRefused, ""},
		{"unknown client", genericDocument, exchange{path: "/token", status: 400, answer: `{"error":"invalid_client"}`}, as.ErrClientRefused, ""},
		{"scope", genericDocument, exchange{path: "/token", status: 400, answer: `{"error":"invalid_scope","error_description":"no"}`}, as.ErrRejected, ""},
		{"down", genericDocument, exchange{path: "/token", status: 502, contentType: "text/html", answer: "<html>"}, as.ErrUnavailable, ""},
		{"a page", genericDocument, exchange{path: "/token", status: 200, contentType: "text/html", answer: "<html>"}, as.ErrNotJSON, ""},
		{"no token in it", genericDocument, exchange{path: "/token", status: 200, answer: `{"token_type":"Bearer"}`}, as.ErrMalformed, ""},
		{"DPoP", genericDocument, exchange{path: "/token", status: 200, answer: `{"access_token":"pat","token_type":"DPoP"}`}, as.ErrMalformed, "pat\""},
		{"too large", genericDocument, exchange{path: "/token", status: 200, answer: `{"a":"` + strings.Repeat("x", as.MaxBody) + `"}`}, as.ErrTooLarge, ""},
		{
			"an AS that echoes the credential", genericDocument,
			exchange{path: "/token", status: 401, answer: `{"error":"invalid_client","error_description":"wrong: s3cr3t&more and ` + strings.TrimPrefix(basicHeader, "Basic ") + `"}`},
			as.ErrClientRefused, "s3cr3t",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.exchange.method = http.MethodPost
			server := discover(t, tt.document, tt.exchange)
			token, err := server.PAT(t.Context(), basic(t))
			if tt.err != nil {
				require.ErrorIs(t, err, tt.err)
				require.Contains(t, err.Error(), "get the PAT")
				if tt.not != "" {
					require.NotContains(t, err.Error(), tt.not)
				}
				return
			}
			require.NoError(t, err)
			require.Equal(t, "pat", token.Value.Reveal())
			require.Equal(t, time.Minute, token.ExpiresAt.Sub(token.IssuedAt))
		})
	}
}

// TestShortSecrets: a password of three letters is not shown, and the error code
// that its letters are in is still understood.
func TestShortSecrets(t *testing.T) {
	t.Parallel()
	server := discover(t, genericDocument, exchange{
		method: http.MethodPost, path: "/token", status: 400, answer: `{"error":"invalid_grant","error_description":"no user has gra+code or gra"}`,
	})
	form := url.Values{"grant_type": {as.GrantPassword}, "username": {"alice"}, "password": {"gra"}, "code": {"gra+code"}}
	_, err := server.RequestToken(t.Context(), "log in", basic(t), form)
	require.ErrorIs(t, err, as.ErrInvalidGrant)
	require.ErrorContains(t, err, "no user has "+secret.Redacted+" or "+secret.Redacted)
}

func TestPATLifetime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, expiresIn string
		lifetime        time.Duration // 0 for an error
	}{
		{"not told", "", 5 * time.Minute},
		{"null", `,"expires_in":null`, 5 * time.Minute},
		{"zero stands for not told", `,"expires_in":0`, 5 * time.Minute},
		{"a string", `,"expires_in":"60"`, time.Minute},
		{"one second", `,"expires_in":1`, time.Second},
		{"for ever", `,"expires_in":99999999999`, 24 * time.Hour},
		{"the largest", `,"expires_in":2147483647`, 24 * time.Hour},
		{"over already", `,"expires_in":-1`, 0},
		{"long over", `,"expires_in":-2147483648`, 0},
		{"no number", `,"expires_in":"soon"`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := discover(t, genericDocument, exchange{
				method: http.MethodPost, path: "/token", status: 200, answer: `{"access_token":"pat","token_type":"Bearer"` + tt.expiresIn + `}`,
			})
			token, err := server.PAT(t.Context(), basic(t))
			if tt.lifetime == 0 {
				require.ErrorIs(t, err, as.ErrMalformed)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.lifetime, token.ExpiresAt.Sub(token.IssuedAt))
		})
	}
}

func pats(first string, next ...string) *as.PATSource {
	var mu sync.Mutex
	return as.NewPATSource(
		as.Token{Value: secret.New(first), IssuedAt: time.Now().Add(-time.Minute), ExpiresAt: time.Now().Add(time.Hour)},
		func(context.Context) (as.Token, error) {
			mu.Lock()
			defer mu.Unlock()
			if len(next) == 0 {
				return as.Token{}, as.ErrUnavailable
			}
			token := as.Token{Value: secret.New(next[0]), IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour)}
			next = next[1:]
			return token, nil
		}, nil, nil)
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

func TestRefusedPATIsRenewedOnce(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		document, path string
		status         int
	}{
		"generic": {genericDocument, "/perm", 401}, "keycloak": {keycloakDocument, "/authz/protection/permission", 403},
	} {
		ask := func(pat string, status int, answer string) exchange {
			return exchange{
				method: "POST", path: tt.path, header: map[string]string{"Authorization": "Bearer " + pat},
				body: `[{"resource_id":"r1","resource_scopes":["view"]}]`, status: status, answer: answer,
			}
		}
		permissions := []config.Permission{{ResourceID: "r1", ResourceScopes: []string{"view"}}}
		t.Run(name+"/works then", func(t *testing.T) {
			t.Parallel()
			api := discover(t, tt.document, ask("old", tt.status, `{}`), ask("new", 201, `{"ticket":"t1"}`)).Protection(pats("old", "new"))
			ticket, err := api.Permission(t.Context(), permissions)
			require.NoError(t, err)
			require.Equal(t, "t1", ticket)
		})
		t.Run(name+"/is refused again", func(t *testing.T) {
			t.Parallel()
			api := discover(t, tt.document, ask("old", tt.status, `{}`), ask("new", tt.status, `{}`), ask("new", tt.status, `{}`)).Protection(pats("old", "new"))
			_, err := api.Permission(t.Context(), permissions)
			require.ErrorIs(t, err, as.ErrPATRefused)
			_, err = api.Permission(t.Context(), permissions)
			require.ErrorIs(t, err, as.ErrPATRefused, "a PAT that is new is not asked for again at once")
		})
	}
}

func TestPATCallsCoalesce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	calls := make(chan struct{}, 100)
	source := as.NewPATSource(as.Token{}, func(context.Context) (as.Token, error) {
		calls <- struct{}{}
		<-release
		return as.Token{Value: secret.New("pat"), ExpiresAt: time.Now().Add(time.Hour)}, nil
	}, nil, nil)
	leader, hangUp := context.WithCancel(t.Context())
	led := make(chan error, 1)
	go func() { _, err := source.Token(leader); led <- err }()
	<-calls
	got := make(chan as.Token, 10)
	for range cap(got) {
		go func() { token, _ := source.Token(t.Context()); got <- token }()
	}
	hangUp()
	require.ErrorIs(t, <-led, context.Canceled)
	close(release)
	for range cap(got) {
		require.Equal(t, "pat", (<-got).Value.Reveal())
	}
	require.Empty(t, calls, "one call for all")
	source.Wait()
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
