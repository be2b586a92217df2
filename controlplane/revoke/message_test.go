package revoke_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/revoke"
)

// everybody may do everything.
type everybody struct{}

func (everybody) Authenticate(*http.Request) (api.Caller, error) {
	return api.Caller{Name: "test", Role: api.Write}, nil
}

func call(t *testing.T, r *rig, method, path, media, body string) *httptest.ResponseRecorder {
	t.Helper()
	router, err := api.New(api.Options{Logger: slog.New(slog.DiscardHandler), Authenticator: everybody{}, Recorder: r}, r.Operations()...)
	require.NoError(t, err)
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if media != "" {
		req.Header.Set("Content-Type", media)
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, req)
	return w
}

func show(t *testing.T, r *rig, method, path, body string) revoke.Revocation {
	t.Helper()
	media := ""
	if body != "" {
		media = "application/json"
	}
	w := call(t, r, method, path, media, body)
	require.Less(t, w.Code, 300, w.Body)
	var out revoke.Revocation
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	return out
}

// TestLogoutToken breaks each rule of OpenID Connect Back-Channel Logout 1.0 section 2.6.
func TestLogoutToken(t *testing.T) {
	t.Parallel()
	const event = "http://schemas.openid.net/event/backchannel-logout"
	tests := []struct {
		name   string
		change func(r *rig, claims map[string]any)
		sign   func(r *rig, claims map[string]any) string
		want   int
	}{
		{name: "of a session", want: 200},
		{name: "of a subject", change: func(_ *rig, c map[string]any) { delete(c, "sid") }, want: 200},
		{name: "of a session without subject", change: func(_ *rig, c map[string]any) { delete(c, "sub") }, want: 200},
		{name: "of an alias of the issuer", change: func(_ *rig, c map[string]any) { c["iss"] = alias }, want: 200},
		{name: "for several audiences", change: func(_ *rig, c map[string]any) { c["aud"] = []string{"other", "rs"} }, want: 200},
		{name: "of neither", change: func(_ *rig, c map[string]any) { delete(c, "sid"); delete(c, "sub") }, want: 400},
		{name: "of an alias of the issuer with a slash", change: func(_ *rig, c map[string]any) { c["iss"] = alias + "/" }, want: 400},
		{name: "of another issuer", change: func(_ *rig, c map[string]any) { c["iss"] = "https://other.example.com" }, want: 400},
		{name: "for another client", change: func(_ *rig, c map[string]any) { c["aud"] = "other" }, want: 400},
		{name: "for nobody", change: func(_ *rig, c map[string]any) { delete(c, "aud") }, want: 400},
		{name: "of ten minutes ago", change: func(r *rig, c map[string]any) { c["iat"] = r.now.Unix() - 601 }, want: 400},
		{name: "of the future", change: func(r *rig, c map[string]any) { c["iat"] = r.now.Unix() + 61 }, want: 400},
		{name: "issued at no time", change: func(_ *rig, c map[string]any) { delete(c, "iat") }, want: 400},
		{name: "expired", change: func(r *rig, c map[string]any) { c["exp"] = r.now.Unix() - 61 }, want: 400},
		{name: "without end", change: func(_ *rig, c map[string]any) { delete(c, "exp") }, want: 400},
		{name: "no event", change: func(_ *rig, c map[string]any) { delete(c, "events") }, want: 400},
		{name: "another event", change: func(_ *rig, c map[string]any) { c["events"] = map[string]any{"x": map[string]any{}} }, want: 400},
		{name: "an ID token", change: func(_ *rig, c map[string]any) { c["nonce"] = "n" }, want: 400},
		{name: "a nonce of null", change: func(_ *rig, c map[string]any) { c["nonce"] = nil }, want: 400},
		{name: "no jti", change: func(_ *rig, c map[string]any) { delete(c, "jti") }, want: 400},
		{name: "signed by nobody", sign: func(*rig, map[string]any) string { return "eyJhbGciOiJub25lIn0.e30." }, want: 400},
		{name: "signed with a password", sign: func(_ *rig, c map[string]any) string {
			return signWith(t, jose.SigningKey{Algorithm: jose.HS256, Key: bytes.Repeat([]byte("k"), 32)}, c)
		}, want: 400},
		{name: "signed by another", sign: func(_ *rig, c map[string]any) string { return newRig(t).sign(c) }, want: 400},
		{name: "no JWT", sign: func(*rig, map[string]any) string { return "x" }, want: 400},
		{name: "nothing", sign: func(*rig, map[string]any) string { return "" }, want: 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			claims := map[string]any{
				"iss": r.as.URL, "aud": "app", "iat": r.now.Unix(), "exp": r.now.Unix() + 120, "jti": "j1", "sub": "bob", "sid": "s1",
				"events": map[string]any{event: map[string]any{}},
			}
			if tt.change != nil {
				tt.change(r, claims)
			}
			sign := tt.sign
			if sign == nil {
				sign = func(r *rig, c map[string]any) string { return r.sign(c) }
			}
			body := url.Values{"logout_token": {sign(r, claims)}}.Encode()
			const path, form = "/v1/sites/photos/backchannel-logout", "application/x-www-form-urlencoded"
			w := call(t, r, "POST", path, form, body)
			require.Equal(t, tt.want, w.Code, w.Body)
			require.Contains(t, w.Header().Get("Cache-Control"), "no-store")
			l := r.compiled("photos")
			if tt.want != 200 {
				require.Empty(t, l)
				return
			}
			require.Equal(t, audit.KindAS, r.events[0].Actor.Kind)
			if _, ok := claims["sid"]; ok {
				_, found := l.Sessions.Find("s1")
				require.True(t, found)
				require.Empty(t, l.Subjects, "who has logged in again elsewhere stays")
			} else {
				d, found := l.Subjects.Find("bob")
				require.True(t, found)
				require.Equal(t, r.now.Unix()+1, d.IssuedBefore)
			}
			changes := r.changes
			require.Equal(t, 400, call(t, r, "POST", path, form, body).Code, "taken before")
			require.Equal(t, changes, r.changes)
			require.Equal(t, 415, call(t, r, "POST", path, "application/json", body).Code)
			require.Equal(t, 400, call(t, r, "POST", path, form, body+"&"+body).Code)
			require.Equal(t, 404, call(t, r, "POST", strings.Replace(path, "photos", "elsewhere", 1), form, body).Code)
			require.Equal(t, 503, call(t, r, "POST", strings.Replace(path, "photos", "films", 1), form, body).Code, "its AS is not known yet")
		})
	}
}

