package as_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

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

func TestMembersOfAnotherType(t *testing.T) {
	t.Parallel()
	server := discover(t, genericDocument, exchange{method: http.MethodPost, path: "/register", status: 201, answer: `{"client_id":{"s3cr3t":1}}`})
	_, err := server.Register(t.Context(), as.ClientMetadata{}, secret.Text{})
	require.ErrorIs(t, err, as.ErrMalformed)
	require.NotErrorIs(t, err, as.ErrNotJSON)
	require.NotContains(t, err.Error(), "s3cr3t")
}

const basicHeader = "Basic cnM6czNjcjN0JTI2bW9yZQ==" // rs:s3cr3t%26more
