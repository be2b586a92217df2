package suite_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// revocationScenarios are about tokens that are refused although the AS says that
// they are active.
func revocationScenarios() []scenario {
	return []scenario{
		{name: "revoked", run: revoked},
		{name: "revoked-never-seen", run: revokedNeverSeen},
		{name: "revoked-in-flight", run: revokedInFlight},
		{name: "revoked-lightweight", site: askedForRPTs, run: revokedLightweight},
	}
}

// revocation is one list with one way to name a token.
type revocation struct {
	name string
	list config.Revocations
}

// revocationsOf are the ways to name a token of alice's. The AS's clock is this
// machine's.
func revocationsOf(e *env, token string) []revocation {
	ends := time.Now().Add(time.Hour).Unix()
	soon := time.Now().Unix() + 1
	of := func(value string, before int64) config.Digests {
		return config.NewDigests([]config.Digest{config.DigestOf(config.Signed(value), ends, before)})
	}
	out := []revocation{
		{"token", config.Revocations{Site: e.name, Tokens: of(token, 0)}},
		{"token at every site", config.Revocations{Tokens: of(token, 0)}},
		{"subject", config.Revocations{Site: e.name, Subjects: of(e.as.subjects["alice"], soon)}},
		{"client", config.Revocations{Site: e.name, ClientIDs: of(e.as.app.id, soon)}},
		{"issued before", config.Revocations{Site: e.name, IssuedBefore: soon, IssuedBeforeEnds: ends}},
	}
	if own, err := uma.ParseJWT(token); err == nil && own.SessionID != "" {
		out = append(out, revocation{"session", config.Revocations{Site: e.name, Sessions: of(own.SessionID, 0)}})
	}
	return out
}

// innocent are lists that name other tokens.
func innocent(e *env) config.Revocations {
	ends := time.Now().Add(time.Hour).Unix()
	other := config.NewDigests([]config.Digest{config.DigestOf("nobody", ends, 0)})
	return config.Revocations{
		Site: e.name, Tokens: other, Subjects: other, Sessions: other, ClientIDs: other,
		IssuedBefore: time.Now().Unix() - 3600, IssuedBeforeEnds: ends,
	}
}

func (e *env) revoke(t *testing.T, list config.Revocations) {
	t.Helper()
	require.NoError(t, e.update(t, func(c *config.Config) { c.Revocations = []config.Revocations{list} }))
}

const revokedPath = "/echo/album/a"

// revoked: from the acknowledgement on, a token that is cached is refused, without
// a call about it; taken back, it is what it was.
func revoked(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	e.step(t, &step{name: "known", path: revokedPath, token: "=" + token, status: 200, introspections: 1})
	e.revoke(t, innocent(e))
	e.step(t, &step{name: "others are revoked", path: revokedPath, token: "=" + token, status: 200, introspections: 0})
	for _, r := range revocationsOf(e, token) {
		t.Run(r.name, func(t *testing.T) {
			e.revoke(t, r.list)
			e.step(t, &step{
				name: "refused", path: revokedPath, token: "=" + token, status: 401, code: "revoked_token",
				challenge: "UMA", fault: "invalid_token", introspections: 0, tickets: 1,
			})
			e.restore(t)
			e.step(t, &step{name: "taken back", path: revokedPath, token: "=" + token, status: 200, introspections: 0})
		})
	}
}

// revokedNeverSeen: a token that no gateway has seen is refused, too.
func revokedNeverSeen(e *env) {
	t := e.t
	for _, r := range revocationsOf(e, e.fresh(t, "view")) {
		t.Run(r.name, func(t *testing.T) {
			token := e.fresh(t, "view")
			for _, own := range revocationsOf(e, token) { // of this very token
				if own.name == r.name {
					r = own
				}
			}
			e.revoke(t, r.list)
			asked := 1
			if r.list.Tokens != "" {
				asked = 0 // it is known by itself
			}
			e.step(t, &step{name: "refused", path: revokedPath, token: "=" + token, status: 401, code: "revoked_token", challenge: "UMA", fault: "invalid_token", introspections: asked, tickets: 1})
			e.restore(t)
		})
	}
}

