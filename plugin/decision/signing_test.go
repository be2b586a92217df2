package decision_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// internalTokens has the API told in a signed token.
func internalTokens(c *config.Config) {
	c.Sites[0].InternalToken = &config.InternalToken{
		Header: "x-uma-token", Issuer: "umagate/photos", Audience: []string{"https://api.internal"}, TTLS: 60,
		Claims: []config.TokenClaim{{Name: "groups", Path: []string{"groups"}}, {Name: "roles", Path: []string{"realm_access", "roles"}}},
		Key:    config.Endpoint{Cluster: "keys", Scheme: "http", Authority: "control-plane", Path: "/key"},
	}
}

func seedOf(n byte) []byte { return []byte(strings.Repeat(string('a'+rune(n)), ed25519.SeedSize)) }

// keyAnswer is the nth key, renewed after an hour and usable for two.
func keyAnswer(n byte) string {
	return fmt.Sprintf(`{"kid":"k%d","key":%q,"renew_in":3600,"expires_in":7200}`, n, base64.RawURLEncoding.EncodeToString(seedOf(n)))
}

// verified reads an internal token as an API does, by a JOSE library and the public key.
func verified(t *testing.T, n byte, token string) map[string]any {
	t.Helper()
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	require.NoError(t, err, token)
	header := signed.Signatures[0].Header
	require.Equal(t, fmt.Sprint("k", n), header.KeyID)
	require.Equal(t, decision.TokenType, header.ExtraHeaders[jose.HeaderType])
	payload, err := signed.Verify(ed25519.NewKeyFromSeed(seedOf(n)).Public())
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(payload, &claims))
	return claims
}

// told is the one internal token of an allowed request.
func told(t *testing.T, step decision.Step) string {
	t.Helper()
	require.Equal(t, decision.KindAllow, step.Kind)
	return value(t, step.Allow.Set, "x-uma-token")
}

// introspected starts a request, and answers its introspection.
func (h *harness) introspected(r *decision.Request, body string) (*decision.Exchange, decision.Step) {
	h.t.Helper()
	x, step := h.start(r)
	require.Equal(h.t, "call introspection", outcome(x, step))
	return x, h.reply(step, 200, body)
}

// TestWithdrawnKey: once the file has another version, no key of the one before signs, and
// none that was asked for with it.
func TestWithdrawnKey(t *testing.T) {
	second := func(c *config.Config) {
		internalTokens(c)
		c.Sites[0].InternalToken.KeyVersion = 2
	}
	h := newHarness(t, internalTokens)
	body := withMembers(`"groups":["staff"]`)
	_, step := h.introspected(ask("GET", "/albums/1", "token"), body)
	verified(t, 0, told(t, h.reply(step, 200, keyAnswer(0))))
	h.configure(second)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call signing_key", outcome(x, step), "though the key is good for an hour, and a token is kept")
	require.JSONEq(t, `{"site":"photos","version":2}`, string(step.Call.Body))
	verified(t, 1, told(t, h.reply(step, 200, keyAnswer(1))))
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "allow permitted", outcome(x, step))

	h = newHarness(t, internalTokens)
	x, step = h.introspected(ask("GET", "/albums/1", "token"), body)
	require.Equal(t, "call signing_key", outcome(x, step))
	h.configure(second)
	late, wants := h.start(ask("GET", "/albums/1", "token"))
	require.True(t, wants.Kind == decision.KindCall && wants.Call.Shared, "it waits for the call of before")
	outcomes := h.worker.Reply(step.Call.ID, answer(200, keyAnswer(0)), h.now)
	for i := range outcomes {
		if outcomes[i].Exchange == late {
			require.Equal(t, "call signing_key", outcome(late, outcomes[i].Step), "and asks for its own")
			require.Contains(t, string(outcomes[i].Step.Call.Body), `"version":2`)
			return
		}
	}
	for _, o := range h.worker.Next(h.now) {
		if o.Exchange == late {
			require.Equal(t, "call signing_key", outcome(late, o.Step), "and asks for its own")
			return
		}
	}
	t.Fatal("the late request got no step")
}

