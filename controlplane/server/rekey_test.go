package server_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/seal"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/postgres/postgrestest"
)

func storeKey(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, seal.KeySize))
}

// TestRekeyReplicas: the store of two replicas is sealed with another key while both
// serve. One that was not given the key lets the other lead, and says so.
func TestRekeyReplicas(t *testing.T) {
	t.Parallel()
	database := postgrestest.Database(t, postgrestest.Start(t))
	as := servertest.StartAS(t, devas.Options{})
	start := func() *plane {
		p := newPlane(t)
		p.Options.Intervals.Standby, p.Options.Intervals.Store = 20*time.Millisecond, 20*time.Millisecond
		return p
	}
	one, two := start(), start()
	keys := func(p *plane, key byte, previous string) {
		p.Write(fmt.Sprintf("store: %q\nstore_key: %q\n%s%s", database, storeKey(key), previous, p.config(as.Issuer(), "albums", "people")))
	}
	before := fmt.Sprintf("store_key_previous: %q\n", storeKey(7))
	rekey := func(key byte) store.Rekeyed {
		t.Helper()
		done, err := store.Rekey(t.Context(), store.RekeyOptions{
			Location: secret.New(database), Keys: []secret.Text{secret.New(storeKey(key)), secret.New(storeKey(key - 1))},
		})
		require.NoError(t, err)
		return done
	}
	takenOver := func(p *plane, times int) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Count(p.Log.String(), "configuration file taken over") >= times }, servertest.Within, 5*time.Millisecond)
	}
	// revoke shows that a replica writes, and that the other reads it.
	revoke := func(by, other *plane, session string) {
		t.Helper()
		code, _ := by.post(http.MethodPost, "/v1/revocations", `{"site":"photos","session_id":"`+session+`"}`)
		require.Less(t, code, 300)
		require.Eventually(t, func() bool {
			for _, r := range other.revocations() {
				if r.Value == session {
					return true
				}
			}
			return false
		}, servertest.Within, 5*time.Millisecond)
	}
	keys(one, 7, "")
	keys(two, 7, "")
	one.Start()
	client := one.Until("it leads", leader).Sites[0].ClientID
	two.Start()
	two.Until("it follows", follower)

	// Both are given the new key while they run, and go on when it is used.
	for _, p := range []*plane{one, two} {
		keys(p, 8, before)
		takenOver(p, 1)
	}
	require.Positive(t, rekey(8).Secrets)
	revoke(one, two, "s1")
	revoke(two, one, "s2")
	as.ForgetClients()
	fresh := one.Until("registered anew", func(s server.Status) bool { return leader(s) && s.Sites[0].ClientID != client }).Sites[0].ClientID
	two.Until("it reads what is sealed with the new key", func(s server.Status) bool { return follower(s) && s.Sites[0].ClientID == fresh })
	for _, p := range []*plane{one, two} {
		keys(p, 8, "")
		takenOver(p, 2)
	}

	// The leader is not given the next key.
	keys(two, 9, fmt.Sprintf("store_key_previous: %q\n", storeKey(8)))
	takenOver(two, 3)
	rekey(9)
	one.Until("it says so", func(s server.Status) bool {
		return !s.Leader && has(s, health.StoreKeyUnknown) && !has(s, health.NoLeader)
	})
	code, body := one.Get("/readyz")
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.Contains(t, body, "store_key")
	code, _ = one.post(http.MethodPost, "/v1/revocations", `{"site":"photos","session_id":"s3"}`)
	require.GreaterOrEqual(t, code, 500, "it is not told that it was done")
	two.Until("it leads", leader)
	keys(one, 9, "")
	one.Until("it follows with the key", follower)
	revoke(one, two, "s4")
	require.Equal(t, 2, registrations(as))
	for _, p := range []*plane{one, two} {
		p.RequireNoSecrets(as)
		for _, key := range []byte{7, 8, 9} {
			require.NotContains(t, p.Log.String(), storeKey(key))
		}
	}
}
