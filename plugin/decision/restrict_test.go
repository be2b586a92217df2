package decision_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestTokenItselfCanDeny: what can only deny is read in the token, too, whether its
// claims are or not.
func TestTokenItselfCanDeny(t *testing.T) {
	now := began.Unix()
	tests := []struct{ name, header, payload, want string }{
		{"says nothing", `{"alg":"RS256"}`, `{}`, "allow permitted"},
		{"bound to a key", `{"alg":"RS256"}`, `{"cnf":{"jkt":"x"}}`, "401 sender_constrained_token"},
		{"a refresh token", `{"alg":"RS256"}`, `{"typ":"Refresh"}`, "401 not_an_access_token"},
		{"an ID token", `{"alg":"RS256"}`, `{"token_use":"id"}`, "401 not_an_access_token"},
		{"a logout token", `{"typ":"logout+jwt"}`, `{}`, "401 not_an_access_token"},
		{"expired", `{"alg":"RS256"}`, fmt.Sprintf(`{"exp":%d}`, now), "401 expired_token"},
		{"not valid yet", `{"alg":"RS256"}`, fmt.Sprintf(`{"nbf":%d}`, now+1), "401 token_not_yet_valid"},
	}
	for _, claims := range []config.ClaimsSource{config.ClaimsFromResponse, config.ClaimsFromToken} {
		for _, tt := range tests {
			t.Run(string(claims)+"/"+tt.name, func(t *testing.T) {
				h := newHarness(t, siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Claims = claims }))
				encode := base64.RawURLEncoding.EncodeToString
				token := encode([]byte(tt.header)) + "." + encode([]byte(tt.payload)) + ".c2ln"
				for range 2 { // asked, and cached
					x, step := h.decide(ask("GET", "/albums/1", token), viewR1)
					require.Equal(t, tt.want, outcome(x, step))
				}
			})
		}
	}
}

// TestTokenGivesNothing: with the answer's claims, the token's own are nobody's word.
func TestTokenGivesNothing(t *testing.T) {
	h := newHarness(t, siteOf(func(s *config.Site) { s.Token.ClientIDs = []string{"app"} }))
	payload := base64.RawURLEncoding.EncodeToString([]byte(`{"client_id":"app","sub":"eve","permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`))
	token := "e30." + payload + ".c2ln"
	x, step := h.decide(ask("GET", "/albums/1", token), `{"active":true,"permissions":[{"resource_id":"r1","resource_scopes":["view"]}]}`)
	require.Equal(t, "401 wrong_client", outcome(x, step))
	x, step = h.decide(ask("GET", "/albums/1", token+"x"), `{"active":true,"client_id":"app"}`)
	require.Equal(t, "401 insufficient_permission", outcome(x, step))
}

// TestCacheEndsWithTheToken: the token's own end bounds how long it is believed.
func TestCacheEndsWithTheToken(t *testing.T) {
	h := newHarness(t)
	payload := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, began.Unix()+10))
	token := "e30." + payload + ".c2ln"
	x, step := h.decide(ask("GET", "/albums/1", token), viewR1)
	require.Equal(t, "allow permitted", outcome(x, step))
	h.after(10 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", token))
	require.Equal(t, decision.KindCall, step.Kind, outcome(x, step))
}
