package tokenkey_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/tokenkey"
)

var (
	keys = tokenkey.New(secret.New("shared"))
	noon = time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC)
)

// verifies reports whether a key's signature is one of those that are published then.
func verifies(t *testing.T, key tokenkey.Key, site string, then time.Time) bool {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString(key.Seed.Reveal())
	require.NoError(t, err)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: ed25519.NewKeyFromSeed(seed), KeyID: key.ID}}, nil)
	require.NoError(t, err)
	signed, err := signer.Sign([]byte("{}"))
	require.NoError(t, err)
	public, err := keys.Public(tokenkey.Site{Name: site}, then)
	require.NoError(t, err)
	text, err := signed.CompactSerialize()
	require.NoError(t, err)
	signed, err = jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.EdDSA})
	require.NoError(t, err)
	_, err = signed.Verify(&public)
	return err == nil
}

var photos = tokenkey.Site{Name: "photos"}

// TestKeys: a key is known a day before it signs, and until what it has signed has ended.
func TestKeys(t *testing.T) {
	now, err := keys.Current(photos, noon)
	require.NoError(t, err)
	require.Equal(t, 12*time.Hour, now.RenewIn)
	require.Equal(t, 36*time.Hour, now.ExpiresIn)
	later, err := keys.Current(photos, noon.Add(11*time.Hour))
	require.NoError(t, err)
	require.Equal(t, now.ID, later.ID)
	require.Equal(t, time.Hour, later.RenewIn)
	next, err := keys.Current(photos, noon.Add(12*time.Hour))
	require.NoError(t, err)
	require.NotEqual(t, now.ID, next.ID)
	require.NotEqual(t, now.Seed.Reveal(), next.Seed.Reveal())
	other, err := keys.Current(tokenkey.Site{Name: "docs"}, noon)
	require.NoError(t, err)
	require.NotEqual(t, now.ID, other.ID)

	for after, want := range map[time.Duration]bool{-37 * time.Hour: false, -36 * time.Hour: true, 0: true, now.ExpiresIn + 5*time.Minute: true, now.ExpiresIn + 24*time.Hour: false} {
		require.Equal(t, want, verifies(t, now, "photos", noon.Add(after)), after)
	}
	require.False(t, verifies(t, now, "docs", noon), "one site's key signs for no other")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", now, now, keys), now.Seed.Reveal())
}

// TestVersion: another version has other keys and another credential, and publishes none of
// those that it withdraws.
func TestVersion(t *testing.T) {
	second := tokenkey.Site{Name: "photos", Version: 2}
	was, err := keys.Current(photos, noon)
	require.NoError(t, err)
	is, err := keys.Current(second, noon)
	require.NoError(t, err)
	require.NotEqual(t, was.ID, is.ID)
	require.NotEqual(t, was.Seed.Reveal(), is.Seed.Reveal())
	public, err := keys.Public(second, noon)
	require.NoError(t, err)
	require.Equal(t, is.ID, public.Keys[0].KeyID)
	withdrawn, err := keys.Public(photos, noon)
	require.NoError(t, err)
	for _, k := range withdrawn.Keys {
		require.Empty(t, public.Key(k.KeyID))
	}
	before, err := keys.Credential(photos)
	require.NoError(t, err)
	after, err := keys.Credential(second)
	require.NoError(t, err)
	require.NotEqual(t, before.Reveal(), after.Reveal())
}

func TestHandler(t *testing.T) {
	handler := &tokenkey.Handler{
		Keys: keys, Version: func(site string) (int, bool) { return 0, site == "photos" || site == "docs" }, Now: func() time.Time { return noon },
		Logger: slog.New(slog.DiscardHandler),
	}
	credentialOf := func(site string) string {
		c, err := keys.Credential(tokenkey.Site{Name: site})
		require.NoError(t, err)
		return "Bearer " + c.Reveal()
	}
	for _, tt := range []struct {
		name, method, authorization, body string
		status                            int
	}{
		{"its own", http.MethodPost, credentialOf("photos"), `{"site":"photos"}`, 200},
		{"another's", http.MethodPost, credentialOf("docs"), `{"site":"photos"}`, 401},
		{"of no site", http.MethodPost, credentialOf("gone"), `{"site":"gone"}`, 404},
		{"none", http.MethodPost, "", `{"site":"photos"}`, 401},
		{"empty", http.MethodPost, "Bearer ", `{"site":"photos"}`, 401},
		{"another version", http.MethodPost, credentialOf("photos"), `{"site":"photos","version":1}`, 409},
		{"another method", http.MethodGet, credentialOf("photos"), "", 405},
		{"no JSON", http.MethodPost, credentialOf("photos"), "x", 400},
		{"something else", http.MethodPost, credentialOf("photos"), `{"site":"photos","x":1}`, 400},
		{"too long", http.MethodPost, credentialOf("photos"), `{"site":"` + strings.Repeat("x", 2000) + `"}`, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), tt.method, "/", strings.NewReader(tt.body))
			if tt.authorization != "" {
				r.Header.Set("Authorization", tt.authorization)
			}
			handler.ServeHTTP(w, r)
			require.Equal(t, tt.status, w.Code)
			require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			var answer map[string]any
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
			if tt.status != 200 {
				require.NotContains(t, answer, "key")
				return
			}
			require.EqualValues(t, 12*3600, answer["renew_in"])
			require.EqualValues(t, 36*3600, answer["expires_in"])
			require.Len(t, answer["key"], 43)
		})
	}
}
