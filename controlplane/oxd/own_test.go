package oxd_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/e2e/browser"
)

// says changes what an OP answers about tokens.
type says struct {
	next http.RoundTripper
	with atomic.Pointer[map[string]any]
}

func (s *says) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := s.next.RoundTrip(r)
	more := s.with.Load()
	if err != nil || more == nil || !strings.HasSuffix(r.URL.Path, "/introspect") {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	var members map[string]any
	if err != nil || json.Unmarshal(body, &members) != nil {
		return response, err
	}
	for name, value := range *more {
		if value == nil {
			delete(members, name)
			continue
		}
		members[name] = value
	}
	if body, err = json.Marshal(members); err != nil {
		return nil, err
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	response.Header.Del("Content-Length")
	return response, nil
}

// TestProtectionOfTheClientItself: the setup client's own token commands, and nobody
// else's of the same client.
func TestProtectionOfTheClientItself(t *testing.T) {
	t.Parallel()
	for _, format := range []devas.TokenFormat{devas.FormatOpaque, devas.FormatJWT} {
		t.Run("tokens "+string(format), func(t *testing.T) {
			t.Parallel()
			op := startOP(t, devas.Options{AccessTokenFormat: format})
			answers := &says{next: http.DefaultTransport}
			k := newKit(t, op, func(c *oxd.Config) { c.Protect, c.Transport = true, answers })
			set := k.ok(t, "setup_client", map[string]any{"authorization_redirect_uri": callback, "scope": []string{"openid", "oxd"}})
			given := k.ok(t, "get_client_token", map[string]any{
				"client_id": set["client_id"], "client_secret": set["client_secret"], "op_host": op.Issuer(), "scope": []string{"oxd"},
			})["access_token"].(string)
			// From the OP itself, where umagate knows nothing of how it was got.
			fetched := fetchToken(t, op, set["client_id"].(string), set["client_secret"].(string))
			person := aliceOf(t, k, set["setup_client_oxd_id"].(string))

			tests := []struct {
				name, token string
				// said is what the OP says instead; nil leaves a member out.
				said map[string]any
				code string
			}{
				{"got by umagate", given, nil, ""},
				{"got by umagate, of an OP that tells no sub", given, map[string]any{"sub": nil}, ""},
				{"got at the OP", fetched, nil, ""},
				{"a person's", person, nil, "invalid_protection_access_token"},
				{"no sub", fetched, map[string]any{"sub": nil}, "invalid_protection_access_token"},
				{"sub of another", fetched, map[string]any{"sub": "carol"}, "invalid_protection_access_token"},
				{"a person who is called as the client is", fetched, map[string]any{"username": "carol"}, "invalid_protection_access_token"},
				{"a login's", fetched, map[string]any{"sid": "s-1"}, "invalid_protection_access_token"},
				{"another azp", fetched, map[string]any{"azp": "someone"}, "invalid_protection_access_token"},
				{"bound to a certificate", fetched, map[string]any{"cnf": map[string]any{"x5t#S256": "x"}}, "invalid_protection_access_token"},
				{"bound, got by umagate", given, map[string]any{"cnf": map[string]any{"jkt": "x"}}, "invalid_protection_access_token"},
				{"bound, which the token alone says", sign(t, newKey(t, "k"), jose.ES256, map[string]any{
					"iss": op.Issuer(), "client_id": set["client_id"], "cnf": map[string]any{"jkt": "x"},
				}), map[string]any{"active": true, "client_id": set["client_id"], "sub": set["client_id"], "scope": "oxd"}, "invalid_protection_access_token"},
				{"the same, not bound", sign(t, newKey(t, "k"), jose.ES256, map[string]any{
					"iss": op.Issuer(), "client_id": set["client_id"],
				}), map[string]any{"active": true, "client_id": set["client_id"], "sub": set["client_id"], "scope": "oxd"}, ""},
				{"bound to a key", given, map[string]any{"token_type": "DPoP"}, "invalid_protection_access_token"},
			}
			for _, tt := range tests {
				t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // the OP's words are shared
					answers.with.Store(&tt.said)
					defer answers.with.Store(nil)
					for _, command := range []struct {
						name   string
						params map[string]any
					}{
						{"get_rp", map[string]any{"oxd_id": set["oxd_id"]}},
						{"get_discovery", map[string]any{}},
						{"register_site", map[string]any{"authorization_redirect_uri": callback}},
					} {
						command.params["protection_access_token"] = tt.token
						if tt.code == "" {
							k.ok(t, command.name, command.params)
							continue
						}
						require.NotContains(t, k.fails(t, tt.code, command.name, command.params)["error_description"], tt.token)
					}
				})
			}
		})
	}
}

// fetchToken gets a client's token without umagate.
func fetchToken(t *testing.T, op *devas.Server, id, clientSecret string) string {
	t.Helper()
	client, err := as.New(as.Config{Issuer: op.Issuer()})
	require.NoError(t, err)
	server, err := client.Discover(t.Context())
	require.NoError(t, err)
	auth, err := clientauth.NewSecret(clientauth.SecretBasic, id, secret.New(clientSecret), nil)
	require.NoError(t, err)
	got, err := server.RequestToken(t.Context(), "test", auth, url.Values{"grant_type": {as.GrantClientCredentials}, "scope": {"openid oxd"}})
	require.NoError(t, err)
	return got.Value.Reveal()
}

// aliceOf is alice's access token, issued to a site, which an unprotected server on the
// same store gets.
func aliceOf(t *testing.T, k *kit, site string) string {
	t.Helper()
	open, err := oxd.New(oxd.Config{Store: k.store, OPs: []oxd.OP{{Host: k.op.Issuer()}}, DefaultOP: k.op.Issuer()})
	require.NoError(t, err)
	_, data := callOn(t, open, "get_authorization_url", map[string]any{"oxd_id": site, "scope": []string{"openid", "oxd"}})
	back := browser.New(t, http.DefaultTransport).Visit(t, data["authorization_url"].(string), callback, "alice", "alice").Query()
	status, data := callOn(t, open, "get_tokens_by_code", map[string]any{"oxd_id": site, "code": back.Get("code"), "state": back.Get("state")})
	require.Equal(t, "ok", status, data)
	return data["access_token"].(string)
}
