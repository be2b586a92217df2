package oxd_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
)

// nowhere is an AS that is away.
type nowhere struct{}

func (nowhere) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// FuzzUMAParams: whatever the parameters, there is an envelope, and it shows no
// secret.
func FuzzUMAParams(f *testing.F) {
	const host, hush = "https://op.example.com", "hush-hush-hush"
	kept, err := store.OpenSQLite(f.Context(), f.TempDir()+"/s.db", secret.Text{})
	require.NoError(f, err)
	f.Cleanup(func() { _ = kept.Close() })
	d, err := protection.Parse(json.RawMessage(photo))
	require.NoError(f, err)
	rp := oxd.RP{ID: "a", OPHost: host, Issuer: host, ClientID: "c", AuthMethod: "client_secret_basic", Secrets: oxd.RPSecrets{ClientSecret: secret.New(hush)}}
	require.NoError(f, oxd.Import(f.Context(), kept, rp, d, map[string]string{"[GET] /photo": "r-1"}, time.Now()))
	server, err := oxd.New(oxd.Config{Store: kept, Records: kept, OPs: []oxd.OP{{Host: host, Transport: nowhere{}}}})
	require.NoError(f, err)
	f.Add(`{"oxd_id":"a","resources":` + photo + `,"overwrite":true}`)
	f.Add(`{"oxd_id":"a","path":"/photo","http_method":"GET","rpt":"x","scopes":"a","scope_expression":"{\"rule\":true,\"data\":[\"a\"]}"}`)
	f.Add(`{"oxd_id":"a","ticket":"t","claims_redirect_uri":["https://x/"],"custom_parameters":{"a":"b"},"state":"s"}`)
	f.Add(`{"oxd_id":"a","resources":[{"path":"/a","conditions":[{"httpMethods":["GET"],"scope_expression":{"rule":{"var":18446744073709551616},"data":["a"]}}]}]}`)
	f.Add(`{"oxd_id":{"a":1},"rpt":[],"ticket":1e999,"scope":[null]}`)
	f.Fuzz(func(t *testing.T, params string) {
		for _, command := range []string{
			"uma_rs_protect", "uma_rs_modify", "uma_rs_check_access", "introspect_rpt", "uma_rp_get_rpt", "uma_rp_get_claims_gathering_url",
		} {
			answer, err := json.Marshal(server.Handle(t.Context(), command, json.RawMessage(params), secret.Text{}))
			require.NoError(t, err)
			require.Contains(t, string(answer), `"status":"error"`, "the AS is away")
			require.NotContains(t, strings.ReplaceAll(string(answer), params, ""), hush)
		}
	})
}
