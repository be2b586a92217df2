package uma_test

import (
	"encoding/base64"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/uma"
)

func jwtOf(header, payload string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

// TestRestrict: a token's own text takes rights away, and gives none.
func TestRestrict(t *testing.T) {
	const jose = `{"alg":"RS256"}`
	bound, other := uma.Token{Active: true, Bound: true}, uma.Token{Active: true, NotAccess: true}
	tests := []struct {
		name, token string
		want        uma.Token
	}{
		{"opaque", "opaque", uma.Token{Active: true}},
		{"dots that mean nothing", "a.b.c", uma.Token{Active: true}},
		{"one dot", "e30.e30", uma.Token{Active: true}},
		{"encrypted", jwtOf(`{"alg":"RSA-OAEP","enc":"A256GCM"}`, "\x01\x02"), uma.Token{Active: true}},
		{"nothing to take", jwtOf(jose, `{}`), uma.Token{Active: true}},
		{"bound", jwtOf(jose, `{"cnf":{"jkt":"x"}}`), bound},
		{"bound by another member", jwtOf(jose, `{"cnf":"x"}`), bound},
		{"not bound", jwtOf(jose, `{"cnf":null}`), uma.Token{Active: true}},
		{"DPoP", jwtOf(jose, `{"token_type":"DPoP"}`), bound},
		{"refresh token of Keycloak", jwtOf(jose, `{"typ":"Refresh"}`), other},
		{"ID token of Keycloak", jwtOf(jose, `{"typ":"ID"}`), other},
		{"access token of Keycloak", jwtOf(jose, `{"typ":"Bearer"}`), uma.Token{Active: true}},
		{"refresh token of Hydra", jwtOf(jose, `{"token_use":"refresh_token"}`), other},
		{"a kind that is no text", jwtOf(jose, `{"typ":7}`), other},
		{"twice, the first denies", jwtOf(jose, `{"typ":"Refresh","typ":"Bearer"}`), other},
		{"twice, the second denies", jwtOf(jose, `{"typ":"Bearer","typ":"Refresh"}`), other},
		{"expires", jwtOf(jose, `{"exp":100.9}`), uma.Token{Active: true, Expires: 100}},
		{"expired in 1970", jwtOf(jose, `{"exp":0}`), uma.Token{Active: true, Expires: 1}},
		{"expires twice", jwtOf(jose, `{"exp":100,"exp":200,"exp":90}`), uma.Token{Active: true, Expires: 90}},
		{"an end that cannot be read", jwtOf(jose, `{"exp":"100"}`), uma.Token{Active: true}},
		{"begins", jwtOf(jose, `{"nbf":100.1}`), uma.Token{Active: true, NotBefore: 101}},
		{"media type of an access token", jwtOf(`{"typ":"at+jwt"}`, `{}`), uma.Token{Active: true}},
		{"media type in full", jwtOf(`{"typ":"application/AT+JWT"}`, `{}`), uma.Token{Active: true}},
		{"media type of Okta", jwtOf(`{"typ":"application/okta-internal-at+jwt"}`, `{}`), uma.Token{Active: true}},
		{"JWT", jwtOf(`{"typ":"JWT"}`, `{}`), uma.Token{Active: true}},
		{"a name of the AS's own", jwtOf(`{"typ":"whatever"}`, `{}`), uma.Token{Active: true}},
		{"logout token", jwtOf(`{"typ":"logout+jwt"}`, `{}`), other},
		{"DPoP proof", jwtOf(`{"typ":"dpop+jwt"}`, `{}`), other},
		{"credential", jwtOf(`{"typ":"dc+sd-jwt"}`, `{}`), other},
		{"ID token by its header", jwtOf(`{"typ":"id_token"}`, `{}`), other},
		{"gives no right", jwtOf(jose, `{"sub":"eve","scope":"all","client_id":"app","aud":"api","iss":"as","permissions":[{"rsid":"r1","scopes":["view"]}],"authorization":{"permissions":[{"rsid":"r1","scopes":["view"]}]}}`), uma.Token{Active: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := uma.Token{Active: true}
			uma.Restrict(&got, tt.token)
			require.Equal(t, tt.want, got)
		})
	}
	t.Run("the answer's own limits stay", func(t *testing.T) {
		got := uma.Token{Active: true, Expires: 50, NotBefore: 40, Bound: true, NotAccess: true}
		want := got
		uma.Restrict(&got, jwtOf(jose, `{"exp":100,"nbf":10,"cnf":null,"typ":"Bearer"}`))
		require.Equal(t, want, got)
	})
}
