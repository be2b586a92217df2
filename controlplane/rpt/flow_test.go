package rpt_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/loopback"
	"github.com/umagate/umagate/controlplane/rpt"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
)

// recorder keeps the steps, and proves that none shows a credential.
type recorder struct{ steps []rpt.Step }

func (r *recorder) observe(s rpt.Step) { r.steps = append(r.steps, s) }

func (r *recorder) requireNo(t *testing.T, secrets ...string) {
	t.Helper()
	text, err := json.Marshal(r.steps)
	require.NoError(t, err)
	for _, s := range secrets {
		require.NotContains(t, string(text), s)
	}
}

func TestFlow(t *testing.T) {
	t.Parallel()
	password := func(text string) func(context.Context, string) (secret.Text, error) {
		return func(context.Context, string) (secret.Text, error) { return secret.New(text), nil }
	}
	basic := func(id, text string) clientauth.Auth {
		auth, err := clientauth.NewSecret(clientauth.SecretBasic, id, secret.New(text), nil)
		require.NoError(t, err)
		return auth
	}
	app := rpt.Credentials{Client: basic("app", "app-secret"), Scopes: []string{"openid"}}
	robot := rpt.Credentials{Client: basic("robot", "robot-secret")}
	dialects := map[string]devas.Dialect{"generic": {}, "keycloak": devas.Keycloak()}
	tests := []struct {
		name  string
		party rpt.Party
		as    rpt.Credentials
		mode  rpt.PartyMode
		err   error
	}{
		{"alice", rpt.Password{Credentials: app, User: "alice", Ask: password("alice-password")}, app, rpt.PartyAuto, nil},
		{"alice by bearer", rpt.Password{Credentials: app, User: "alice", Ask: password("alice-password")}, app, rpt.PartyBearer, nil},
		{"bob is not permitted", rpt.Password{Credentials: app, User: "bob", Ask: password("bob-password")}, app, rpt.PartyAuto, rpt.ErrDenied},
		{"wrong password", rpt.Password{Credentials: app, User: "alice", Ask: password("bob-password")}, app, rpt.PartyAuto, rpt.ErrDenied},
		{"a client of its own", rpt.ClientCredentials{Credentials: robot}, robot, rpt.PartyAuto, nil},
		{"wrong secret", rpt.ClientCredentials{Credentials: rpt.Credentials{Client: basic("robot", "x")}}, robot, rpt.PartyAuto, rpt.ErrDenied},
	}
	for name, dialect := range dialects {
		w := newWorld(t, dialect)
		for _, tt := range tests {
			t.Run(name+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				var seen recorder
				flow := rpt.Flow{Client: tt.as.Client, Party: tt.party, PartyMode: tt.mode, Observe: seen.observe}
				got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: w.api.URL + "/albums/1", Header: http.Header{"Host": {"photos.example.com"}}})
				seen.requireNo(t, "alice-password", "bob-password", "app-secret", "robot-secret")
				if tt.err != nil {
					require.ErrorIs(t, err, tt.err)
					require.Equal(t, http.StatusUnauthorized, got.Answer.Status)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "an album of photos.example.com", string(got.Answer.Body))
				seen.requireNo(t, got.RPT.Reveal())
				require.Equal(t, "ask again, with the RPT", seen.steps[len(seen.steps)-1].Title)
			})
		}
	}
}

func answers(status int, body map[string]any) func(url.Values) (int, map[string]any) {
	return func(url.Values) (int, map[string]any) { return status, body }
}

func TestGatherClaims(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	s.answers = []func(url.Values) (int, map[string]any){
		answers(403, map[string]any{"error": "need_info", "ticket": "t1", "redirect_user": s.URL + "/claims?keep=1"}),
		answers(200, map[string]any{"access_token": "rpt", "token_type": "Bearer", "pct": "the-pct"}),
	}
	api := challenging(t, s.URL)
	var asked url.Values
	show := func(ctx context.Context, address string) error {
		u, err := url.Parse(address)
		if err != nil {
			return err
		}
		asked = u.Query()
		go visit(ctx, address)
		return nil
	}
	flow := rpt.Flow{Client: clientauth.NewPublic("app"), Party: rpt.Anonymous{}, Gather: rpt.GatherClaims("", show)}
	got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: api.URL})
	require.NoError(t, err)
	require.Equal(t, "the album", string(got.Answer.Body))
	require.Equal(t, "the-pct", got.PCT.Reveal())
	require.Equal(t, []string{"1", "app", "t1"}, []string{asked.Get("keep"), asked.Get("client_id"), asked.Get("ticket")})
	require.Equal(t, []string{"t0", "t1-gathered"}, []string{s.forms[0].Get("ticket"), s.forms[1].Get("ticket")})
	require.Equal(t, "app", s.forms[1].Get("client_id"))
	require.Empty(t, s.forms[1].Get("claim_token"))
}

