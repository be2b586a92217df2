package revoke_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

// rig is a list with a real store, and an AS that signs.
type rig struct {
	*revoke.List

	t     *testing.T
	store *store.SQL
	as    *httptest.Server
	now   time.Time
	sites []revoke.Site
	// atAS is by how much the AS's clock is ahead, put by how much this host's was put
	// ahead since the start; mute is an AS that says nothing of its clock.
	atAS, put time.Duration
	mute      bool
	leads     bool
	acked     []string

	mu        sync.Mutex
	keys      []jose.JSONWebKey
	reads     int // of the keys
	notBefore string
	changes   int
	events    []audit.Event
}

// spare is how much longer Envoys are told to refuse, as their clocks may be wrong.
const spare = 24 * time.Hour

// alias is another name of the AS.
const alias = "https://old.example.com"

var start = time.Unix(1_800_000_000, 0)

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, now: start, leads: true, notBefore: `{"tokens-not-before":0}`}
	r.rotate("k1")
	r.as = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.as.Close)
	r.sites = []revoke.Site{
		{
			Name: "photos", Keep: time.Hour, Leeway: 2 * time.Second, NotBeforeEvery: time.Second, Issuer: r.as.URL, Names: []string{r.as.URL, alias}, JWKS: r.as.URL + "/jwks",
			ClientIDs: []string{"rs", "app"}, OwnClientID: "rs", NotBeforeURL: r.as.URL + "/realm", Client: http.DefaultClient,
		},
		{Name: "films", Keep: 2 * time.Hour},
	}
	r.open(filepath.Join(t.TempDir(), "umagate.db"))
	return r
}

// open makes the list as after a start of umagate serve.
func (r *rig) open(path string) {
	r.t.Helper()
	opened, err := store.OpenSQLite(r.t.Context(), path, secret.Text{})
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = opened.Close() })
	r.store, r.List = opened, r.another(opened)
	require.NoError(r.t, r.Load(r.t.Context()))
}

// another is a further replica on the same store.
func (r *rig) another(opened *store.SQL) *revoke.List {
	return revoke.New(revoke.Options{
		Store: opened, Changes: opened.Changes, Sites: r.known, Recorder: r, Logger: slog.New(slog.DiscardHandler),
		Changed: func() { r.mu.Lock(); r.changes++; r.mu.Unlock() }, Leads: func() bool { return r.leads }, Every: time.Millisecond,
		Acknowledged: func() []string { return r.acked }, Now: func() time.Time { return r.now },
		Uptime: func() time.Duration { return r.now.Sub(start) - r.put },
	})
}

// known are the sites, with what their AS says of the time.
func (r *rig) known() []revoke.Site {
	out := slices.Clone(r.sites)
	for i := range out {
		if !r.mute {
			out[i].Now = r.now.Add(r.atAS)
		}
	}
	return out
}

// putClock puts this host's clock ahead, or back: what the AS's clock says is as before.
func (r *rig) putClock(by time.Duration) {
	r.now, r.put, r.atAS = r.now.Add(by), r.put+by, r.atAS-by
}

// Record implements [audit.Recorder].
func (r *rig) Record(ctx context.Context, e audit.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, audit.Complete(ctx, e, r.now))
}

func (r *rig) rotate(kid string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = []jose.JSONWebKey{{Key: key, KeyID: kid, Algorithm: "ES256", Use: "sig"}}
}

func (r *rig) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.URL.Path == "/realm" {
		_, _ = w.Write([]byte(r.notBefore))
		return
	}
	r.reads++
	set := jose.JSONWebKeySet{}
	for _, k := range r.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	_ = json.NewEncoder(w).Encode(set)
}

// sign makes a JWS with the AS's key.
func (r *rig) sign(claims map[string]any) string {
	r.t.Helper()
	r.mu.Lock()
	key := r.keys[0]
	r.mu.Unlock()
	return signWith(r.t, jose.SigningKey{Algorithm: jose.ES256, Key: key}, claims)
}

func signWith(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, nil)
	require.NoError(t, err)
	payload, err := json.Marshal(claims)
	require.NoError(t, err)
	signed, err := signer.Sign(payload)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	return text
}

// compiled is the list of a site.
func (r *rig) compiled(site string) config.Revocations {
	lists, _ := r.Compiled()
	for _, l := range lists {
		if l.Site == site {
			return l
		}
	}
	return config.Revocations{}
}

