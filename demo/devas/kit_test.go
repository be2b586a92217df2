package devas_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/demo/devas"
)

// kit is a server with a resource server, "rs" unless it says otherwise, that has
// a PAT.
type kit struct {
	*devas.Server // nil for another product, of which url is the issuer
	url           string
	id, secret    string
	pat           string
	badBearer     int // status for a credential that is no token, where it is not 400
}

func (k *kit) issuer() string {
	if k.url != "" {
		return k.url
	}
	return k.Issuer()
}

func (k *kit) credentials() (id, secret string) {
	if k.id != "" {
		return k.id, k.secret
	}
	return "rs", "rs-secret"
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	list   []any
	raw    string
}

func newKit(t *testing.T, options devas.Options) *kit {
	t.Helper()
	options.Clients = append(options.Clients, devas.Client{ID: "rs", Secret: "rs-secret"})
	k := &kit{Server: start(t, options)}
	k.pat = k.newPAT(t)
	return k
}

func (k *kit) newPAT(t *testing.T) string {
	t.Helper()
	a := k.post(t, "/token", "", url.Values{"grant_type": {"client_credentials"}, "scope": {"uma_protection"}})
	require.Equal(t, 200, a.status, a.raw)
	token, _ := a.body["access_token"].(string)
	return token
}

// send makes a call; an error is that of the transport.
func (k *kit) send(t *testing.T, method, path, bearer, contentType, body string) (answer, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, k.issuer()+path, strings.NewReader(body))
	require.NoError(t, err)
	if contentType != "" { // Keycloak answers 500 to an empty one.
		req.Header.Set("Content-Type", contentType)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	} else {
		req.SetBasicAuth(k.credentials())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	err = a.read(resp.Body)
	return a, err
}

// read takes what it can of a body; an error is that of the transport.
func (a *answer) read(body io.Reader) error {
	b, err := io.ReadAll(body)
	a.raw = string(b)
	var v any
	if json.Unmarshal(b, &v) == nil {
		a.body, _ = v.(map[string]any)
		a.list, _ = v.([]any)
	}
	return err
}

// register registers a client with no credentials, on any path.
func (k *kit) register(t *testing.T, path, body string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, k.issuer()+path, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	require.NoError(t, a.read(resp.Body))
	return a
}

// post sends a form, as the resource server or with a bearer token.
func (k *kit) post(t *testing.T, path, bearer string, f url.Values) answer {
	t.Helper()
	a, err := k.send(t, http.MethodPost, path, bearer, "application/x-www-form-urlencoded", f.Encode())
	require.NoError(t, err)
	return a
}

// json sends JSON with the PAT.
func (k *kit) json(t *testing.T, method, path string, v any) answer {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	a, err := k.send(t, method, path, k.pat, "application/json", string(b))
	require.NoError(t, err)
	return a
}

func (k *kit) resource(t *testing.T, name string, scopes ...string) string {
	t.Helper()
	a := k.json(t, http.MethodPost, "/uma/resources", map[string]any{"name": name, "resource_scopes": scopes})
	require.Equal(t, 201, a.status, a.raw)
	id, _ := a.body["_id"].(string)
	return id
}

// party is a person's access token of the client "app".
func (k *kit) party(t *testing.T, user string) string {
	t.Helper()
	a, err := k.send(t, http.MethodPost, "/token", "none", "application/x-www-form-urlencoded", url.Values{
		"grant_type": {"password"}, "client_id": {"app"}, "username": {user}, "password": {user}, "scope": {"openid"},
	}.Encode())
	require.NoError(t, err)
	require.Equal(t, 200, a.status, a.raw)
	token, _ := a.body["access_token"].(string)
	return token
}

// grant asks for an RPT as the person.
func (k *kit) grant(t *testing.T, user, id string, scopes ...string) answer {
	t.Helper()
	a := k.json(t, http.MethodPost, "/uma/permission", map[string]any{"resource_id": id, "resource_scopes": scopes})
	require.Equal(t, 201, a.status, a.raw)
	ticket, _ := a.body["ticket"].(string)
	return k.post(t, "/token", k.party(t, user), url.Values{"grant_type": {devas.GrantUMA}, "ticket": {ticket}})
}

func (k *kit) rpt(t *testing.T, user, id string, scopes ...string) string {
	t.Helper()
	a := k.grant(t, user, id, scopes...)
	require.Equal(t, 200, a.status, a.raw)
	token, _ := a.body["access_token"].(string)
	return token
}

func (k *kit) introspect(t *testing.T, token string) answer {
	t.Helper()
	return k.post(t, "/introspect", "", url.Values{"token": {token}})
}

// admin calls the admin API.
func (k *kit) admin(t *testing.T, method, path string, v any) answer {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	a, err := k.send(t, method, "/admin"+path, "", "application/json", string(b))
	require.NoError(t, err)
	return a
}