func TestGatherOpensWebPagesOnly(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"file://host/share/app", "javascript://host/%0aalert(1)", "http://192.0.2.1/claims", "mailto:a@b"} {
		for _, expect := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%t", address, expect), func(t *testing.T) {
				t.Parallel()
				s := newScripted(t, answers(403, map[string]any{"error": "need_info", "ticket": "t1", "redirect_user": address}))
				flow := rpt.Flow{Client: clientauth.NewPublic("app"), Party: rpt.Anonymous{}, Gather: func(context.Context, *url.URL) (string, error) {
					t.Error("it was opened")
					return "t2", nil
				}}
				if expect {
					flow.ExpectAS = s.URL
				}
				_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
				require.Error(t, err)
			})
		}
	}
}

func TestWordsOfTheASDoNotReachTheTerminal(t *testing.T) {
	t.Parallel()
	s := newScripted(t, answers(403, map[string]any{"error": "a\x1b]0;b", "error_description": "c\x1b[2Jd\u202ee"}))
	var seen recorder
	flow := rpt.Flow{Client: clientauth.NewPublic("app"), Party: rpt.Anonymous{}, Observe: seen.observe}
	_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
	require.ErrorIs(t, err, rpt.ErrDenied)
	shown := err.Error()
	for _, step := range seen.steps {
		shown += step.Note
	}
	require.NotContains(t, shown, "\x1b")
	require.NotContains(t, shown, "\u202e")
}

// visit is a browser. What comes of it is seen at the AS.
func visit(ctx context.Context, address string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return
	}
	if resp, err := http.DefaultClient.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

func TestBrowser(t *testing.T) {
	t.Parallel()
	s := newScripted(t,
		answers(200, map[string]any{"access_token": "access", "id_token": "id-token", "token_type": "Bearer"}),
		answers(200, map[string]any{"access_token": "rpt", "token_type": "Bearer"}))
	api := challenging(t, s.URL)
	show := func(ctx context.Context, address string) error {
		go visit(ctx, address)
		return nil
	}
	party := rpt.Browser{Credentials: rpt.Credentials{Client: clientauth.NewPublic("app"), Scopes: []string{"openid"}}, Show: show}
	flow := rpt.Flow{Client: clientauth.NewPublic("app"), Party: party}
	_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: api.URL})
	require.NoError(t, err)
	require.Equal(t, "S256", s.logins[0].Get("code_challenge_method"))
	require.NotEmpty(t, s.forms[0].Get("code_verifier"))
	require.Equal(t, s.logins[0].Get("redirect_uri"), s.forms[0].Get("redirect_uri"))
	require.Equal(t, "id-token", s.forms[1].Get("claim_token"), "an ID token says most")
}

func TestOwnerIsAsked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer map[string]any
		ticket string
	}{
		{"as the specification has it", map[string]any{"error": "request_submitted", "ticket": "t1", "interval": 7}, "t1"},
		{"as Keycloak has it", map[string]any{"error": "access_denied", "error_description": "request_submitted"}, "t0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newScripted(t, answers(403, tt.answer), answers(200, map[string]any{"access_token": "rpt", "token_type": "Bearer"}))
			api := challenging(t, s.URL)
			var waited int
			flow := rpt.Flow{Party: rpt.StaticToken{Access: secret.New("a")}, Client: clientauth.NewPublic("app"), Wait: func(_ context.Context, seconds int) error {
				waited = seconds
				return nil
			}}
			_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: api.URL})
			require.NoError(t, err)
			require.Equal(t, tt.ticket, s.forms[1].Get("ticket"))
			require.Positive(t, waited)
			if tt.answer["interval"] != nil {
				require.Equal(t, 7, waited)
			}
		})
	}
	t.Run("not waited for", func(t *testing.T) {
		t.Parallel()
		s := newScripted(t, answers(403, tests[0].answer))
		flow := rpt.Flow{Party: rpt.StaticToken{Access: secret.New("a")}, Client: clientauth.NewPublic("app")}
		_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
		require.ErrorIs(t, err, rpt.ErrDenied)
		require.ErrorContains(t, err, "the resource owner has been asked")
	})
	t.Run("never answers", func(t *testing.T) {
		t.Parallel()
		s := newScripted(t, answers(403, tests[0].answer))
		flow := rpt.Flow{Party: rpt.StaticToken{Access: secret.New("a")}, Client: clientauth.NewPublic("app"), Wait: func(context.Context, int) error { return context.DeadlineExceeded }}
		_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
		require.ErrorIs(t, err, rpt.ErrDenied)
	})
}

