package uma_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

func TestParseIntrospection(t *testing.T) {
	manyScopes := strings.Repeat(`"s",`, uma.MaxScopes) + `"s"`
	tests := []struct {
		name, body string
		want       uma.Token
		err        error
	}{
		{
			name: "spec",
			body: `{"active":true,"sub":"bob","iss":"https://as","client_id":"app","jti":"j","sid":"s","aud":["rs","x"],"scope":"openid view","exp":2000,"nbf":1000,"iat":900,
				"username":"ignored","permissions":[{"resource_id":"r1","resource_scopes":["view","edit"],"exp":1500,"iat":900,"nbf":1100}]}`,
			want: uma.Token{
				Active: true, Subject: "bob", Issuer: "https://as", ClientID: "app", JWTID: "j", SessionID: "s",
				Audience: []string{"rs", "x"}, Scopes: []string{"openid", "view"}, Expires: 2000, NotBefore: 1000, IssuedAt: 900,
				Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view", "edit"}, Expires: 1500, NotBefore: 1100}},
			},
		},
		{
			name: "Keycloak with the hint",
			body: `{"active":true,"jti":"j","aud":"rs","permissions":[{"rsid":"r1","rsname":"Album","scopes":["view"],"resource_id":"r1","resource_scopes":["view"]}]}`,
			want: uma.Token{
				Active: true, JWTID: "j", Audience: []string{"rs"},
				Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}},
			},
		},
		{
			name: "Keycloak without the hint",
			body: `{"active":true,"typ":"Bearer","azp":"app","token_type":"Bearer","authorization":{"permissions":[{"rsid":"r1","rsname":"Album","scopes":["view"]}]}}`,
			want: uma.Token{
				Active: true, ClientID: "app",
				Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}},
			},
		},
		{
			name: "WSO2 Identity Server",
			body: `{"nbf":5,"permissions":[{"resource_scopes":["view"],"resource_id":"r1"}],"active":true,"token_type":"Bearer","exp":9,"iat":5,"client_id":"app","username":"bob"}`,
			want: uma.Token{
				Active: true, ClientID: "app", Expires: 9, NotBefore: 5, IssuedAt: 5,
				Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}},
			},
		},
		{
			name: "WSO2 Identity Server, later",
			body: `{"permission":[{"resource_id":"r1","resource_scopes":["view"]}],"active":true,"token_type":"Bearer"}`,
			want: uma.Token{Active: true, Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}}},
		},
		{
			name: "Gluu and Janssen",
			body: `{"active":true,"exp":9,"iat":5,"nbf":null,"permissions":[{"resource_id":"r1","resource_scopes":["view"],"exp":8,"params":null}],"client_id":"app","sub":null,"aud":"app","iss":null,"jti":null,"pct_claims":{"a":["b"]}}`,
			want: uma.Token{
				Active: true, ClientID: "app", Audience: []string{"app"}, Expires: 9, IssuedAt: 5,
				Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}, Expires: 8}},
			},
		},
		{name: "active and nothing else", body: `{"active":true}`, want: uma.Token{Active: true}},
		{name: "not active", body: `{"active":false}`},
		{name: "not active, with the rest", body: `{"active":false,"sub":"bob","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`},
		{name: "client_id is preferred to azp", body: `{"active":true,"azp":"a","client_id":"c"}`, want: uma.Token{Active: true, ClientID: "c"}},
		{name: "in either order", body: `{"active":true,"client_id":"c","azp":"a"}`, want: uma.Token{Active: true, ClientID: "c"}},
		{name: "null is absent", body: `{"active":true,"sub":null,"aud":null,"scope":null,"exp":null,"permissions":null,"cnf":null,"typ":null}`, want: uma.Token{Active: true}},
		{name: "no permissions left", body: `{"active":true,"permissions":[]}`, want: uma.Token{Active: true, Permissions: []uma.Permission{}}},
		{
			name: "top level permissions are preferred", body: `{"active":true,"authorization":{"permissions":[{"rsid":"r2","scopes":["x"]}]},"permissions":[]}`,
			want: uma.Token{Active: true, Permissions: []uma.Permission{}},
		},
		{
			name: "a permission without scopes has none", body: `{"active":true,"permissions":[{"resource_id":"r1"},{"rsid":"r2","scopes":null}]}`,
			want: uma.Token{Active: true, Permissions: []uma.Permission{{ResourceID: "r1"}, {ResourceID: "r2"}}},
		},
		{
			name: "no resource scopes beside scopes", body: `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":[],"scopes":["view"]}]}`,
			want: uma.Token{Active: true, Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{}}}},
		},
		{name: "scope as an array", body: `{"active":true,"scope":["a","b"]}`, want: uma.Token{Active: true, Scopes: []string{"a", "b"}}},
		{name: "scope with more spaces", body: `{"active":true,"scope":"  a  b "}`, want: uma.Token{Active: true, Scopes: []string{"a", "b"}}},
		{name: "no other character separates scopes", body: `{"active":true,"scope":"a\u00a0b\tc"}`, want: uma.Token{Active: true, Scopes: []string{"a\u00a0b\tc"}}},
		{name: "escaped name", body: `{"ac\u0074ive":true,"s\u0075b":"b\u006fb"}`, want: uma.Token{Active: true, Subject: "bob"}},
		{name: "fractions", body: `{"active":true,"exp":10.9,"nbf":10.1}`, want: uma.Token{Active: true, Expires: 10, NotBefore: 11}},
		{name: "exponent", body: `{"active":true,"exp":1.5e3}`, want: uma.Token{Active: true, Expires: 1500}},
		{name: "expired in 1970", body: `{"active":true,"exp":0}`, want: uma.Token{Active: true, Expires: 1}},
		{name: "expired half a second later", body: `{"active":true,"exp":0.5}`, want: uma.Token{Active: true, Expires: 1}},
		{
			name: "a permission that expired in 1970", body: `{"active":true,"permissions":[{"resource_id":"r","exp":0}]}`,
			want: uma.Token{Active: true, Permissions: []uma.Permission{{ResourceID: "r", Expires: 1}}},
		},
		{name: "DPoP by key", body: `{"active":true,"cnf":{"jkt":"x"}}`, want: uma.Token{Active: true, Bound: true}},
		{name: "mutual TLS", body: `{"active":true,"cnf":{"x5t#S256":"x"}}`, want: uma.Token{Active: true, Bound: true}},
		{name: "DPoP by type", body: `{"active":true,"token_type":"dpop"}`, want: uma.Token{Active: true, Bound: true}},
		{name: "DPoP by type, no key told", body: `{"active":true,"token_type":"DPoP","cnf":null}`, want: uma.Token{Active: true, Bound: true}},
		{name: "Keycloak's DPoP token", body: `{"active":true,"typ":"DPoP"}`, want: uma.Token{Active: true, Bound: true}},
		{name: "Keycloak's refresh token", body: `{"active":true,"typ":"Refresh"}`, want: uma.Token{Active: true, NotAccess: true}},
		{name: "Keycloak's offline token", body: `{"active":true,"typ":"Offline"}`, want: uma.Token{Active: true, NotAccess: true}},
		{name: "Keycloak's ID token", body: `{"active":true,"typ":"ID"}`, want: uma.Token{Active: true, NotAccess: true}},
		{name: "Hydra's refresh token", body: `{"active":true,"token_use":"refresh_token","token_type":"Bearer"}`, want: uma.Token{Active: true, NotAccess: true}},
		{name: "Hydra's access token", body: `{"active":true,"token_use":"access_token"}`, want: uma.Token{Active: true}},
		{name: "refresh by type", body: `{"active":true,"token_type":"refresh_token"}`, want: uma.Token{Active: true, NotAccess: true}},

		{name: "empty", body: ``, err: uma.ErrNotJSON},
		{name: "HTML", body: `<html>active: true</html>`, err: uma.ErrNotJSON},
		{name: "array", body: `[{"active":true}]`, err: uma.ErrNotJSON},
		{name: "string", body: `"active"`, err: uma.ErrNotJSON},
		{name: "true", body: `true`, err: uma.ErrNotJSON},
		{name: "null", body: `null`, err: uma.ErrNotJSON},
		{name: "byte order mark", body: "\ufeff" + `{"active":true}`, err: uma.ErrNotJSON},
		{name: "NUL after", body: "{\"active\":true}\x00", err: uma.ErrNotJSON},
		{name: "two answers", body: `{"active":true}{"active":false}`, err: uma.ErrNotJSON},
		{name: "cut off", body: `{"active":true`, err: uma.ErrNotJSON},
		{name: "comma at the end", body: `{"active":true,}`, err: uma.ErrNotJSON},
		{name: "JSON in a callback", body: `cb({"active":true})`, err: uma.ErrNotJSON},
		{name: "infinity", body: `{"active":true,"exp":Infinity}`, err: uma.ErrNotJSON},
		{name: "nested without end", body: `{"active":true,"x":` + strings.Repeat("[", 1<<19), err: uma.ErrNotJSON},
		{name: "nested too deep", body: `{"active":true,"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, err: uma.ErrNotJSON},
		{name: "no active", body: `{}`, err: uma.ErrNoActive},
		{name: "Active is another name", body: `{"Active":true}`, err: uma.ErrNoActive},
		{name: "active in another object", body: `{"data":{"active":true}}`, err: uma.ErrNoActive},
		{name: "active is text", body: `{"active":"true"}`, err: uma.ErrWrongType},
		{name: "active is a number", body: `{"active":1}`, err: uma.ErrWrongType},
		{name: "active is null", body: `{"active":null}`, err: uma.ErrWrongType},
		{name: "active is an object", body: `{"active":{}}`, err: uma.ErrWrongType},
		{name: "active is an array", body: `{"active":[true]}`, err: uma.ErrWrongType},
		{name: "active twice", body: `{"active":false,"active":true}`, err: uma.ErrDuplicate},
		{name: "active twice, once escaped", body: `{"active":false,"ac\u0074ive":true}`, err: uma.ErrDuplicate},
		{name: "sub twice", body: `{"active":true,"sub":"a","\u0073ub":"b"}`, err: uma.ErrDuplicate},
		{name: "scope twice", body: `{"active":true,"scope":"a","scope":["b"]}`, err: uma.ErrDuplicate},
		{name: "permissions twice", body: `{"active":true,"permissions":[],"permissions":null}`, err: uma.ErrDuplicate},
		{name: "permissions in both spellings", body: `{"active":true,"permissions":[],"permission":[{"resource_id":"r1"}]}`, err: uma.ErrDuplicate},
		{name: "authorization twice", body: `{"active":true,"authorization":{},"authorization":{}}`, err: uma.ErrDuplicate},
		{name: "cnf twice", body: `{"active":true,"cnf":{},"cnf":null}`, err: uma.ErrDuplicate},
		{name: "sub is a number", body: `{"active":true,"sub":1}`, err: uma.ErrWrongType},
		{name: "sub is an array", body: `{"active":true,"sub":["admin"]}`, err: uma.ErrWrongType},
		{name: "iss is an object", body: `{"active":true,"iss":{}}`, err: uma.ErrWrongType},
		{name: "aud has a number", body: `{"active":true,"aud":["a",1]}`, err: uma.ErrWrongType},
		{name: "aud is an object", body: `{"active":true,"aud":{"0":"rs"}}`, err: uma.ErrWrongType},
		{name: "scope is a number", body: `{"active":true,"scope":1}`, err: uma.ErrWrongType},
		{name: "exp is text", body: `{"active":true,"exp":"2000"}`, err: uma.ErrWrongType},
		{name: "exp twice", body: `{"active":true,"exp":-1,"exp":2000}`, err: uma.ErrDuplicate},
		{name: "nbf is true", body: `{"active":true,"nbf":true}`, err: uma.ErrWrongType},
		{name: "permissions is an object", body: `{"active":true,"permissions":{"resource_id":"r1","resource_scopes":["view"]}}`, err: uma.ErrWrongType},
		{name: "authorization is an array", body: `{"active":true,"authorization":[]}`, err: uma.ErrWrongType},
		{name: "typ is a number", body: `{"active":true,"typ":1}`, err: uma.ErrWrongType},
		{name: "too many permissions", body: `{"active":true,"permissions":[` + strings.Repeat(`{},`, uma.MaxPermissions) + `{}]}`, err: uma.ErrManyRights},
		{name: "too many scopes", body: `{"active":true,"scope":"` + strings.Repeat("s ", uma.MaxScopes+1) + `"}`, err: uma.ErrManyRights},
		{name: "too many scopes in an array", body: `{"active":true,"scope":[` + manyScopes + `]}`, err: uma.ErrManyRights},
		{name: "too many scopes in permissions", body: `{"active":true,"permissions":[{"scopes":["a"]},{"scopes":[` + manyScopes + `]}]}`, err: uma.ErrManyRights},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := uma.ParseIntrospection([]byte(tt.body))
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				require.Nil(t, got)
				return
			}
			require.Equal(t, &tt.want, got)
		})
	}
}

// TestParseIntrospectionCopies: what a cached token says must not keep the whole
// answer in memory, nor change with the host's buffer.
func TestParseIntrospectionCopies(t *testing.T) {
	body := []byte(`{"active":true,"sub":"bob","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
	token, err := uma.ParseIntrospection(body)
	require.NoError(t, err)
	for i := range body {
		body[i] = 'x'
	}
	require.Equal(t, "bob", token.Subject)
	require.Equal(t, "r1", token.Permissions[0].ResourceID)
	require.Equal(t, []string{"view"}, token.Permissions[0].Scopes)
}

func jwt(payload string) string {
	return "eyJhbGciOiJSUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestAddJWTClaims(t *testing.T) {
	tests := []struct {
		name  string
		token uma.Token
		jwt   string
		want  uma.Token
		err   error
	}{
		{
			name:  "Keycloak's RPT",
			token: uma.Token{Active: true, Expires: 2000, Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}}},
			jwt: jwt(`{"sub":"bob","iss":"https://as","azp":"app","aud":"rs","scope":"openid","exp":1900,"nbf":5,"iat":4,"jti":"j","sid":"s","typ":"Bearer",
				"authorization":{"permissions":[{"rsid":"r9","scopes":["edit"]}]}}`),
			want: uma.Token{
				Active: true, Subject: "bob", Issuer: "https://as", ClientID: "app", JWTID: "j", SessionID: "s", Audience: []string{"rs"}, Scopes: []string{"openid"},
				Expires: 1900, NotBefore: 5, IssuedAt: 4, Permissions: []uma.Permission{{ResourceID: "r1", Scopes: []string{"view"}}},
			},
		},
		{
			name:  "permissions that the answer left out are withdrawn",
			token: uma.Token{Active: true}, jwt: jwt(`{"authorization":{"permissions":[{"rsid":"r1","scopes":["view"]}]}}`),
			want: uma.Token{Active: true},
		},
		{
			name:  "permissions the answer has none of",
			token: uma.Token{Active: true, Permissions: []uma.Permission{}}, jwt: jwt(`{"authorization":{"permissions":[{"rsid":"r1","scopes":["view"]}]}}`),
			want: uma.Token{Active: true, Permissions: []uma.Permission{}},
		},
		{
			name:  "a claim that a mapper made is no permission",
			token: uma.Token{Active: true}, jwt: jwt(`{"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`),
			want: uma.Token{Active: true},
		},
		{name: "another server's permissions", token: uma.Token{Active: true}, jwt: jwt(`{"permissions":["read:albums"]}`), want: uma.Token{Active: true}},
		{
			name: "what the answer says stands",
			token: uma.Token{
				Active: true, Subject: "a", Issuer: "i", ClientID: "c", Audience: []string{"rs"}, Scopes: []string{"view"}, Expires: 10, NotBefore: 5, IssuedAt: 4,
			},
			jwt: jwt(`{"sub":"b","iss":"j","client_id":"d","aud":["x"],"scope":"view edit","exp":20,"nbf":1,"iat":9}`),
			want: uma.Token{
				Active: true, Subject: "a", Issuer: "i", ClientID: "c", Audience: []string{"rs"}, Scopes: []string{"view"}, Expires: 10, NotBefore: 5, IssuedAt: 4,
			},
		},
		{name: "active of a payload means nothing", token: uma.Token{Active: true}, jwt: jwt(`{"active":false}`), want: uma.Token{Active: true}},
		{name: "bound by the payload", token: uma.Token{Active: true}, jwt: jwt(`{"cnf":{"jkt":"k"}}`), want: uma.Token{Active: true, Bound: true}},
		{name: "no access token by the payload", token: uma.Token{Active: true}, jwt: jwt(`{"typ":"Refresh"}`), want: uma.Token{Active: true, NotAccess: true}},
		{name: "bound stays bound", token: uma.Token{Active: true, Bound: true, NotAccess: true}, jwt: jwt(`{"typ":"Bearer"}`), want: uma.Token{Active: true, Bound: true, NotAccess: true}},

		{name: "opaque", jwt: "opaque", err: uma.ErrNotJWT},
		{name: "one dot", jwt: "a.b", err: uma.ErrNotJWT},
		{name: "not base64url", jwt: "a.+.c", err: uma.ErrNotJWT},
		{name: "not JSON", jwt: "a." + base64.RawURLEncoding.EncodeToString([]byte("opaque")) + ".c", err: uma.ErrNotJWT},
		{name: "encrypted", jwt: "eyJh.b2tleQ.aXY.Y2lwaGVy.dGFn", err: uma.ErrNotJWT},
		{name: "payload nested too deep", jwt: jwt(strings.Repeat("[", 5000)), err: uma.ErrNotJWT},
		{name: "a claim twice", jwt: jwt(`{"sub":"a","sub":"b"}`), err: uma.ErrDuplicate},
		{name: "a claim of the wrong type", jwt: jwt(`{"sub":{}}`), err: uma.ErrWrongType},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := tt.token
			err := uma.AddJWTClaims(&tt.token, tt.jwt)
			require.ErrorIs(t, err, tt.err)
			if tt.err != nil {
				require.Equal(t, before, tt.token)
				return
			}
			require.Equal(t, tt.want, tt.token)
		})
	}
}