// revokedInFlight: the AS has said "active" before the revocation, and its answer
// comes after.
func revokedInFlight(e *env) {
	t := e.t
	for _, kind := range []string{"token", "subject", "issued before"} {
		t.Run(kind, func(t *testing.T) {
			token := e.fresh(t, "view")
			said, release := make(chan struct{}), make(chan struct{})
			e.front.spoil(t, introspection, func(w http.ResponseWriter, _ *http.Request, ask func() asAnswer) {
				a := ask()
				close(said)
				<-release
				a.write(w)
			})
			answers := make(chan *answer, 1)
			go func() {
				defer close(answers)
				if a, err := roundTrip(crowd(e.gw.address(), 1), e.request(t, &step{path: revokedPath}, token)); err == nil {
					answers <- a
				}
			}()
			<-said
			for _, r := range revocationsOf(e, token) {
				if r.name == kind {
					e.revoke(t, r.list)
				}
			}
			e.front.mend(introspection)
			close(release)
			a := <-answers
			require.NotNil(t, a)
			require.Equal(t, 401, a.status, "%s", a.body)
			require.Contains(t, string(a.body), "revoked_token")
			e.restore(t)
		})
	}
}

// askedForRPTs has the AS introspect with the hint that has Keycloak leave out of a
// lightweight access token whose it is.
func askedForRPTs(_ *env, s *config.Site) {
	s.AuthorizationServer.Introspection.TokenTypeHint = "requesting_party_token"
}

// discreet has an AS that knows no such tokens answer as Keycloak does.
func (e *env) discreet(t *testing.T) {
	t.Helper()
	if e.as.light.id != e.as.app.id {
		return
	}
	e.front.spoil(t, introspection, func(w http.ResponseWriter, r *http.Request, ask func() asAnswer) {
		if strings.Contains(e.front.lastCall(introspection).body, "token_type_hint") {
			lies(map[string]any{"sub": nil, "client_id": nil, "sid": nil})(w, r, ask)
			return
		}
		ask().write(w)
	})
}

// revokedLightweight: of a token that does not say whose it is, the AS is asked for
// that while somebody's tokens are revoked, and only then.
func revokedLightweight(e *env) {
	t := e.t
	e.discreet(t)
	ends, soon := time.Now().Add(time.Hour).Unix(), time.Now().Unix()+60
	of := func(value string) config.Digests {
		return config.NewDigests([]config.Digest{config.DigestOf(value, ends, soon)})
	}
	token := e.as.lightweight(t.Context(), t)
	own, err := uma.ParseJWT(token)
	if err == nil {
		require.Empty(t, own.Subject, "the token says whose it is, so this shows nothing")
	}
	e.step(t, &step{name: "known", path: revokedPath, token: "=" + token, status: 200, introspections: 1, api: map[string]string{"X-Uma-Subject": ""}})
	e.revoke(t, config.Revocations{Site: e.name, Subjects: of("nobody"), ClientIDs: of("nothing")})
	e.step(t, &step{name: "asked further", path: revokedPath, token: "=" + token, status: 200, introspections: 1, api: map[string]string{"X-Uma-Subject": e.as.subjects["alice"]}})
	e.step(t, &step{name: "remembered", path: revokedPath, token: "=" + token, status: 200, introspections: 0})
	for _, r := range []revocation{
		{"subject", config.Revocations{Site: e.name, Subjects: of(e.as.subjects["alice"])}},
		{"client", config.Revocations{ClientIDs: of(e.as.light.id)}},
		{"session", config.Revocations{}}, // of its own
	} {
		t.Run(r.name, func(t *testing.T) {
			other := e.as.lightweight(t.Context(), t)
			if r.name == "session" {
				sid, otherSID := e.as.session(t, token), e.as.session(t, other)
				if sid == "" {
					t.Skip("the AS names no session")
				}
				r.list.Sessions = config.NewDigests([]config.Digest{config.DigestOf(sid, ends, 0), config.DigestOf(otherSID, ends, 0)})
			}
			e.revoke(t, r.list)
			e.step(t, &step{name: "cached", path: revokedPath, token: "=" + token, status: 401, code: "revoked_token", challenge: "UMA", fault: "invalid_token", tickets: 1})
			e.step(t, &step{
				name: "never seen", path: revokedPath, token: "=" + other, status: 401, code: "revoked_token",
				challenge: "UMA", fault: "invalid_token", introspections: -1, tickets: 1,
			})
			e.restore(t)
		})
	}
}
