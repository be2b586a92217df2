package suite_test

import (
	"encoding/base64"

	"github.com/umagate/umagate/plugin/config"
)

// tokenScenarios are about what a token says of itself.
func tokenScenarios() []scenario {
	return []scenario{{
		name: "token-itself-can-deny",
		site: func(_ *env, s *config.Site) { s.AuthorizationServer.Introspection.Claims = config.ClaimsFromResponse },
		run:  tokenItselfCanDeny,
	}}
}

// tokenItselfCanDeny has an AS that says active, the permission, and nothing else, as
// RFC 7662 section 2.2 allows. What can only deny is read in the token.
func tokenItselfCanDeny(e *env) {
	t := e.t
	e.front.spoil(t, introspection, sayJSON(`{"active":true,"permissions":[{"resource_id":"`+e.as.resources["album"]+`","resource_scopes":["view"]}]}`))
	defer e.front.mend(introspection)
	encode := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct{ name, header, payload, code string }{
		{"nothing", `{"alg":"RS256","typ":"at+jwt"}`, `{"sub":"alice"}`, ""},
		{"bound to a key", `{"alg":"RS256"}`, `{"cnf":{"jkt":"x"}}`, "sender_constrained_token"},
		{"a refresh token", `{"alg":"RS256"}`, `{"typ":"Refresh"}`, "not_an_access_token"},
		{"an ID token", `{"alg":"RS256"}`, `{"token_use":"id_token"}`, "not_an_access_token"},
		{"a logout token", `{"alg":"RS256","typ":"logout+jwt"}`, `{}`, "not_an_access_token"},
		{"expired", `{"alg":"RS256"}`, `{"exp":1500000000}`, "expired_token"},
		{"not valid yet", `{"alg":"RS256"}`, `{"nbf":32503680000}`, "token_not_yet_valid"},
	} {
		s := step{name: c.name, path: "/echo/album/a", token: "=" + encode([]byte(c.header)) + "." + encode([]byte(c.payload)) + ".c2ln", status: 200, introspections: 1}
		if c.code == "" {
			s.api = map[string]string{"X-Uma-Subject": "", "X-Uma-Scopes": "view"}
		} else {
			s.status, s.code, s.challenge, s.fault, s.tickets = 401, c.code, "UMA", "invalid_token", 1
		}
		e.step(t, &s)
		if c.code != "expired_token" { // such a one is not kept
			s.name, s.introspections = c.name+", cached", 0
			e.step(t, &s)
		}
	}
}