func TestWhatCanGoWrong(t *testing.T) {
	t.Parallel()
	api := func(t *testing.T, status int, challenge string) string {
		t.Helper()
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	tests := []struct {
		name      string
		challenge string
		expectAS  string
		err       error
	}{
		{"another scheme", `Bearer realm="x"`, "", rpt.ErrNoChallenge},
		{"malformed", `UMA ticket="`, "", rpt.ErrChallenge},
		{"no ticket", `UMA as_uri="https://as.example.com"`, "", rpt.ErrChallenge},
		{"no as_uri", `UMA ticket="t"`, "", rpt.ErrChallenge},
		{"http elsewhere", `UMA as_uri="http://as.example.com", ticket="t"`, "", rpt.ErrUntrustedAS},
		{"another scheme of URL", `UMA as_uri="file:///etc/passwd", ticket="t"`, "", rpt.ErrUntrustedAS},
		{"not the one expected", `UMA as_uri="https://evil.example.com", ticket="t"`, "https://as.example.com", rpt.ErrUntrustedAS},
		{"AS is down", `UMA as_uri="http://127.0.0.1:1", ticket="t"`, "", as.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			flow := rpt.Flow{Party: refusing{}, ExpectAS: tt.expectAS}
			got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: api(t, 401, tt.challenge)})
			require.ErrorIs(t, err, tt.err)
			require.Equal(t, 401, got.Answer.Status)
		})
	}
	t.Run("no need for a token", func(t *testing.T) {
		t.Parallel()
		flow := rpt.Flow{Party: refusing{}}
		got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: api(t, 204, "")})
		require.NoError(t, err)
		require.Equal(t, 204, got.Answer.Status)
		require.True(t, got.RPT.IsZero())
	})
	t.Run("the AS answers no JSON", func(t *testing.T) {
		t.Parallel()
		s := newScripted(t)
		flow := rpt.Flow{Party: rpt.StaticToken{Access: secret.New("a")}, Client: clientauth.NewPublic("app")}
		_, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
		require.ErrorIs(t, err, rpt.ErrDenied)
	})
	t.Run("the API does not take the RPT", func(t *testing.T) {
		t.Parallel()
		s := newScripted(t, answers(200, map[string]any{"access_token": "other", "token_type": "Bearer"}))
		flow := rpt.Flow{Party: rpt.StaticToken{Access: secret.New("a")}, Client: clientauth.NewPublic("app")}
		got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: challenging(t, s.URL).URL})
		require.ErrorIs(t, err, rpt.ErrNotPermitted)
		require.Equal(t, "other", got.RPT.Reveal())
	})
	t.Run("a redirect is shown, not followed", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewServer(http.RedirectHandler("http://127.0.0.1:1/", http.StatusFound))
		t.Cleanup(s.Close)
		flow := rpt.Flow{Party: refusing{}}
		got, err := flow.Run(t.Context(), rpt.Request{Method: http.MethodGet, URL: s.URL})
		require.NoError(t, err)
		require.Equal(t, http.StatusFound, got.Answer.Status)
	})
	t.Run("loopback only", func(t *testing.T) {
		t.Parallel()
		_, err := rpt.GatherClaims("0.0.0.0:0", nil)(t.Context(), &url.URL{})
		require.ErrorIs(t, err, loopback.ErrNoAnswer)
	})
}

// refusing is a party that must not be asked.
type refusing struct{}

func (refusing) Token(context.Context, *as.Server, func(rpt.Step)) (rpt.PartyToken, error) {
	return rpt.PartyToken{}, errors.New("the party was asked for its token")
}
