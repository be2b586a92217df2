package flows

import (
	"maps"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

const idTokenFormat = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken" //nolint:gosec // The name of a format.

// claimsRows are the flows of a client that authenticates as itself, and of a
// requesting party that the server has to get to know.
func claimsRows() []row {
	return []row{
		{name: "need_info, then a pushed ID token", needs: []Capability{NeedInfo}, run: pushedClaims},
		{name: "a claim token that says nothing", needs: []Capability{NeedInfo}, run: func(t *testing.T, w *world) {
			t.Helper()
			s := w.newScene(t)
			for name, push := range map[string]url.Values{
				"not a token":    {"claim_token": {"garbage"}, "claim_token_format": {idTokenFormat}},
				"another format": {"claim_token": {w.login(t, "alice").text("id_token")}, "claim_token_format": {"urn:example:claims"}},
			} {
				r := s.grant(t, s.ticket(t), push)
				require.Equal(t, http.StatusForbidden, r.status, "%s: %s", name, r.raw)
				require.Equal(t, "need_info", r.text("error"), name)
			}
			r := s.grant(t, s.ticket(t), url.Values{"claim_token": {"x"}})
			require.Equal(t, http.StatusBadRequest, r.status, r.raw)
			require.Equal(t, "invalid_request", r.text("error"))
		}},
		{name: "a PCT stands for claims pushed before", needs: []Capability{NeedInfo, PCT}, run: func(t *testing.T, w *world) {
			t.Helper()
			s := w.newScene(t)
			r := s.grant(t, s.ticket(t), s.push(t, "alice"))
			require.Equal(t, http.StatusOK, r.status, r.raw)
			pct := r.text("pct")
			require.NotEmpty(t, pct)
			r = s.grant(t, s.ticket(t), url.Values{"pct": {pct}})
			require.Equal(t, http.StatusOK, r.status, r.raw)
			stranger := w.newClient(t, w.partyMetadata())
			r = w.token(t, url.Values{"grant_type": {umaGrant}, "ticket": {s.ticket(t)}, "pct": {pct}}, stranger.auth())
			require.Equal(t, "need_info", r.text("error"), "a PCT is of one client")
		}},
		{name: "claims interaction", needs: []Capability{NeedInfo}, run: gatheredClaims},
		{name: "request_submitted, then the owner's yes", hook: "AskOwner", run: ownerIsAsked},
		{name: "scopes asked for beside the ticket", needs: []Capability{NeedInfo}, run: func(t *testing.T, w *world) {
			t.Helper()
			s := w.newScene(t)
			f := s.push(t, "alice")
			f.Set("scope", "edit")
			r := s.grant(t, s.ticket(t), f)
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, map[string][]string{s.id: {"edit", "view"}}, w.permissions(t, s.rs, r.text("access_token")))
			f.Set("scope", "fly")
			s.grant(t, s.ticket(t), f).requireRefusal(t, Refusal{http.StatusBadRequest, "invalid_scope"})
		}},
		{name: "an RPT is upgraded", needs: []Capability{NeedInfo, Upgrade}, run: func(t *testing.T, w *world) {
			t.Helper()
			s := w.newScene(t)
			first := s.grant(t, s.ticket(t), s.push(t, "alice"))
			require.Equal(t, http.StatusOK, first.status, first.raw)
			require.NotContains(t, first.body, "upgraded")
			other := w.resource(t, s.rs, "other", "view")
			w.permit(t, s.rs, other, "other", "view")
			f := s.push(t, "alice")
			f.Set("rpt", first.text("access_token"))
			r := s.grant(t, w.ticket(t, s.rs, asked{other, []string{"view"}}), f)
			require.Equal(t, http.StatusOK, r.status, r.raw)
			require.Equal(t, true, r.body["upgraded"])
			require.Equal(t, map[string][]string{s.id: {"view"}, other: {"view"}}, w.permissions(t, s.rs, r.text("access_token")))
		}},
		{name: "a ticket that has met one client is no other's", needs: []Capability{NeedInfo}, run: func(t *testing.T, w *world) {
			t.Helper()
			s := w.newScene(t)
			next := s.grant(t, s.ticket(t), nil).text("ticket")
			stranger := w.newClient(t, w.partyMetadata())
			f := s.push(t, "alice")
			f.Set("grant_type", umaGrant)
			f.Set("ticket", next)
			w.token(t, f, stranger.auth()).requireRefusal(t, Refusal{http.StatusBadRequest, "invalid_grant"})
		}},
	}
}

