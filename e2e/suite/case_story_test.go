package suite_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// storyScenarios tell the whole of UMA from the client's side.
func storyScenarios() []scenario {
	return []scenario{{name: "story", run: story}, {name: "rights-given-later", once: true, run: rightsGivenLater}}
}

// rightsGivenLater: a token that lacked a permission has it from the AS now (UMA
// Grant section 3.3.5.1). The lack is believed for a second, not for max_ttl.
func rightsGivenLater(e *env) {
	t := e.t
	token := e.fresh(t, "view")
	e.front.spoil(t, introspection, lies(map[string]any{"permissions.resource_id": "another", "permissions.rsid": "another"}))
	lacks := step{
		name: "no permission yet", path: "/echo/album/a", token: "=" + token,
		status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", introspections: 1, tickets: 1,
	}
	e.step(t, &lacks)
	e.front.mend(introspection)
	before := e.front.count(introspection)
	waitFor(t, "the permission", func() bool {
		return e.client.do(t, e.request(t, &step{path: "/echo/album/a"}, token)).status == 200
	})
	require.LessOrEqual(t, e.front.count(introspection)-before, int(e.client.dials.Load()), "asked once for what it lacked")
	e.step(t, &step{name: "and from the cache", path: "/echo/album/a", token: "=" + token, status: 200})
}

func story(e *env) {
	t := e.t
	ctx := t.Context()
	get := step{name: "no token", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1}
	e.step(t, &get)

	// The client takes the ticket of the challenge to the AS.
	ticket := e.ticketOf(t, "/albums/1")
	_, err := e.as.rpt(ctx, t, "bob", ticket, "")
	require.ErrorIs(t, err, errDenied, "bob may not see alice's album")
	rpt, err := e.as.rpt(ctx, t, "alice", e.ticketOf(t, "/albums/1"), "")
	require.NoError(t, err)

	subject := e.as.subjects["alice"]
	e.step(t, &step{name: "with the RPT", path: "/albums/1", token: "=" + rpt, status: 200, introspections: 1})
	e.step(t, &step{
		name: "again, from the cache", path: "/echo/album/x", token: "=" + rpt, status: 200,
		api: map[string]string{"X-Uma-Subject": subject, "X-Uma-Resource-Id": "{album}", "X-Uma-Scopes": "view"},
	})
	e.step(t, &step{
		name: "wrong scope", method: "PUT", path: "/albums/1", token: "=" + rpt, body: `{"owner":"alice","title":"Lofoten"}`,
		status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1, introspections: -1,
	})
	e.step(t, &step{
		name: "other resource", path: "/albums/3", token: "=" + rpt,
		status: 401, code: "insufficient_permission", challenge: "UMA", fault: "insufficient_scope", tickets: 1, introspections: -1,
	})
	if e.as.caps&canUpgradeRPT != 0 {
		ticket := e.ticketFor(t, "PUT", "/albums/1", rpt)
		upgraded, err := e.as.rpt(ctx, t, "alice", ticket, rpt)
		require.NoError(t, err)
		e.step(t, &step{name: "upgraded RPT", method: "PUT", path: "/albums/1", token: "=" + upgraded, body: `{"owner":"alice","title":"Lofoten"}`, status: 200, introspections: 1})
		e.step(t, &step{name: "which keeps its old rights", path: "/albums/1", token: "=" + upgraded, status: 200})
	}

	unseen := e.fresh(t, "view")
	e.front.away(t)
	e.step(t, &step{name: "AS down: a cached token does", path: "/albums/1", token: "=" + rpt, status: 200})
	e.step(t, &step{name: "AS down: a new token cannot be verified", path: "/albums/1", token: "=" + unseen, status: 503, code: "as_unreachable", answer: map[string]string{"Retry-After": "5"}})
	e.step(t, &step{
		name: "AS down: no ticket", path: "/albums/1", status: 403, code: "no_ticket",
		answer: map[string]string{"Warning": `199 - "UMA Authorization Server Unreachable"`},
	})
	e.front.back(t)
	e.step(t, &step{name: "AS back: a ticket", path: "/albums/1", status: 401, code: "no_token", challenge: "UMA", tickets: 1})
	e.step(t, &step{name: "AS back: the new token", path: "/albums/1", token: "=" + unseen, status: 200, introspections: 1})
}

// ticketOf sends a GET without a token and returns the ticket of the challenge.
func (e *env) ticketOf(t *testing.T, path string) string {
	t.Helper()
	return e.ticketFor(t, "GET", path, "")
}

func (e *env) ticketFor(t *testing.T, method, path, token string) string {
	t.Helper()
	r := e.client.do(t, e.request(t, &step{method: method, path: path}, token))
	require.Equal(t, 401, r.status, "%s", r.body)
	ticket := parseChallenge(r.header.Get("Www-Authenticate")).params["ticket"]
	require.NotEmpty(t, ticket)
	return ticket
}
