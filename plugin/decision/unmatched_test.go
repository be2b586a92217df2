package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// TestUnmatchedAuthenticated: a path that no condition names passes with a token
// that the AS and the site's rules take, whatever its permissions; and no ticket
// is asked for, since there is no resource to have one for.
func TestUnmatchedAuthenticated(t *testing.T) {
	authenticated := func(change func(*config.Site)) func(*config.Config) {
		return siteOf(func(s *config.Site) {
			s.Unmatched = config.UnmatchedAuthenticated
			if change != nil {
				change(s)
			}
		})
	}
	const plain = `{"active":true,"sub":"bob","client_id":"app","iss":"https://as.example.com","aud":"photos"}`
	tests := []struct {
		name   string
		change func(*config.Site)
		token  string
		answer string
		want   string
		header string // WWW-Authenticate
	}{
		{"no token", nil, "", "", "401 no_token", `Bearer realm="photos"`},
		{"active", nil, "t", plain, "allow unmatched_authenticated", ""},
		{"permissions on something else", nil, "t", viewR1, "allow unmatched_authenticated", ""},
		{"not active", nil, "t", unknown, "401 inactive_token", `Bearer realm="photos", error="invalid_token"`},
		{"expired", nil, "t", `{"active":true,"exp":1}`, "401 expired_token", `Bearer realm="photos", error="invalid_token"`},
		{"bound to a key", nil, "t", `{"active":true,"cnf":{"jkt":"a"}}`, "401 sender_constrained_token", `Bearer realm="photos", error="invalid_token"`},
		{"another issuer", func(s *config.Site) { s.Token.Issuers = []string{"https://other"} }, "t", plain, "401 wrong_issuer", `Bearer realm="photos", error="invalid_token"`},
		{"another audience", func(s *config.Site) { s.Token.Audiences = []string{"other"} }, "t", plain, "401 wrong_audience", `Bearer realm="photos", error="invalid_token"`},
		{"another client", func(s *config.Site) { s.Token.ClientIDs = []string{"other"} }, "t", plain, "401 wrong_client", `Bearer realm="photos", error="invalid_token"`},
		{"OAuth scopes", func(s *config.Site) { s.Require, s.AuthorizationServer.Permission = config.RequireOAuthScopes, nil }, "t", plain, "allow unmatched_authenticated", ""},
		{"the AS is not known", func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }, "t", "", "503 as_unreachable", ""},
		{"the AS is not known, and no token", func(s *config.Site) { s.AuthorizationServer = config.AuthorizationServer{Unknown: true} }, "", "", "401 no_token", `Bearer realm="photos"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, authenticated(tt.change))
			x, step := h.decide(ask("GET", "/nothing", tt.token), tt.answer)
			require.Equal(t, tt.want, outcome(x, step))
			require.Empty(t, x.Decision().Condition)
			if step.Kind == decision.KindAllow {
				require.Equal(t, "bob", value(t, step.Allow.Set, "x-uma-subject"))
				require.Equal(t, "app", value(t, step.Allow.Set, "x-uma-client-id"))
				require.Empty(t, value(t, step.Allow.Set, "x-uma-scopes"))
				return
			}
			require.Equal(t, tt.header, value(t, step.Deny.Headers, "www-authenticate"))
			require.LessOrEqual(t, h.asked, 1, "a ticket was asked for")
		})
	}
}
