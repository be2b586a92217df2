package oxd_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/demo/devas"
	"github.com/umagate/umagate/plugin/config"
)

// umaKit is a kit whose server protects.
type umaKit struct {
	*kit

	pushed  *atomic.Int64
	claims  map[string]string // by oxd_id
	revoked []config.Revocations
}

func newUMAKit(t *testing.T, options devas.Options) *umaKit {
	t.Helper()
	k := &umaKit{pushed: &atomic.Int64{}, claims: map[string]string{}}
	k.kit = newKit(t, startOP(t, options), nil)
	k.serve(t, 0)
	return k
}

// serve starts anew, with another patience for the OP.
func (k *umaKit) serve(t *testing.T, timeout time.Duration) {
	t.Helper()
	server, err := oxd.New(oxd.Config{
		Store: k.store, Records: k.store, Changed: func(context.Context) (bool, error) { k.pushed.Add(1); return true, nil }, Revoked: func() []config.Revocations { return k.revoked },
		OPs: []oxd.OP{{Host: k.op.Issuer(), Timeout: timeout}}, DefaultOP: k.op.Issuer(), Defaults: site.OXDDefaults{
			Scope:      []string{"openid", "uma_protection"},
			GrantTypes: []string{"authorization_code", "client_credentials", "urn:ietf:params:oauth:grant-type:uma-ticket"},
		},
	})
	require.NoError(t, err)
	k.Server = server
}

// clientID is the client of an RP.
func (k *umaKit) clientID(t *testing.T, id string) string {
	t.Helper()
	rp, err := k.store.RP(t.Context(), id)
	require.NoError(t, err)
	return rp.ClientID
}

// permit lets alice have scopes of a resource.
func (k *umaKit) permit(t *testing.T, resource string, scopes ...string) {
	t.Helper()
	_, err := k.op.Permit(devas.Policy{Resource: resource, Scopes: scopes, Subjects: []string{"alice"}})
	require.NoError(t, err)
}

const idTokenFormat = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken"

// claim is alice's ID token, as a client of the RP has it after her login.
func (k *umaKit) claim(t *testing.T, id string) string {
	t.Helper()
	if k.claims[id] == "" {
		k.claims[id], _ = k.tokens(t, id)["id_token"].(string)
	}
	return k.claims[id]
}

func (k *umaKit) protect(t *testing.T, id, resources string, more map[string]any) {
	t.Helper()
	params := map[string]any{"oxd_id": id, "resources": json.RawMessage(resources)}
	maps.Copy(params, more)
	require.Equal(t, map[string]any{"oxd_id": id}, k.ok(t, "uma_rs_protect", params))
}

// check returns the data of a check_access that succeeded.
func (k *umaKit) check(t *testing.T, id, method, path, rpt string) map[string]any {
	t.Helper()
	return k.ok(t, "uma_rs_check_access", map[string]any{"oxd_id": id, "rpt": rpt, "path": path, "http_method": method})
}

// rpt gets an RPT for what a check without one names.
func (k *umaKit) rpt(t *testing.T, id, method, path string) string {
	t.Helper()
	denied := k.check(t, id, method, path, "")
	got := k.ok(t, "uma_rp_get_rpt", map[string]any{
		"oxd_id": id, "ticket": denied["ticket"], "claim_token": k.claim(t, id), "claim_token_format": idTokenFormat,
	})
	rpt, _ := got["access_token"].(string)
	require.NotEmpty(t, rpt)
	return rpt
}

// atAS lists what the AS has, by name.
func (k *umaKit) atAS(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, r := range k.op.Resources() {
		out[r.Name] = r.Scopes
	}
	return out
}

func (k *umaKit) records(t *testing.T, id string) map[string]string {
	t.Helper()
	list, err := k.store.Resources(t.Context(), store.Key{Site: protection.SiteName(id), Issuer: k.op.Issuer()})
	require.NoError(t, err)
	out := map[string]string{}
	for _, r := range list {
		out[r.Name] = r.ID
	}
	return out
}

const photo = `[{"path":"/photo","conditions":[
	{"httpMethods":["GET"],"scopes":["view"]},
	{"httpMethods":["PUT","POST"],"scopes":["all","add"],"ticketScopes":["add"]}]},
	{"path":"/albums/{id}/**","conditions":[{"httpMethods":["GET"],"scopes":["view"]}]}]`

// rawQuery returns the query of an address.
func rawQuery(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u.Query()
}

// opClient asks the AS as the control plane does.
func (k *umaKit) opClient() (*as.Client, error) { return as.New(as.Config{Issuer: k.op.Issuer()}) }
