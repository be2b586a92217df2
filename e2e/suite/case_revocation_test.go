package suite_test

import (
	"net/http"
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
