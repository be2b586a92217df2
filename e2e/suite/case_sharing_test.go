package suite_test

import (
	"encoding/base64"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// otherIssuer is the issuer of the site that a token chooses.
const otherIssuer = "https://other.example.com/realms/x"

// sharingScenarios are about sites that have a host together.
func sharingScenarios() []scenario {
	return []scenario{{
		name: "shared-host", once: true, // a real Keycloak has a test of its own, with two realms
		site: func(e *env, s *config.Site) {
			s.PathPrefixes = []string{"/albums", "/echo/album"}
			s.AuthorizationServer.Issuers = []string{e.as.issuer}
			s.Token.WithoutIssuer = config.VerdictAllow
		},
		more: func(e *env) []config.Site {
			byIssuer, watched := e.standardSite(), e.standardSite()
			byIssuer.Name, byIssuer.Realm = byIssuer.Name+"-issuer", "other"
			byIssuer.PathPrefixes, byIssuer.ChosenBy = []string{"/albums", "/echo/album"}, config.ChosenByIssuer
			byIssuer.AuthorizationServer.URI, byIssuer.AuthorizationServer.Issuers = otherIssuer, []string{otherIssuer}
			watched.Name, watched.PathPrefixes, watched.Mode = watched.Name+"-watched", []string{"/echo/other"}, config.ModeMonitor
			return []config.Site{byIssuer, watched}
		},
		steps: []step{
			{name: "without a token", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1},
			{name: "its AS's token", path: "/echo/album/own", token: "alice/album/view", status: 200, introspections: 1},
			{name: "once more", path: "/echo/album/own", token: "alice/album/view", status: 200},
			{name: "the site that watches", path: "/echo/other/1", status: 200},
			{name: "dots lead to no other site", path: "/echo/other/../album/1", status: 400, code: "ambiguous_path"},
			{name: "nor does a matrix parameter", path: "/echo/other/..;/album/1", status: 400, code: "ambiguous_path"},
			{name: "nor an encoded slash", path: "/echo%2falbum/1", status: 400, code: "ambiguous_path"},
			{name: "nor other letters", path: "/echo/ALBUM/1", status: 400, code: "ambiguous_path"},
			{name: "nor what some server reads so", path: "/echo/other%C4%AFx", status: 400, code: "ambiguous_path"},
			{name: "what no site has", path: "/healthz", status: 403, code: "unmatched_path"},
		},
		run: sharedByIssuer,
	}}
}

// sharedByIssuer sends tokens that nobody has signed: the AS calls them inactive, whichever
// it is.
func sharedByIssuer(e *env) {
	forged := func(payload string) string {
		return "=e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
	}
	for _, tt := range []struct {
		name, payload, code, realm, uri string
		asked                           int
	}{
		{"the other issuer", fmt.Sprintf(`{"iss":%q}`, otherIssuer), "inactive_token", "other", otherIssuer, 1},
		{"the other issuer, in escapes", `{"\u0069ss":"https:\/\/other.example.com\/realms\/\u0078"}`, "inactive_token", "other", otherIssuer, 1},
		{"its own", fmt.Sprintf(`{"iss":%q}`, e.as.issuer), "inactive_token", e.name, e.as.issuer, 1},
		{"an unknown one", `{"iss":"https://other.example.com/realms/x/"}`, "wrong_issuer", e.name, e.as.issuer, 0},
		{"two", fmt.Sprintf(`{"iss":%q,"iss":%q}`, e.as.issuer, otherIssuer), "wrong_issuer", e.name, e.as.issuer, 0},
		{"none, which is allowed", `{"sub":"bob"}`, "inactive_token", e.name, e.as.issuer, 1},
	} {
		e.t.Run(tt.name, func(t *testing.T) {
			before, dials := e.front.count(introspection), e.client.dials.Load()
			r := e.client.do(t, e.request(t, &step{path: "/albums/1"}, e.token(t, forged(tt.payload))))
			require.Equal(t, 401, r.status)
			require.Equal(t, tt.code, r.code)
			c := parseChallenge(r.header.Get("Www-Authenticate"))
			require.Equal(t, tt.realm, c.params["realm"])
			require.Equal(t, tt.uri, c.params["as_uri"])
			require.NotEmpty(t, c.params["ticket"])
			require.InDelta(t, tt.asked, e.front.count(introspection)-before, float64(e.client.dials.Load()-dials))
		})
	}
}