func TestInternalToken(t *testing.T) {
	h := newHarness(t, internalTokens)
	forged := ask("GET", "/albums/1", "token", "x-uma-token", "forged", "X_Uma_Token", "forged")
	x, step := h.introspected(forged, withMembers(`"groups":["staff","a\"b"],"realm_access":{"roles":"x"}`))
	require.Equal(t, "call signing_key", outcome(x, step))
	require.JSONEq(t, `{"site":"photos"}`, string(step.Call.Body))
	require.Equal(t, "keys", step.Call.Cluster)
	step = h.reply(step, 200, keyAnswer(0))
	require.Equal(t, "allow permitted", outcome(x, step))
	require.Subset(t, step.Allow.Remove, []string{"x-uma-token", "X_Uma_Token"})
	first := told(t, step)
	claims := verified(t, 0, first)
	require.Len(t, claims["jti"], 22)
	delete(claims, "jti")
	now := float64(h.now.Unix())
	require.Equal(t, map[string]any{
		"iss": "umagate/photos", "aud": []any{"https://api.internal"}, "iat": now, "exp": now + 60, "sub": "bob", "client_id": "app",
		"groups": []any{"staff", `a"b`}, "roles": []any{"x"},
	}, claims)

	_, step = h.start(forged)
	require.Equal(t, first, told(t, step), "one is signed for a token, not for a request")
	h.after(29 * time.Second)
	_, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, first, told(t, step))
	h.after(time.Second)
	_, step = h.start(ask("GET", "/albums/1", "token"))
	second := told(t, step)
	require.NotEqual(t, first, second, "at least half of its time is left when the API gets it")
	require.NotEqual(t, verified(t, 0, first)["jti"], verified(t, 0, second)["jti"])
	_, step = h.introspected(ask("GET", "/albums/1", "other"), viewR1)
	require.NotEqual(t, verified(t, 0, second)["jti"], verified(t, 0, told(t, step))["jti"])
	require.NotContains(t, verified(t, 0, told(t, step)), "groups")
	require.Equal(t, 3, h.asked, "one key, two tokens")

	// A push of other settings.
	h.configure(internalTokens, siteOf(func(s *config.Site) { s.InternalToken.Audience = []string{"a", "b"} }))
	_, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, []any{"a", "b"}, verified(t, 0, told(t, step))["aud"])
	x, step = h.start(ask("GET", "/healthz", "token", "x-uma-token", "forged"))
	require.Equal(t, "allow public", outcome(x, step))
	require.Empty(t, step.Allow.Set)
	require.Contains(t, step.Allow.Remove, "x-uma-token")
}

// TestInternalTokenEnds: with the token that it is of, and with what is known of that.
func TestInternalTokenEnds(t *testing.T) {
	h := newHarness(t, internalTokens)
	_, step := h.introspected(ask("GET", "/albums/1", "token"), withMembers(fmt.Sprintf(`"exp":%d`, h.now.Unix()+20)))
	token := told(t, h.reply(step, 200, keyAnswer(0)))
	require.EqualValues(t, h.now.Unix()+20, verified(t, 0, token)["exp"])

	h = newHarness(t, internalTokens, siteOf(func(s *config.Site) { s.Token.MaxTTLMS = -1 }))
	x, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
	step = h.reply(step, 200, keyAnswer(0))
	require.Equal(t, "call introspection", outcome(x, step), "the answer may not be true any more")
	require.Equal(t, "bob", verified(t, 0, told(t, h.reply(step, 200, viewR1)))["sub"], "it is signed though nothing is remembered")
	x, step = h.decide(ask("GET", "/albums/1", "token"), unknown)
	require.Equal(t, "401 inactive_token", outcome(x, step))
}

// TestSigningKeyIsRenewed: before it ends, by a call that nobody waits for, and the old one
// signs on while there is no other.
func TestSigningKeyIsRenewed(t *testing.T) {
	h := newHarness(t, internalTokens, siteOf(func(s *config.Site) { s.Token.MaxTTLMS = 100_000_000; s.Token.Refresh = config.RefreshOnDemand }))
	use := func() decision.Step {
		t.Helper()
		x, step := h.start(ask("GET", "/albums/1", "token"))
		require.Equal(t, "allow permitted", outcome(x, step))
		return step
	}
	_, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
	h.reply(step, 200, keyAnswer(0))
	h.after(time.Hour - time.Second)
	use()
	require.Empty(t, h.worker.Due(h.now))
	h.after(time.Second)
	use()
	use()
	due := h.worker.Due(h.now)
	require.Len(t, due, 1)
	require.Equal(t, decision.PurposeSigningKey, due[0].Purpose)
	h.worker.Reply(due[0].ID, answer(503, ""), h.now)
	verified(t, 0, told(t, use()))
	require.Empty(t, h.worker.Due(h.now), "it is not asked again at once")
	h.after(31 * time.Second)
	verified(t, 0, told(t, use()))
	due = h.worker.Due(h.now)
	require.Len(t, due, 1)
	require.Empty(t, h.worker.Reply(due[0].ID, answer(200, keyAnswer(1)), h.now))
	h.after(31 * time.Second)
	verified(t, 1, told(t, use()))
	require.Empty(t, h.worker.Due(h.now))

	// It ends, and there is no other: nothing passes.
	h.after(2 * time.Hour)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call signing_key", outcome(x, step))
	require.Equal(t, "503 no_signing_key", outcome(x, h.reply(step, 500, "")))
}

