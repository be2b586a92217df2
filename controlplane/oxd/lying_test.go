package oxd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/site"
)

// liar is an OP whose token endpoint answers what a test wants.
type liar struct {
	*httptest.Server

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	token http.HandlerFunc
	info  http.HandlerFunc
	form  url.Values // what the token endpoint was asked
	// registered is the body of the last registration or update; deleted counts.
	registered map[string]any
	deleted    int
}

func newKey(t *testing.T, id string) jose.JSONWebKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return jose.JSONWebKey{Key: key, KeyID: id, Algorithm: "ES256", Use: "sig"}
}

func newLiar(t *testing.T, more map[string]any) *liar {
	t.Helper()
	l := &liar{keys: []jose.JSONWebKey{newKey(t, "k1")}}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		document := map[string]any{
			"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/jwks",
			"userinfo_endpoint": l.URL + "/userinfo", "registration_endpoint": l.URL + "/register", "id_token_signing_alg_values_supported": []string{"ES256", "none", "HS256"},
		}
		maps.Copy(document, more)
		reply(w, document)
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		set := jose.JSONWebKeySet{}
		for _, k := range l.keys {
			set.Keys = append(set.Keys, k.Public())
		}
		reply(w, set)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		l.mu.Lock()
		l.form = r.PostForm
		answer := l.token
		l.mu.Unlock()
		answer(w, r)
	})
	register := func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		l.mu.Lock()
		l.registered = body
		l.mu.Unlock()
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"client_id":"c-1","client_secret":"0123456789abcdef0123456789abcdef","registration_access_token":"rat","registration_client_uri":"` + l.URL + `/register/c-1"}`))
	}
	mux.HandleFunc("POST /register", register)
	mux.HandleFunc("PUT /register/c-1", register)
	mux.HandleFunc("DELETE /register/c-1", func(w http.ResponseWriter, _ *http.Request) {
		l.mu.Lock()
		l.deleted++
		l.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		answer := l.info
		l.mu.Unlock()
		answer(w, r)
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

// half is at_hash and c_hash of SHA-256 (OpenID Connect Core 1.0 section 3.1.3.6).
func half(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func sign(t *testing.T, key jose.JSONWebKey, alg jose.SignatureAlgorithm, claims map[string]any) string {
	t.Helper()
	var signing any = key
	if alg == jose.HS256 { // signed with what everybody knows: the public key
		public, err := key.Public().MarshalJSON()
		require.NoError(t, err)
		signing = public
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: signing}, nil)
	require.NoError(t, err)
	signed, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(t, err)
	return signed
}

func lyingKit(t *testing.T, l *liar, timeout time.Duration) *kit {
	t.Helper()
	kept := openStore(t, filepath.Join(t.TempDir(), "store.db"))
	s, err := oxd.New(oxd.Config{Store: kept, OPs: []oxd.OP{{Host: l.URL, Timeout: timeout}}, DefaultOP: l.URL, Defaults: site.OXDDefaults{Scope: []string{"openid"}}})
	require.NoError(t, err)
	return &kit{Server: s, store: kept}
}

// TestIDToken: each way in which an ID token can be wrong has its code.
func TestIDToken(t *testing.T) {
	t.Parallel()
	type order struct {
		claims map[string]any
		key    jose.JSONWebKey
		alg    jose.SignatureAlgorithm
		raw    string
	}
	set := func(name string, value any) func(*testing.T, *liar, *order) {
		return func(_ *testing.T, _ *liar, o *order) { o.claims[name] = value }
	}
	without := func(name string) func(*testing.T, *liar, *order) {
		return func(_ *testing.T, _ *liar, o *order) { delete(o.claims, name) }
	}
	tests := []struct {
		name   string
		change func(t *testing.T, l *liar, o *order)
		acr    []string // asked for
		code   string   // empty for good
	}{
		{name: "good", change: func(*testing.T, *liar, *order) {}},
		{name: "issuer", change: set("iss", "https://other.example.com"), code: "invalid_id_token_bad_issuer"},
		{name: "issuer with a slash", change: func(_ *testing.T, l *liar, o *order) { o.claims["iss"] = l.URL + "/" }, code: "invalid_id_token_bad_issuer"},
		{name: "audience", change: set("aud", "another"), code: "invalid_id_token_bad_audience"},
		{name: "no audience", change: without("aud"), code: "invalid_id_token_bad_audience"},
		{name: "several audiences, azp", change: func(_ *testing.T, _ *liar, o *order) {
			o.claims["aud"], o.claims["azp"] = []string{"client-1", "other"}, "client-1"
		}},
		{name: "several audiences, no azp", change: set("aud", []string{"client-1", "other"}), code: "invalid_id_token_bad_audience"},
		{name: "another azp", change: set("azp", "another"), code: "invalid_id_token_bad_audience"},
		{name: "expired", change: set("exp", time.Now().Add(-time.Minute).Unix()), code: "invalid_id_token_expired"},
		{name: "no exp", change: without("exp"), code: "invalid_id_token_expired"},
		{name: "not yet", change: set("nbf", time.Now().Add(time.Hour).Unix()), code: "invalid_id_token_unknown"},
		{name: "issued tomorrow", change: set("iat", time.Now().Add(24*time.Hour).Unix()), code: "invalid_id_token_unknown"},
		{name: "no iat", change: without("iat"), code: "invalid_id_token_unknown"},
		{name: "no sub", change: without("sub"), code: "invalid_id_token_unknown"},
		{name: "nonce", change: set("nonce", "another"), code: "invalid_id_token_bad_nonce"},
		{name: "no nonce", change: without("nonce"), code: "invalid_id_token_bad_nonce"},
		{name: "at_hash", change: set("at_hash", half("another")), code: "invalid_access_token_bad_hash"},
		{name: "no at_hash", change: without("at_hash")}, // it is optional with a code
		{name: "c_hash", change: set("c_hash", half("another")), code: "invalid_id_token_unknown"},
		{name: "a good c_hash", change: set("c_hash", half("the-code"))},
		{name: "acr as asked", change: set("acr", "duo"), acr: []string{"basic", "duo"}},
		{name: "another acr", change: set("acr", "basic"), acr: []string{"duo"}, code: "invalid_id_token_unknown"},
		{name: "another key", change: func(t *testing.T, _ *liar, o *order) { t.Helper(); o.key = newKey(t, "k1") }, code: "invalid_id_token_bad_signature"},
		{name: "a key that is new", change: func(t *testing.T, l *liar, o *order) {
			t.Helper()
			o.key = newKey(t, "k2")
			l.mu.Lock()
			l.keys = append(l.keys, o.key)
			l.mu.Unlock()
		}},
		{name: "keys swapped", change: func(t *testing.T, l *liar, _ *order) {
			t.Helper()
			l.mu.Lock()
			l.keys = []jose.JSONWebKey{newKey(t, "k1")}
			l.mu.Unlock()
		}, code: "invalid_id_token_bad_signature"},
		{name: "alg none", change: func(t *testing.T, _ *liar, o *order) {
			t.Helper()
			body, err := json.Marshal(o.claims)
			require.NoError(t, err)
			o.raw = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(body) + "."
		}, code: "invalid_id_token_bad_signature"},
		{name: "HS256 with the public key", change: func(_ *testing.T, _ *liar, o *order) { o.alg = jose.HS256 }, code: "invalid_id_token_bad_signature"},
		{name: "no JWT", change: func(_ *testing.T, _ *liar, o *order) { o.raw = "hello" }, code: "invalid_id_token_bad_signature"},
		{name: "a signature cut off", change: func(t *testing.T, _ *liar, o *order) {
			t.Helper()
			whole := sign(t, o.key, o.alg, o.claims)
			o.raw = whole[:len(whole)-6]
		}, code: "invalid_id_token_bad_signature"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, map[string]any{"code_challenge_methods_supported": []string{"S256"}})
			k := lyingKit(t, l, 30*time.Second)
			id := k.register(t, map[string]any{"client_id": "client-1", "client_secret": "hush"})
			// The keys are known before anything is changed.
			status, _ := k.call(t, "get_jwks", map[string]any{})
			require.Equal(t, "ok", status)
			params := map[string]any{"oxd_id": id}
			if tt.acr != nil {
				params["acr_values"] = tt.acr
			}
			address, err := url.Parse(k.ok(t, "get_authorization_url", params)["authorization_url"].(string))
			require.NoError(t, err)
			query := address.Query()
			require.Equal(t, "S256", query.Get("code_challenge_method"))
			now := time.Now()
			o := &order{alg: jose.ES256, key: l.keys[0], claims: map[string]any{
				"iss": l.URL, "sub": "alice", "aud": "client-1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(),
				"nonce": query.Get("nonce"), "at_hash": half("the-token"),
			}}
			tt.change(t, l, o)
			if o.raw == "" {
				o.raw = sign(t, o.key, o.alg, o.claims)
			}
			l.token = answers(map[string]any{"access_token": "the-token", "token_type": "Bearer", "expires_in": 60, "id_token": o.raw})
			params = map[string]any{"oxd_id": id, "code": "the-code", "state": query.Get("state")}
			if tt.code == "" {
				got := k.ok(t, "get_tokens_by_code", params)
				require.Equal(t, o.raw, got["id_token"])
			} else {
				k.fails(t, tt.code, "get_tokens_by_code", params)
			}
			verifier := sha256.Sum256([]byte(l.form.Get("code_verifier")))
			require.Equal(t, query.Get("code_challenge"), base64.RawURLEncoding.EncodeToString(verifier[:]))
			k.fails(t, "bad_request", "get_tokens_by_code", params) // once, also when it failed
		})
	}
}

func answers(body map[string]any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(body)
	}
}

// TestTokenEndpoint: each way in which it can answer has its code.
func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	raw := func(status int, media, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		code   string
		says   string
	}{
		{"refused", raw(400, "application/json", `{"error":"invalid_grant","error_description":"Code not valid"}`), "http_status_400", "invalid_grant"},
		{"client refused", raw(401, "application/json", `{"error":"invalid_client"}`), "http_status_401", "invalid_client"},
		{"failing", raw(503, "text/html", "<h1>busy</h1>"), "http_status_503", "503"},
		{"HTML", raw(200, "text/html", "<h1>login</h1>"), "internal_error", "not JSON"},
		{"not JSON", raw(200, "application/json", "hello"), "no_access_token", "no access_token"},
		{"empty", raw(200, "application/json", "{}"), "no_access_token", "no access_token"},
		{"no id_token", answers(map[string]any{"access_token": "a", "token_type": "Bearer"}), "no_id_token", "no id_token"},
		{"another type of token", answers(map[string]any{"access_token": "a", "token_type": "DPoP", "id_token": "x"}), "no_access_token", "Bearer"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, "http_status_302", "302"},
		{"hang", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "internal_error", "does not answer"},
		{"reset", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "internal_error", "does not answer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, nil)
			k := lyingKit(t, l, 2*time.Second)
			id := k.register(t, map[string]any{"client_id": "client-1", "client_secret": "hush-hush"})
			l.token = tt.answer
			address, err := url.Parse(k.ok(t, "get_authorization_url", map[string]any{"oxd_id": id})["authorization_url"].(string))
			require.NoError(t, err)
			data := k.fails(t, tt.code, "get_tokens_by_code", map[string]any{"oxd_id": id, "code": "c", "state": address.Query().Get("state")})
			require.Contains(t, data["error_description"], tt.says)
			require.NotContains(t, data["error_description"], "hush")
		})
	}
}

// TestUserInfoOfAnother: userinfo of another person than the ID token is not told.
func TestUserInfoOfAnother(t *testing.T) {
	t.Parallel()
	l := newLiar(t, nil)
	k := lyingKit(t, l, 30*time.Second)
	id := k.register(t, map[string]any{"client_id": "client-1", "client_secret": "hush"})
	address, err := url.Parse(k.ok(t, "get_authorization_url", map[string]any{"oxd_id": id})["authorization_url"].(string))
	require.NoError(t, err)
	now := time.Now()
	l.token = answers(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": sign(t, l.keys[0], jose.ES256, map[string]any{
		"iss": l.URL, "sub": "alice", "aud": "client-1", "exp": now.Add(time.Minute).Unix(), "iat": now.Unix(), "nonce": address.Query().Get("nonce"),
	})})
	k.ok(t, "get_tokens_by_code", map[string]any{"oxd_id": id, "code": "c", "state": address.Query().Get("state")})
	params := map[string]any{"oxd_id": id, "access_token": "a"}
	l.info = answers(map[string]any{"sub": "bob"})
	require.Contains(t, k.fails(t, "internal_error", "get_user_info", params)["error_description"], "another person")
	l.info = answers(map[string]any{"sub": "alice", "groups": []string{"a", "b"}, "email_verified": true, "age": 7, "address": map[string]any{"country": "CH"}, "none": nil})
	claims, _ := k.ok(t, "get_user_info", params)["claims"].(map[string]any)
	require.Equal(t, map[string]any{
		"sub": []any{"alice"}, "groups": []any{"a", "b"}, "email_verified": []any{"true"}, "age": []any{"7"}, "address": []any{`{"country":"CH"}`}, "none": []any{},
	}, claims)
	l.info = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }
	k.fails(t, "http_status_401", "get_user_info", params)
	l.info = answers(map[string]any{"name": "nobody"})
	k.fails(t, "internal_error", "get_user_info", params)
}