func TestPermissionValidAt(t *testing.T) {
	tests := []struct {
		name        string
		permission  uma.Permission
		now, leeway int64
		want        bool
	}{
		{"no times", uma.Permission{}, 100, 0, true},
		{"last second", uma.Permission{Expires: 101}, 100, 0, true},
		{"expired", uma.Permission{Expires: 100}, 100, 0, false},
		{"expired, within leeway", uma.Permission{Expires: 100}, 109, 10, true},
		{"expired, leeway used up", uma.Permission{Expires: 100}, 110, 10, false},
		{"first second", uma.Permission{NotBefore: 100}, 100, 0, true},
		{"too early", uma.Permission{NotBefore: 101}, 100, 0, false},
		{"too early, within leeway", uma.Permission{NotBefore: 110}, 100, 10, true},
		{"too early for leeway", uma.Permission{NotBefore: 111}, 100, 10, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, tt.permission.ValidAt(tt.now, tt.leeway))
		})
	}
}

func TestParseTicket(t *testing.T) {
	tests := []struct {
		name, body string
		want       string
		err        error
	}{
		{"spec", `{"ticket":"016f84e8-f9b9"}`, "016f84e8-f9b9", nil},
		{"with more", `{"ticket":"t","expires_in":300}`, "t", nil},
		{"a JWT", `{"ticket":"` + jwt("{}") + `"}`, jwt("{}"), nil},
		{"long", `{"ticket":"` + strings.Repeat("t", 1<<19) + `"}`, strings.Repeat("t", 1<<19), nil},
		{"empty body", ``, "", uma.ErrNotJSON},
		{"HTML", `<html>`, "", uma.ErrNotJSON},
		{"array", `[{"ticket":"t"}]`, "", uma.ErrNotJSON},
		{"no ticket", `{}`, "", uma.ErrNoTicket},
		{"empty ticket", `{"ticket":""}`, "", uma.ErrNoTicket},
		{"null ticket", `{"ticket":null}`, "", uma.ErrNoTicket},
		{"number", `{"ticket":1}`, "", uma.ErrWrongType},
		{"twice", `{"ticket":"a","ticket":"b"}`, "", uma.ErrDuplicate},
		{"ends the quotes", `{"ticket":"a\", error=\"x"}`, "", uma.ErrBadTicket},
		{"ends the header", `{"ticket":"a\r\nset-cookie: x"}`, "", uma.ErrBadTicket},
		{"backslash", `{"ticket":"a\\b"}`, "", uma.ErrBadTicket},
		{"not ASCII", `{"ticket":"é"}`, "", uma.ErrBadTicket},
		{"NUL", `{"ticket":"a\u0000"}`, "", uma.ErrBadTicket},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := uma.ParseTicket([]byte(tt.body))
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, tt.want, got)
		})
	}
}

