package oxd_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

// gathered is a person who has been at the AS: what uma_rp_get_rpt is asked with then.
func (k *umaKit) gathered(t *testing.T, id, redirect string) map[string]any {
	t.Helper()
	refused := k.fails(t, "need_info", "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": k.ticket(t, id, "GET", "/photo")})
	details, _ := refused["details"].(map[string]any)
	got := k.ok(t, "uma_rp_get_claims_gathering_url", map[string]any{"oxd_id": id, "ticket": details["ticket"], "claims_redirect_uri": redirect})
	came := browser.New(t, nil).Visit(t, mustText(t, got["url"]), redirect, "alice", "alice").Query()
	return map[string]any{"oxd_id": id, "ticket": came.Get("ticket"), "state": came.Get("state")}
}

// TestStateOfFailedExchange: what failed may be tried again with the same state, and
// what succeeded not.
func TestStateOfFailedExchange(t *testing.T) {
	t.Parallel()
	const redirect = "https://app.example.com/claims"
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, map[string]any{"claims_redirect_uri": []string{redirect}})
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	exchange := k.gathered(t, id, redirect)
	for _, fault := range []struct {
		kind devas.FaultKind
		code string
	}{{devas.FaultDown, "internal_error"}, {devas.FaultStatus, "http_status_500"}, {devas.FaultRateLimit, "http_status_429"}, {devas.FaultHTML, "internal_error"}} {
		require.NoError(t, k.op.SetFault(devas.Fault{Endpoint: devas.EndpointToken, Kind: fault.kind}))
		k.fails(t, fault.code, "uma_rp_get_rpt", exchange)
		k.op.ClearFaults("")
	}
	wrong := map[string]any{"oxd_id": id, "ticket": "another", "state": exchange["state"]}
	k.fails(t, "invalid_ticket", "uma_rp_get_rpt", wrong)
	got := k.ok(t, "uma_rp_get_rpt", exchange)
	require.Equal(t, got, k.ok(t, "uma_rp_get_rpt", exchange), "the same answer for the same question")
	k.fails(t, "bad_request", "uma_rp_get_rpt", wrong)
}

// held is a transport that holds the calls of a token endpoint back.
type held struct {
	entered, release chan struct{}
}

func (h *held) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPost && r.URL.Path == "/token" {
		h.entered <- struct{}{}
		<-h.release
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestStateOfTwoAtATime: of two who come with the same state, one has it.
func TestStateOfTwoAtATime(t *testing.T) {
	t.Parallel()
	const redirect = "https://app.example.com/claims"
	k := newUMAKit(t, devas.Options{})
	id := k.register(t, map[string]any{"claims_redirect_uri": []string{redirect}})
	k.protect(t, id, photo, nil)
	k.permit(t, "[GET] /photo")
	exchange := k.gathered(t, id, redirect)
	h := &held{entered: make(chan struct{}), release: make(chan struct{})}
	slow, err := oxd.New(oxd.Config{Store: k.store, OPs: []oxd.OP{{Host: k.op.Issuer(), Transport: h, Timeout: time.Minute}}, DefaultOP: k.op.Issuer()})
	require.NoError(t, err)
	params, err := json.Marshal(exchange)
	require.NoError(t, err)
	first := make(chan oxd.Response, 1)
	go func() { first <- slow.Handle(t.Context(), "uma_rp_get_rpt", params, secret.Text{}) }()
	<-h.entered
	k.fails(t, "bad_request", "uma_rp_get_rpt", exchange)
	k.fails(t, "bad_request", "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": exchange["ticket"], "state": exchange["state"], "scope": "view"})
	close(h.release)
	got := <-first
	require.True(t, got.OK(), got.Data)
	k.fails(t, "bad_request", "uma_rp_get_rpt", map[string]any{"oxd_id": id, "ticket": "another", "state": exchange["state"]})
}

// TestStateOfFailedLogin: an OP that did not answer has not used up the login.
func TestStateOfFailedLogin(t *testing.T) {
	t.Parallel()
	l := newLiar(t, nil)
	k := lyingKit(t, l, 30*time.Second)
	id := k.register(t, map[string]any{"client_id": "client-1", "client_secret": "hush"})
	address, err := url.Parse(k.ok(t, "get_authorization_url", map[string]any{"oxd_id": id})["authorization_url"].(string))
	require.NoError(t, err)
	state, nonce := address.Query().Get("state"), address.Query().Get("nonce")
	params := map[string]any{"oxd_id": id, "code": "the-code", "state": state}
	failing := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for _, step := range []struct {
		answer http.HandlerFunc
		code   string
	}{
		{func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "internal_error"},
		{failing(http.StatusServiceUnavailable), "http_status_503"},
		{failing(http.StatusTooManyRequests), "http_status_429"},
	} {
		l.answerToken(step.answer)
		k.fails(t, step.code, "get_tokens_by_code", params)
	}
	now := time.Now()
	l.answerToken(answers(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, l.keys[0], jose.ES256, map[string]any{
		"iss": l.URL, "sub": "alice", "aud": "client-1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": nonce,
	})}))
	k.ok(t, "get_tokens_by_code", params)
	k.fails(t, "bad_request", "get_tokens_by_code", params)

	// An OP that said no has decided.
	address, err = url.Parse(k.ok(t, "get_authorization_url", map[string]any{"oxd_id": id})["authorization_url"].(string))
	require.NoError(t, err)
	params["state"] = address.Query().Get("state")
	l.answerToken(failing(http.StatusBadRequest))
	k.fails(t, "http_status_400", "get_tokens_by_code", params)
	k.fails(t, "bad_request", "get_tokens_by_code", params)
}

func (l *liar) answerToken(with http.HandlerFunc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.token = with
}