// scene is a resource that alice may view and edit, and a client of hers.
type scene struct {
	w      *world
	rs     *registered
	id     string
	client *registered
}

func (w *world) partyMetadata() map[string]any {
	return map[string]any{
		"client_name": "flows client", "grant_types": []string{umaGrant, "refresh_token"}, "token_endpoint_auth_method": "client_secret_basic",
		"claims_redirect_uris": []string{w.RedirectURI},
	}
}

func (w *world) newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{w: w, rs: w.resourceServer(t)}
	s.id = w.resource(t, s.rs, "album", "view", "edit")
	w.permit(t, s.rs, s.id, "album", "view", "edit")
	s.client = w.newClient(t, w.partyMetadata())
	return s
}

func (s *scene) ticket(t *testing.T) string {
	t.Helper()
	return s.w.ticket(t, s.rs, asked{s.id, []string{"view"}})
}

// push is a person's ID token as a claim.
func (s *scene) push(t *testing.T, user string) url.Values {
	t.Helper()
	return url.Values{"claim_token": {s.w.login(t, user).text("id_token")}, "claim_token_format": {idTokenFormat}}
}

// grant asks for an RPT as the client.
func (s *scene) grant(t *testing.T, ticket string, more url.Values) reply {
	t.Helper()
	f := url.Values{"grant_type": {umaGrant}, "ticket": {ticket}}
	maps.Copy(f, more)
	return s.w.token(t, f, s.client.auth())
}

func pushedClaims(t *testing.T, w *world) {
	t.Helper()
	s := w.newScene(t)
	first := s.ticket(t)
	r := s.grant(t, first, nil)
	require.Equal(t, http.StatusForbidden, r.status, r.raw)
	require.Equal(t, "need_info", r.text("error"))
	require.NotEmpty(t, r.body["required_claims"])
	require.NotEmpty(t, r.text("redirect_user"))
	next := r.text("ticket")
	require.NotEmpty(t, next)
	require.NotEqual(t, first, next)
	s.grant(t, first, s.push(t, "alice")).requireRefusal(t, w.BadTicket)

	r = s.grant(t, next, s.push(t, "alice"))
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, map[string][]string{s.id: {"view"}}, w.permissions(t, s.rs, r.text("access_token")))
	s.grant(t, s.ticket(t), s.push(t, "bob")).requireRefusal(t, w.Denied)
}

func gatheredClaims(t *testing.T, w *world) {
	t.Helper()
	s := w.newScene(t)
	need := s.grant(t, s.ticket(t), nil)
	require.Equal(t, "need_info", need.text("error"))
	b := newBrowser(t, w)
	back := b.Visit(t, need.text("redirect_user")+"?"+url.Values{
		"client_id": {s.client.id}, "ticket": {need.text("ticket")}, "claims_redirect_uri": {w.RedirectURI}, "state": {"a state & more"},
	}.Encode(), w.RedirectURI, "alice", w.Users["alice"])
	require.Equal(t, "a state & more", back.Query().Get("state"))
	next := back.Query().Get("ticket")
	require.NotEmpty(t, next)
	require.NotEqual(t, need.text("ticket"), next)
	require.Positive(t, b.Forms)

	r := s.grant(t, next, nil)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, map[string][]string{s.id: {"view"}}, w.permissions(t, s.rs, r.text("access_token")))
}

func ownerIsAsked(t *testing.T, w *world) {
	t.Helper()
	s := w.newScene(t)
	approve := w.AskOwner(t, Policy{ResourceServer: s.rs.id, ResourceID: s.id, ResourceName: "album", User: "alice"})
	r := s.grant(t, s.ticket(t), s.push(t, "bob"))
	require.Equal(t, http.StatusForbidden, r.status, r.raw)
	require.Equal(t, "request_submitted", r.text("error"))
	require.Positive(t, r.body["interval"])
	// Polling before the answer: the same, with a new ticket.
	again := s.grant(t, r.text("ticket"), nil)
	require.Equal(t, "request_submitted", again.text("error"), again.raw)
	require.NotEqual(t, r.text("ticket"), again.text("ticket"))
	approve()
	r = s.grant(t, again.text("ticket"), nil)
	require.Equal(t, http.StatusOK, r.status, r.raw)
	require.Equal(t, map[string][]string{s.id: {"view"}}, w.permissions(t, s.rs, r.text("access_token")))
}
