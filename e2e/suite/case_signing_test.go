package suite_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/tokenkey"
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// signingKeys is where filters ask the control plane for a key. The front serves it, too.
const signingKeys = "/signing-key"

// issuedKeys are the keys of the scenarios' sites, which have no control plane.
func issuedKeys() tokenkey.Keys { return tokenkey.New(secret.New("of the suite")) }

// startKeys stands for the control plane. Any version of any site may sign.
func startKeys(t *testing.T, o owner) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		version := 0
		if r.ContentLength > int64(len(`{"site":"internal-token"}`)) {
			version = 1
		}
		credential, err := issuedKeys().Credential(tokenkey.Site{Name: "internal-token", Version: version})
		if err == nil {
			r.Header.Set("Authorization", "Bearer "+credential.Reveal())
		}
		handler := tokenkey.Handler{Keys: issuedKeys(), Version: func(string) (int, bool) { return version, true }, Now: time.Now, Logger: slog.New(slog.DiscardHandler)}
		handler.ServeHTTP(w, r)
	}))
	o.Cleanup(server.Close)
	target, err := url.Parse(server.URL)
	require.NoError(t, err)
	return target
}

// signingScenarios are about what an API is told in a signed token.
func signingScenarios() []scenario {
	return []scenario{{name: "internal-token", run: internalToken, site: func(e *env, s *config.Site) {
		s.InternalToken = &config.InternalToken{
			Header: "x-uma-token", Issuer: "umagate/" + s.Name, Audience: []string{"https://api.internal"}, TTLS: 60,
			Claims: []config.TokenClaim{{Name: "groups", Path: []string{"groups"}}},
			Key:    config.Endpoint{Cluster: evaluationCluster, Scheme: "http", Authority: e.as.front.address, Path: signingKeys},
		}
	}}}
}

// internalToken: the API verifies who asks with the public keys alone, nobody forges it, a
// key that was withdrawn signs no more, and without a key nobody passes.
func internalToken(e *env) {
	t := e.t
	forged := http.Header{"X-Uma-Token": {"forged"}, "X_uma_token": {"forged"}}
	told := func(version int) (kid string) {
		t.Helper()
		r := e.client.do(t, e.request(t, &step{path: "/echo/album/a", header: forged}, e.token(t, "alice/album/view")))
		require.Equal(t, 200, r.status, "%s", r.body)
		e.api.look()
		values := r.echo.Headers.Values("X-Uma-Token")
		require.Len(t, values, 1)
		require.Empty(t, r.echo.Headers.Values("X_uma_token"))
		token, err := jwt.ParseSigned(values[0], []jose.SignatureAlgorithm{jose.EdDSA})
		require.NoError(t, err)
		require.Equal(t, decision.TokenType, token.Headers[0].ExtraHeaders[jose.HeaderType])
		keys, err := issuedKeys().Public(tokenkey.Site{Name: e.name, Version: version}, time.Now())
		require.NoError(t, err)
		var claims jwt.Claims
		var more struct {
			ClientID string   `json:"client_id"`
			Groups   []string `json:"groups"`
		}
		require.NoError(t, token.Claims(&keys, &claims, &more))
		require.NoError(t, claims.Validate(jwt.Expected{Issuer: "umagate/" + e.name, AnyAudience: jwt.Audience{"https://api.internal"}, Time: time.Now()}))
		require.Equal(t, e.as.subjects["alice"], claims.Subject)
		require.Equal(t, "app", more.ClientID)
		if e.as.kind == "devas" { // an RPT of Keycloak's does not say, and the AS is not asked for what is only told
			require.ElementsMatch(t, []string{"staff", "crew, and friends"}, more.Groups)
		}
		return token.Headers[0].KeyID
	}
	first := told(0)
	asked := e.front.count(signingKeys)
	require.Equal(t, first, told(0))
	require.LessOrEqual(t, e.front.count(signingKeys)-asked, e.gw.workers()-1, "a worker asks once")
	e.step(t, &step{name: "who needs no token", path: "/echo/public/a", token: "alice/album/view", status: 200, header: forged, api: map[string]string{"X-Uma-Token": "", "X_uma_token": ""}})
	e.step(t, &step{name: "who is refused", path: "/echo/other/a", token: "alice/album/view", status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: -1, tickets: -1})

	withdraw := func(version int) func(c *config.Config) {
		return func(c *config.Config) {
			own := *e.site(c).InternalToken
			own.KeyVersion = version
			e.site(c).InternalToken = &own
		}
	}
	defer e.restore(t)
	require.NoError(t, e.update(t, withdraw(1)))
	require.NotEqual(t, first, told(1), "at once, though the key had hours left")
	e.front.spoil(t, signingKeys, func(w http.ResponseWriter, _ *http.Request, _ func() asAnswer) {
		w.WriteHeader(http.StatusInternalServerError)
	})
	require.NoError(t, e.update(t, withdraw(2)))
	e.step(t, &step{name: "no key", path: "/echo/album/a", token: "alice/album/view", status: 503, code: "no_signing_key", introspections: -1})
}