func TestNoSigningKey(t *testing.T) {
	bad := func(old, with string) string { return strings.Replace(keyAnswer(0), old, with, 1) }
	for name, r := range map[string]decision.Response{
		"no answer": {}, "refused": answer(401, ""), "unknown": answer(404, `{"code":"no_such_site"}`), "failed": answer(500, ""), "busy": busy(503, "9"),
		"no JSON": answer(200, "x"), "not UTF-8": answer(200, "{\"kid\":\"\xff\"}"), "nothing": answer(200, "{}"), "a list": answer(200, "[]"),
		"no name": answer(200, bad(`"k0"`, `""`)), "a name of two lines": answer(200, bad(`"k0"`, `"a\nb"`)), "a name that is a number": answer(200, bad(`"k0"`, `0`)),
		"a long name": answer(200, bad(`k0`, strings.Repeat("k", 129))), "a short key": answer(200, bad(`"key":"`, `"key":"","x":"`)),
		"a long key": answer(200, bad(`"key":"`, `"key":"YWFh`)), "another alphabet": answer(200, bad(`"key":"YWFh`, `"key":"Y+Fh`)),
		"no time": answer(200, bad(`7200`, `0`)), "a time in the past": answer(200, bad(`7200`, `-7200`)), "a time that is a text": answer(200, bad(`7200`, `"7200"`)),
		"too long": answer(200, bad(`7200`, `1e9`)), "renewed after its end": answer(200, bad(`3600`, `7201`)),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, internalTokens)
			x, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
			require.Equal(t, "call signing_key", outcome(x, step))
			other, shared := h.start(ask("GET", "/albums/1", "token"))
			require.True(t, shared.Call.Shared, "one call for all who wait")
			outcomes := h.worker.Reply(step.Call.ID, r, h.now)
			require.Len(t, outcomes, 2)
			for i, x := range []*decision.Exchange{x, other} {
				require.Equal(t, "503 no_signing_key", outcome(x, outcomes[i].Step))
				require.NotEmpty(t, value(t, outcomes[i].Step.Deny.Headers, "retry-after"))
			}
			x, step = h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "503 no_signing_key", outcome(x, step), "nobody is asked for a second")
			x, step = h.start(ask("GET", "/healthz", ""))
			require.Equal(t, "allow public", outcome(x, step))
			x, step = h.decide(ask("PUT", "/albums/1", "token"), "")
			require.Equal(t, "401 insufficient_permission", outcome(x, step), "a refusal needs no key")
			h.after(time.Second)
			_, step = h.start(ask("GET", "/albums/1", "token"))
			verified(t, 0, told(t, h.reply(step, 200, keyAnswer(0))))
		})
	}
	t.Run("in mode monitor", func(t *testing.T) {
		h := newHarness(t, internalTokens, siteOf(func(s *config.Site) { s.Mode = config.ModeMonitor }))
		x, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
		step = h.reply(step, 500, "")
		require.Equal(t, "monitor no_signing_key", outcome(x, step))
		require.Empty(t, step.Allow.Set)
	})
	t.Run("of a clock that was set back", func(t *testing.T) {
		h := newHarness(t, internalTokens)
		_, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
		h.reply(step, 200, keyAnswer(0))
		h.after(-time.Hour)
		x, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
		require.Equal(t, "call signing_key", outcome(x, step))
	})
}

func TestInternalTokenIsBounded(t *testing.T) {
	long := strings.Repeat("x", 4<<10)
	h := newHarness(t, internalTokens)
	_, step := h.introspected(ask("GET", "/albums/1", "token"), withMembers(`"groups":"`+long+`","realm_access":{"roles":["a"]}`))
	claims := verified(t, 0, told(t, h.reply(step, 200, keyAnswer(0))))
	require.NotContains(t, claims, "groups", "half of a list would be another list")
	require.Equal(t, []any{"a"}, claims["roles"])
	require.NotContains(t, claims, "realm_access")
	_, before := h.worker.Cached()
	h.after(31 * time.Second)
	h.start(ask("GET", "/albums/1", "token"))
	_, after := h.worker.Cached()
	require.Equal(t, before, after, "the one before is forgotten")
}