func TestAppendPermissionRequest(t *testing.T) {
	got := uma.AppendPermissionRequest([]byte("["), `r"1`, []string{"view", "é\n"}, "")
	require.JSONEq(t, `[{"resource_id":"r\"1","resource_scopes":["view","é\n"]}]`, string(got)+"]")
	require.JSONEq(t, `{"resource_id":"","resource_scopes":[]}`, string(uma.AppendPermissionRequest(nil, "", nil, "")))
	require.JSONEq(t, `{"resource_id":"r","resource_scopes":[],"claims":{"a":["b"]}}`, string(uma.AppendPermissionRequest(nil, "r", nil, `{"a":["b"]}`)))
}

// FuzzParseIntrospection: no answer makes a token active but one that
// encoding/json, too, reads as an object whose "active" is true.
func FuzzParseIntrospection(f *testing.F) {
	for _, seed := range []string{
		`{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"],"exp":1}]}`,
		`{"active":true,"authorization":{"permissions":[{"rsid":"r1","scopes":["view"]}]}}`,
		`{"active":"true"}`, `{"ac\u0074ive":true}`, `{"active":true,"active":false}`, `{"active":false}`, `[[[[`, `{"active":true,"scope":["a",1]}`,
		`{"active":true,"exp":1e400}`, `{"active":true,"exp":9223372036854775807,"nbf":-1,"iat":1795300000000}`, `{"active":true,"exp":-1}`,
		`{"active":true,"permissions":[1,{"resource_id":"r1","resource_scopes":["view"],"exp":1795300000000},{"resource_id":"r1","scopes":[1]}]}`, "\ufeff{}", `{"active":true} x`, `{"active":true,"cnf":{}}`, `{"active":true,"sub":"\ud800"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		token, err := uma.ParseIntrospection(body)
		if err != nil {
			require.Nil(t, token)
			return
		}
		require.Equal(t, naivelyActive(body), token.Active, "%s", body)
		if !token.Active {
			require.Equal(t, &uma.Token{}, token)
		}
		for _, p := range token.Permissions {
			require.GreaterOrEqual(t, p.Expires, int64(0))
			require.GreaterOrEqual(t, p.NotBefore, int64(0))
		}
		_ = uma.AddJWTClaims(token, "a."+base64.RawURLEncoding.EncodeToString(body)+".c")
	})
}

func ExampleChallenge() {
	fmt.Println(uma.Challenge{Scheme: "UMA", Realm: "photos", ASURI: "https://as.example.com", Ticket: "016f84e8"})
	// Output: UMA realm="photos", as_uri="https://as.example.com", ticket="016f84e8"
}
