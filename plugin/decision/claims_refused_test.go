package decision_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// TestClaimsOfARefusedToken: what the AS does not permit, and what no permission would help,
// is denied without a ticket, whichever of the two is known first.
func TestClaimsOfARefusedToken(t *testing.T) {
	const fits, misfits, silent = `{"sub":"bob",` + ofSales + `}`, `{"sub":"bob","department":"gone"}`, `{"sub":"bob"}`
	const none, lacks = "403 insufficient_claims", "401 insufficient_permission"
	for _, tt := range []struct {
		name, payload, body, want string
		change                    func(*config.Config)
	}{
		{"fits", fits, notAuthorized, lacks, fromToken},
		{"does not fit", misfits, notAuthorized, none, fromToken},
		{"is granted too little", misfits, `[{"rsid":"r1","scopes":["edit"]}]`, none, fromToken},
		{"needs info", misfits, `{"error":"need_info"}`, none, fromToken},
		{"is not there, and the payload says all", silent, notAuthorized, none, fromToken},
		{"is not there, and the AS would say more", silent, notAuthorized, lacks, hinted},
		{"does not fit, and the AS would say more", misfits, notAuthorized, none, func(c *config.Config) {
			hinted(c)
			fromToken(c)
		}},
		{"only answers say claims", misfits, notAuthorized, lacks, func(*config.Config) {}},
		{"is not active", misfits, badToken, "401 inactive_token", fromToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, sales, evaluating, tt.change)
			token := jwt(tt.payload)
			status := 403
			if tt.body[0] == '[' {
				status = 200
			}
			if tt.body == badToken {
				status = 400
			}
			for _, how := range []string{"asked", "remembered"} {
				x, step := h.start(ask("GET", "/albums/1", token))
				if how == "asked" {
					require.Equal(t, "call evaluation", outcome(x, step))
					step = h.reply(step, status, tt.body)
				}
				if tt.want != none {
					require.Equal(t, "call permission", outcome(x, step), how)
					step = h.reply(step, 201, ticketed)
				}
				require.Equal(t, tt.want, outcome(x, step), how)
				if tt.want == none {
					require.Empty(t, value(t, step.Deny.Headers, "www-authenticate"), how)
				}
			}
			require.Equal(t, 1, min(1, h.asked))
		})
	}
	t.Run("of another condition", func(t *testing.T) {
		h := newHarness(t, sales, evaluating, fromToken, bearerChallenge)
		x, step := h.evaluated(ask("PUT", "/albums/1", jwt(misfits)), 403, notAuthorized)
		require.Equal(t, "403 insufficient_permission", outcome(x, step), "it asks for no claim")
	})
	t.Run("with a ticket", func(t *testing.T) {
		h := newHarness(t, sales, byTicket)
		x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/introspect", "token", 200, `{"active":true,"sub":"bob","department":"gone"}`})
		require.Equal(t, none, outcome(x, step), "it is known before the AS is asked for a permission")
	})
	t.Run("with a ticket, of another endpoint", func(t *testing.T) {
		h := newHarness(t, sales, byTicket, siteOf(func(s *config.Site) {
			s.AuthorizationServer.Evaluation.TokenIntrospection = &config.Endpoint{Cluster: "introspect", Authority: "as.example.com", Path: "/tokens"}
		}))
		x, step := h.converse(ask("GET", "/albums/1", "token"), said{"/introspect", "token", 200, unknown}, said{"/tokens", "token", 200, `{"active":true,"sub":"bob","department":"gone"}`})
		require.Equal(t, none, outcome(x, step), "it is known before the AS is asked for a ticket")
	})
}

// TestOwnerIsNotAskedInVain: who lacks a claim could not use what the owner approves.
func TestOwnerIsNotAskedInVain(t *testing.T) {
	refuses := said{"/token", "permission=", 403, notAuthorized}
	submits := said{"/token", "submit_request=true", 403, submitted}
	own := claiming(config.Claim{Path: []string{"sub"}, Variables: []string{"id"}})
	for path, want := range map[string]string{"/albums/bob": "401 request_submitted", "/albums/eve": "403 insufficient_claims"} {
		h := newHarness(t, own, evaluating, asking, fromToken)
		answers := []said{refuses}
		if path == "/albums/bob" {
			answers = append(answers, tickets, submits, tickets)
		}
		x, step := h.converse(ask("GET", path, jwt(`{"sub":"bob"}`)), answers...)
		require.Equal(t, want, outcome(x, step), path)
	}
}