func TestCompileInternalToken(t *testing.T) {
	for at, change := range map[string]func(*config.InternalToken){
		"header":         func(i *config.InternalToken) { i.Header = "x-token" },
		"issuer":         func(i *config.InternalToken) { i.Issuer = "" },
		"audience":       func(i *config.InternalToken) { i.Audience = nil },
		"ttl_s":          func(i *config.InternalToken) { i.TTLS = 301 },
		"key.cluster":    func(i *config.InternalToken) { i.Key.Cluster = "" },
		"claims[0].name": func(i *config.InternalToken) { i.Claims[0].Name = "sub" },
		"claims[1].name": func(i *config.InternalToken) { i.Claims[1].Name = "groups" },
		"claims[0].path": func(i *config.InternalToken) { i.Claims[0].Path = nil },
	} {
		c := photos()
		internalTokens(c)
		change(c.Sites[0].InternalToken)
		_, err := decision.Compile(c)
		require.ErrorContains(t, err, "sites[0].internal_token."+at)
	}
	for _, name := range []string{"x-uma-subject", "x-uma-groups", "x-uma-", "x-uma-Token"} {
		c := photos()
		telling(c)
		internalTokens(c)
		c.Sites[0].InternalToken.Header = name
		_, err := decision.Compile(c)
		require.ErrorContains(t, err, "sites[0].internal_token.header", name)
	}
}

// signingWalks take the rows of the state table about signing keys.
func signingWalks() []walk {
	get := ask("GET", "/albums/1", "token")
	change := []func(*config.Config){internalTokens}
	evaluates := []func(*config.Config){internalTokens, evaluating}
	known := func(h *harness) {
		_, step := h.introspected(get, viewR1)
		h.worker.Reply(step.Call.ID, answer(500, ""), h.now)
	}
	later := func(h *harness) {
		known(h)
		h.after(retryKey)
	}
	failed := func(h *harness) {
		_, step := h.introspected(ask("GET", "/albums/1", "other"), viewR1)
		h.worker.Reply(step.Call.ID, answer(500, ""), h.now)
	}
	failedEvaluating := func(h *harness) {
		_, step := h.evaluated(ask("GET", "/albums/1", "other"), 200, granted)
		h.worker.Reply(step.Call.ID, answer(500, ""), h.now)
	}
	replies := func(r ...decision.Response) []decision.Response { return r }
	return []walk{
		{transition{"begin", "a cached token that does, and no key to sign what the API is told", "keying"}, change, later, get, nil, nil},
		{transition{"begin", "no_signing_key", "Deny 503"}, change, known, get, nil, nil},
		{transition{"introspecting", "a token that does, and no key to sign what the API is told", "keying"}, change, nil, get, replies(answer(200, viewR1)), nil},
		{transition{"introspecting", "no_signing_key", "Deny 503"}, change, failed, get, replies(answer(200, viewR1)), nil},
		{transition{"evaluating", "a token that does, and no key to sign what the API is told", "keying"}, evaluates, nil, get, replies(answer(200, granted)), nil},
		{transition{"evaluating", "no_signing_key", "Deny 503"}, evaluates, failedEvaluating, get, replies(answer(200, granted)), nil},
		{transition{"keying", "no_signing_key", "Deny 503"}, change, later, get, replies(answer(500, "")), nil},
		{transition{"keying", "a key", "as from begin"}, change, later, get, replies(answer(200, keyAnswer(0))), nil},
	}
}

// retryKey is how long no key is asked for after none was given.
const retryKey = time.Second

// TestInternalTokenOfAStream: what the API is told is not what the stream is judged by, and a
// stream that gets no token does not begin.
func TestInternalTokenOfAStream(t *testing.T) {
	h := newHarness(t, internalTokens, streaming(1))
	x, step := h.introspected(ask("GET", "/albums/1", "token"), viewR1)
	require.Equal(t, "call signing_key", outcome(x, step))
	require.Equal(t, "503 no_signing_key", outcome(x, h.reply(step, 500, "")))
	require.Zero(t, h.streams())

	h.after(2 * time.Second)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call signing_key", outcome(x, step))
	verified(t, 0, told(t, h.reply(step, 200, keyAnswer(0))))
	require.True(t, x.Live())
	x.Keep()
	h.after(time.Minute)
	ended, calls := h.tick()
	require.Empty(t, ended)
	require.Len(t, calls, 1)
	require.Equal(t, "token=token", string(calls[0].Body))
	outcomes := h.worker.Reply(calls[0].ID, decision.Response{Status: 200, Body: []byte(viewR1)}, h.now)
	require.Len(t, outcomes, 1)
	require.Equal(t, decision.KindAllow, outcomes[0].Step.Kind)
	ended, _ = h.tick()
	require.Empty(t, ended)

	h.configure(internalTokens, streaming(1), revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	ended, calls = h.tick()
	require.Equal(t, []string{"401 revoked_token"}, ended)
	require.Empty(t, calls)
}