func TestRevoke(t *testing.T) {
	exp := time.Unix(1_800_000_000, 0).Add(10 * time.Minute)
	jwt := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, exp.Unix())) + ".c2ln"
	past := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1}`)) + ".c2ln"
	at := time.Unix(1_700_000_000, 500)
	tests := []struct {
		name          string
		spec          revoke.Spec
		ends          time.Duration // after now
		before        int64         // of iat
		list          func(config.Revocations) config.Digests
		value         string
		wantErr       error
		issuedForAll  int64
		issuedForEnds time.Duration
	}{
		{name: "a token that says when it ends", spec: revoke.Spec{Site: "photos", Kind: revoke.Token, Token: secret.New(jwt)}, ends: 10*time.Minute + 2*time.Second, list: tokens, value: jwt},
		{name: "an opaque token", spec: revoke.Spec{Site: "photos", Kind: revoke.Token, Token: secret.New("opaque")}, ends: time.Hour, list: tokens, value: "opaque"},
		{name: "a token that says it has ended", spec: revoke.Spec{Site: "photos", Kind: revoke.Token, Token: secret.New(past)}, ends: time.Hour, list: tokens, value: past},
		{name: "at every site, as long as the longest", spec: revoke.Spec{Kind: revoke.Token, Token: secret.New("opaque")}, ends: 2 * time.Hour, list: tokens, value: "opaque"},
		{name: "a subject", spec: revoke.Spec{Site: "photos", Kind: revoke.Subject, Value: "bob"}, ends: time.Hour + 3*time.Second, before: 1_800_000_003, list: subjects, value: "bob"},
		{name: "a subject before a time", spec: revoke.Spec{Site: "photos", Kind: revoke.Subject, Value: "bob", IssuedBefore: at}, ends: time.Hour, before: 1_700_000_000, list: subjects, value: "bob"},
		{name: "a client", spec: revoke.Spec{Site: "films", Kind: revoke.Client, Value: "app"}, ends: 2*time.Hour + time.Second, before: 1_800_000_001, list: clients, value: "app"},
		{name: "a session", spec: revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s1"}, ends: time.Hour, list: sessions, value: "s1"},
		{name: "all before a time", spec: revoke.Spec{Site: "photos", Kind: revoke.Issued, IssuedBefore: at}, issuedForAll: 1_700_000_000, issuedForEnds: time.Hour},
		{name: "all before a time to come", spec: revoke.Spec{Site: "photos", Kind: revoke.Issued, IssuedBefore: time.Unix(1_800_000_000, 0).Add(time.Minute)}, issuedForAll: 1_800_000_060, issuedForEnds: time.Hour + time.Minute},
		{name: "no such site", spec: revoke.Spec{Site: "elsewhere", Kind: revoke.Subject, Value: "bob"}, wantErr: revoke.ErrNoSite},
		{name: "no value", spec: revoke.Spec{Kind: revoke.Subject}, wantErr: revoke.ErrSpec},
		{name: "no time", spec: revoke.Spec{Kind: revoke.Issued}, wantErr: revoke.ErrSpec},
		{name: "a value and all", spec: revoke.Spec{Kind: revoke.Issued, Value: "bob", IssuedBefore: at}, wantErr: revoke.ErrSpec},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			made, err := r.Revoke(t.Context(), tt.spec)
			require.ErrorIs(t, err, tt.wantErr)
			if tt.wantErr != nil {
				return
			}
			require.Equal(t, 1, r.changes, "there is something to publish")
			require.Equal(t, audit.RevocationCreate, r.events[0].Action)
			l := r.compiled(tt.spec.Site)
			if tt.list == nil {
				require.Equal(t, tt.issuedForAll, l.IssuedBefore)
				require.Equal(t, r.now.Add(tt.issuedForEnds+spare).Unix(), l.IssuedBeforeEnds)
				return
			}
			named := config.Signed(tt.value)
			d, ok := tt.list(l).Find(named)
			require.True(t, ok)
			require.Equal(t, r.now.Add(tt.ends+spare).Unix(), d.Ends)
			require.Equal(t, r.now.Add(tt.ends).Unix(), made.ExpiresAt.Unix())
			require.Equal(t, tt.before, d.IssuedBefore)
			require.Equal(t, sha256.Sum256([]byte(named)), made.Digest)
			require.True(t, config.Digests.Valid(tt.list(l)))

			again, err := r.Revoke(t.Context(), tt.spec)
			require.NoError(t, err)
			require.Equal(t, made.ID, again.ID, "the same again is the same")
			require.Equal(t, 1, tt.list(r.compiled(tt.spec.Site)).Len())
			require.NoError(t, r.Withdraw(t.Context(), made.ID))
			require.Empty(t, r.compiled(tt.spec.Site))
			require.ErrorIs(t, r.Withdraw(t.Context(), made.ID), store.ErrNotFound)
		})
	}
}

func tokens(r config.Revocations) config.Digests   { return r.Tokens }
func subjects(r config.Revocations) config.Digests { return r.Subjects }
func clients(r config.Revocations) config.Digests  { return r.ClientIDs }
func sessions(r config.Revocations) config.Digests { return r.Sessions }

// TestMadeAgain: Envoy may keep a configuration that it had, and go back to it without telling
// the filter. So a revocation that is made again is no configuration of before.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	jwt := "e30." + base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, r.now.Add(time.Hour).Unix())) + ".c2ln"
	spec := revoke.Spec{Site: "photos", Kind: revoke.Token, Token: secret.New(jwt)}
	made, err := r.Revoke(t.Context(), spec)
	require.NoError(t, err)
	first := r.compiled("photos")
	require.NoError(t, r.Withdraw(t.Context(), made.ID))
	r.now = r.now.Add(time.Millisecond)
	_, err = r.Revoke(t.Context(), spec)
	require.NoError(t, err)
	again := r.compiled("photos")
	require.Equal(t, first.Tokens, again.Tokens)
	require.NotEqual(t, first, again)
	document, err := config.Encode(&config.Config{Version: config.Version, Revocations: []config.Revocations{again}})
	require.NoError(t, err)
	_, err = config.Parse(document)
	require.NoError(t, err, "the filter takes it")
}

// TestTokenIsNotKept looks for it in everything that is written.
func TestTokenIsNotKept(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	_, err := r.Revoke(t.Context(), revoke.Spec{Kind: revoke.Token, Token: secret.New("a-token-to-look-for")})
	require.NoError(t, err)
	rows, err := r.store.Revocations(t.Context())
	require.NoError(t, err)
	lists, _ := r.Compiled()
	for _, written := range []any{rows, lists, r.events} {
		text, err := json.Marshal(written)
		require.NoError(t, err)
		require.False(t, bytes.Contains(text, []byte("look-for")), "%s", text)
	}
}

// TestSurvivesAndEnds: a restart, another replica, and the end.
func TestSurvivesAndEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "other.db")
	r.open(path)
	_, err := r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s1"})
	require.NoError(t, err)
	replica := r.another(r.store)
	require.NoError(t, replica.Load(t.Context()))
	lists, _ := replica.Compiled()
	require.Len(t, lists, 1, "another process reads it")

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); replica.Run(ctx) }()
	_, err = r.Revoke(t.Context(), revoke.Spec{Site: "films", Kind: revoke.Session, Value: "s2"})
	require.NoError(t, err)
	require.Eventually(t, func() bool { lists, _ := replica.Compiled(); return len(lists) == 2 }, 2*time.Minute, time.Millisecond, "what another wrote is noticed")
	stop()
	<-done

	r.now = r.now.Add(time.Hour)
	require.NoError(t, r.Load(t.Context()))
	require.Empty(t, r.compiled("photos"), "its tokens have ended")
	require.NotEmpty(t, r.compiled("films"))
	_, err = r.Revoke(t.Context(), revoke.Spec{Site: "films", Kind: revoke.Session, Value: "s3"})
	require.NoError(t, err)
	rows, err := r.store.Revocations(t.Context())
	require.NoError(t, err)
	require.Len(t, rows, 3, "the store has it for a day")
	r.now = r.now.Add(24 * time.Hour)
	_, err = r.Revoke(t.Context(), revoke.Spec{Site: "films", Kind: revoke.Session, Value: "s3"})
	require.NoError(t, err)
	rows, err = r.store.Revocations(t.Context())
	require.NoError(t, err)
	require.Len(t, rows, 2, "and then has forgotten it")
}

// TestFull: there is a bound, and what is there already may be made again.
func TestFull(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	add := func(id string) error {
		return r.store.AddRevocation(t.Context(), store.Revocation{ID: id, Kind: "session", ExpiresAt: r.now.Add(time.Hour)}, r.now, 2)
	}
	require.NoError(t, add("a"))
	require.NoError(t, add("b"))
	require.ErrorIs(t, add("c"), store.ErrFull)
	require.NoError(t, add("a"))
	r.now = r.now.Add(time.Hour)
	require.NoError(t, add("c"), "the others have ended")
}

func TestInForce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	made, err := r.Revoke(t.Context(), revoke.Spec{Site: "photos", Kind: revoke.Session, Value: "s1"})
	require.NoError(t, err)
	_, generation := r.Compiled()
	r.Put(generation-1, "before")
	r.Put(generation, "with")
	for _, tt := range []struct {
		name  string
		acked []string
		want  revoke.InForce
	}{
		{"nobody is connected", nil, revoke.InForce{}},
		{"one has it", []string{"with"}, revoke.InForce{Connected: 1, Refusing: 1}},
		{"one of two", []string{"before", "with"}, revoke.InForce{Connected: 2, Refusing: 1}},
		{"a version of before a restart", []string{"unheard of", ""}, revoke.InForce{Connected: 2}},
	} {
		r.acked = tt.acked
		got := show(t, r, "GET", "/v1/revocations/"+made.ID, "")
		require.Equal(t, tt.want, got.Envoys, tt.name)
	}
}