// TestKeysRotate: a new key is noticed, and made-up ones do not make umagate ask
// the AS without end.
func TestKeysRotate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	push := func(id string) error {
		return r.AdminAction(t.Context(), "photos", "PUSH_NOT_BEFORE", r.sign(map[string]any{
			"id": id, "expiration": r.now.Unix() + 30, "resource": "rs", "action": "PUSH_NOT_BEFORE", "notBefore": r.now.Unix(),
		}))
	}
	require.NoError(t, push("1"))
	r.rotate("k2")
	require.NoError(t, push("2"))
	require.Equal(t, 2, r.reads)
	stranger := newRig(t)
	for range 20 {
		require.ErrorIs(t, r.AdminAction(t.Context(), "photos", "PUSH_NOT_BEFORE", stranger.sign(map[string]any{"id": "3"})), revoke.ErrMessage)
	}
	require.LessOrEqual(t, r.reads, 5)
	require.NoError(t, push("4"), "what is known is verified meanwhile")
	r.now = r.now.Add(10 * time.Second)
	r.rotate("k3")
	require.NoError(t, push("5"))
}

func TestKeycloakMessages(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change map[string]any
		want   int
		judge  func(r *rig) bool
	}{
		{"for the site's client", nil, 204, func(r *rig) bool { return r.compiled("photos").IssuedBefore == r.now.Unix()-5 }},
		{"for an application", map[string]any{"resource": "app"}, 204, func(r *rig) bool {
			d, ok := r.compiled("photos").ClientIDs.Find("app")
			return ok && d.IssuedBefore == r.now.Unix()-5
		}},
		{"for sessions", map[string]any{"keycloakSessionIds": []string{"s1", "s2"}}, 204, func(r *rig) bool {
			return r.compiled("photos").Sessions.Len() == 2 && r.compiled("photos").IssuedBefore == 0
		}},
		{"none is set", map[string]any{"notBefore": 0}, 204, func(r *rig) bool { return r.changes == 0 }},
		{"for a stranger", map[string]any{"resource": "other"}, 400, nil},
		{"another action", map[string]any{"action": "TEST_AVAILABILITY"}, 400, nil},
		{"expired", map[string]any{"expiration": 1_800_000_000 - 61}, 400, nil},
		{"does not expire soon", map[string]any{"expiration": 1_900_000_000}, 400, nil},
		{"no id", map[string]any{"id": ""}, 400, nil},
		{"before the future", map[string]any{"notBefore": 1_900_000_000}, 400, nil},
		{"an access token", map[string]any{"action": nil, "exp": 1_900_000_000}, 400, nil},
	}
	for _, tt := range tests {
		for operation, action := range map[string]string{"k_push_not_before": "PUSH_NOT_BEFORE", "k_logout": "LOGOUT"} {
			t.Run(tt.name+" "+operation, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				claims := map[string]any{"id": "1", "expiration": r.now.Unix() + 30, "resource": "rs", "action": action, "notBefore": r.now.Unix() - 5}
				maps.Copy(claims, tt.change)
				message := r.sign(claims)
				path := "/v1/sites/photos/keycloak/" + operation
				w := call(t, r, "POST", path, "text/plain; charset=ISO-8859-1", message)
				require.Equal(t, tt.want, w.Code, w.Body)
				if tt.judge == nil {
					require.Empty(t, r.compiled("photos"))
					return
				}
				require.True(t, tt.judge(r))
				require.Equal(t, 400, call(t, r, "POST", path, "text/plain", message).Code, "taken before")
			})
		}
	}
}

func TestNotBeforeIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	run := func(until func() bool) {
		t.Helper()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		require.Eventually(t, until, 2*time.Minute, time.Millisecond)
		stop()
		<-done
	}
	set := func(text string, passed time.Duration) {
		r.mu.Lock()
		r.notBefore = text
		r.mu.Unlock()
		r.now = r.now.Add(passed)
	}
	at := r.now.Unix() - 10
	set(fmt.Sprintf(`{"realm":"x","tokens-not-before":%d}`, at), 0)
	run(func() bool { return r.compiled("photos").IssuedBefore == at })
	require.Equal(t, audit.Actor{Kind: audit.KindAS, Name: r.as.URL}, r.events[0].Actor)
	set(fmt.Sprintf(`{"tokens-not-before":%d}`, at+5), time.Second)
	run(func() bool { return r.compiled("photos").IssuedBefore == at+5 })
	// Taken back at Keycloak, it stays here until its tokens have ended.
	set(`{"tokens-not-before":0}`, time.Second)
	_, err := r.Revoke(t.Context(), revoke.Spec{Kind: revoke.Session, Value: "s"})
	require.NoError(t, err)
	require.Equal(t, at+5, r.compiled("photos").IssuedBefore)
}

// TestNotBeforeThatCannotBeRead: who asks for the site is told, and told soon when it
// can be read again.
func TestNotBeforeThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	told := make(chan error, 1)
	sites := r.sites[0]
	sites.NotBeforeEvery = time.Hour
	sites.NotBeforeRead = func(err error) { told <- err }
	r.sites = []revoke.Site{sites}
	for _, document := range []string{`<html>`, `{"realm":"x"}`, `{"tokens-not-before":0}`} {
		r.mu.Lock()
		r.notBefore = document
		r.mu.Unlock()
		r.now = r.now.Add(5 * time.Second)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		err := <-told
		stop()
		<-done
		if strings.Contains(document, "tokens-not-before") {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, sites.NotBeforeURL)
		}
	}
}

func TestOperations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		want       int
		kind       revoke.Kind
	}{
		{"token", `{"token":"t","site":"photos"}`, 201, revoke.Token},
		{"as long a token as an answer of the AS", `{"token":"` + strings.Repeat("t", as.MaxBody) + `"}`, 201, revoke.Token},
		{"a longer one", `{"token":"` + strings.Repeat("t", as.MaxBody+1) + `"}`, 400, ""},
		{"subject", `{"subject":"bob"}`, 201, revoke.Subject},
		{"client", `{"client_id":"app"}`, 201, revoke.Client},
		{"session", `{"session_id":"s"}`, 201, revoke.Session},
		{"issued before", `{"issued_before":"2026-01-31T12:00:00Z"}`, 201, revoke.Issued},
		{"subject before", `{"subject":"bob","issued_before":"2026-01-31T12:00:00Z"}`, 201, revoke.Subject},
		{"nothing", `{}`, 400, ""},
		{"two", `{"subject":"bob","client_id":"app"}`, 400, ""},
		{"session before", `{"session_id":"s","issued_before":"2026-01-31T12:00:00Z"}`, 400, ""},
		{"beyond time", `{"subject":"s","issued_before":"9999-12-31T23:59:59Z"}`, 400, ""},
		{"a subject at the AS", `{"subject":"bob","at_authorization_server":true}`, 400, ""},
		{"no such site", `{"subject":"bob","site":"elsewhere"}`, 404, ""},
		{"unknown member", `{"subject":"bob","x":1}`, 400, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := call(t, r, "POST", "/v1/revocations", "application/json", tt.body)
			require.Equal(t, tt.want, w.Code, w.Body)
			if tt.want != 201 {
				return
			}
			var made revoke.Revocation
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &made))
			require.Equal(t, tt.kind, made.Kind)
			require.Equal(t, tt.kind == revoke.Token, made.SHA256 != "")
			got := show(t, r, "GET", w.Header().Get("Location"), "")
			require.Equal(t, made, got)
			require.Contains(t, call(t, r, "GET", "/v1/revocations", "", "").Body.String(), made.ID)
			require.Equal(t, 204, call(t, r, "DELETE", "/v1/revocations/"+made.ID, "", "").Code)
			require.Equal(t, 404, call(t, r, "DELETE", "/v1/revocations/"+made.ID, "", "").Code)
			require.Equal(t, 404, call(t, r, "GET", "/v1/revocations/"+made.ID, "", "").Code)
			require.Equal(t, audit.RevocationDelete, r.events[1].Action)
		})
	}
}
