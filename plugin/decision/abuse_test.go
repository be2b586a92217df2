package decision_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// remove queued, then created by another: the removal is dropped.
func TestAbuseRemoveQueuedThenCreate(t *testing.T) {
	h := newHarness(t, owned())
	remove := h.ended(h.passed("DELETE", "/boxes/7"), 204, "")
	require.Equal(t, decision.PurposeRemove, remove.Purpose)
	h.worker.Reply(remove.ID, decision.Response{Status: 503}, h.now) // control plane restarts
	calls := h.worker.Ended(h.passed("POST", "/boxes"), 201, "/boxes/7", h.now)
	var sent []decision.Purpose
	for range 10 {
		for _, c := range calls {
			sent = append(sent, c.Purpose)
			h.worker.Reply(c.ID, decision.Response{Status: map[decision.Purpose]int{decision.PurposeRemove: 202, decision.PurposeRegister: 202}[c.Purpose]}, h.now)
		}
		h.now = h.now.Add(time.Minute)
		calls = h.worker.Due(h.now)
	}
	require.Equal(t, []decision.Purpose{decision.PurposeRemove, decision.PurposeRegister}, sent)
}

// remove in flight, created, then the removal fails.
func TestAbuseRemoveInFlightThenCreate(t *testing.T) {
	h := newHarness(t, owned())
	remove := h.ended(h.passed("DELETE", "/boxes/7"), 204, "")
	x := h.passed("POST", "/boxes")
	require.Empty(t, h.worker.Ended(x, 201, "/boxes/7", h.now))
	h.worker.Reply(remove.ID, decision.Response{Status: 503}, h.now)
	var sent []decision.Purpose
	for range 10 {
		for _, c := range h.worker.Due(h.now) {
			sent = append(sent, c.Purpose)
			h.worker.Reply(c.ID, decision.Response{Status: 202}, h.now)
		}
		h.now = h.now.Add(time.Minute)
	}
	require.Equal(t, []decision.Purpose{decision.PurposeRemove, decision.PurposeRegister}, sent)
}

// a lookup answered after the removal brings the old id back.
func TestAbuseLateLookup(t *testing.T) {
	h := newHarness(t, owned())
	x := h.passed("DELETE", "/boxes/7")
	h.now = h.now.Add(61 * time.Second) // known id is not fresh
	_, lookup := h.start(ask("GET", "/boxes/7", ""))
	require.Equal(t, decision.PurposeLookup, lookup.Call.Purpose)
	remove := h.ended(x, 204, "")
	h.worker.Reply(remove.ID, decision.Response{Status: 202}, h.now)
	h.worker.Reply(lookup.Call.ID, decision.Response{Status: 200, Body: []byte(`{"resource_id":"id-7"}`)}, h.now)
	h.now = h.now.Add(5 * time.Second)
	x, step := h.start(ask("GET", "/boxes/7", "bobs"))
	if step.Kind == decision.KindCall && step.Call.Purpose == decision.PurposeIntrospect {
		step = h.reply(step, 200, bobViews)
	}
	require.NotEqual(t, decision.KindAllow, step.Kind, outcome(x, step))
}

// a URL in the query of a Location.
func TestAbuseLocationQuery(t *testing.T) {
	for _, location := range []string{
		"/jobs/1?next=https://photos.example.com/boxes/9",
		"urn:x://photos.example.com/boxes/9",
		"https://other.example.com?u=https://photos.example.com/boxes/9",
		"//other.example.com/?u=https://photos.example.com/boxes/9",
	} {
		h := newHarness(t, owned())
		call := h.ended(h.passed("POST", "/boxes"), 201, location)
		if call != nil {
			t.Errorf("%s: %s", location, call.Body)
		}
	}
}

// the same JWT with other trailing bits, or the other ECDSA signature.
func TestAbuseRevokedJWTRespelled(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	input := "eyJhbGciOiJFUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"bob"}`))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	require.NoError(t, err)
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	token := input + "." + base64.RawURLEncoding.EncodeToString(sig)
	s2 := new(big.Int).Sub(elliptic.P256().Params().N, s)
	sig2 := append([]byte{}, sig...)
	s2.FillBytes(sig2[32:])
	require.True(t, ecdsa.Verify(&key.PublicKey, sum[:], r, s2), "as valid")
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, token[len(token)-1])
	respelled := token[:len(token)-1] + string(alphabet[i+1])
	back, err := base64.RawURLEncoding.DecodeString(respelled[len(input)+1:])
	require.NoError(t, err)
	require.Equal(t, sig, back, "the same signature")
	h := newHarness(t, revoke(config.Revocations{Tokens: digests(config.Signed(token), hour, 0)}))
	for name, tok := range map[string]string{"as it was": token, "trailing bits": respelled, "padded": token + "==", "other signature": input + "." + base64.RawURLEncoding.EncodeToString(sig2)} {
		x, step := h.decide(ask("GET", "/albums/1", tok), issuedR1)
		if got := outcome(x, step); got != "401 revoked_token" {
			t.Errorf("%s: %s", name, got)
		}
	}
	_ = rsa.PSSOptions{}
	_ = crypto.SHA256
}

// who floods lookups keeps a removed instance in use.
func TestAbuseFloodKeepsStale(t *testing.T) {
	h := newHarness(t, owned())
	h.passed("GET", "/boxes/7")
	h.now = h.now.Add(time.Hour)
	n := 0
	for i := range 1000 {
		_, step := h.start(ask("GET", fmt.Sprintf("/boxes/x%d", i), ""))
		if step.Kind != decision.KindCall {
			break
		}
		h.reply(step, 404, `{}`)
		n++
	}
	t.Log(n, "lookups without a token")
	x, step := h.start(ask("GET", "/boxes/7", "alices"))
	require.Equal(t, decision.KindCall, step.Kind, outcome(x, step))
	require.Equal(t, decision.PurposeLookup, step.Call.Purpose, "asked for again: the control plane answers")
}

// revocation does not reach a dropped memory on the second push.
func TestAbuseDroppedMemory(t *testing.T) {
	h := newHarness(t)
	_, step := h.start(ask("GET", "/albums/1", "token"))
	h.configure(siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/other" }))
	h.configure(siteOf(func(s *config.Site) { s.AuthorizationServer.Introspection.Path = "/other" }), revoke(config.Revocations{Tokens: digests("token", hour, 0)}))
	outcomes := h.worker.Reply(step.Call.ID, decision.Response{Status: 200, Body: []byte(issuedR1)}, h.now)
	require.Len(t, outcomes, 1)
	require.NotEqual(t, "allow permitted", outcome(outcomes[0].Exchange, outcomes[0].Step))
}
