package suite_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// errDenied means that the AS issues no RPT for a ticket.
var errDenied = errors.New("the AS denies")

const grantUMA = "urn:ietf:params:oauth:grant-type:uma-ticket"

// authServer is an AS with a registered resource server, two people, alice and
// bob, and their client "app". It owns the resources of resourceScopes; alice may
// view and edit "album", bob may view "other".
type authServer struct {
	kind   string
	issuer string
	caps   capability

	endpoints struct {
		Token         string `json:"token_endpoint"`
		Introspection string `json:"introspection_endpoint"`
		Permission    string `json:"permission_endpoint"`
		Resources     string `json:"resource_registration_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
	}
	// rs is the resource server's client, app the people's.
	rs, app  client
	patScope string
	// light is a client of the people's whose tokens do not say whose they are when
	// they are introspected with hint; app where there is none of its own.
	light client
	// hint and claims are what the AS's dialect needs in the filter.
	hint   string
	claims config.ClaimsSource

	front     *front
	resources map[string]string // name to _id
	subjects  map[string]string // name to sub
	// claimFormat is the claim_token_format of an access token, and claimant the client whose
	// tokens are taken as one.
	claimFormat string
	claimant    client
	// owned is what alice decides at the AS.
	owned ownedResource
	// expirePATs makes every PAT inactive at once; needs canExpire.
	expirePATs func()

	mu     sync.Mutex
	pat    secret.Text
	logins map[string]login // of people, without scopes
}

// ownedResource is the resource "owned", which is alice's.
type ownedResource struct {
	requests          func(t *testing.T) int // of bob to view it, that wait for her word
	approve, takeBack func(t *testing.T)
}

// login is a person's access token, good for a while.
type login struct {
	token string
	at    time.Time
}

type client struct {
	id     string
	secret secret.Text
}

// resourceScopes are what is registered at every AS.
func resourceScopes() map[string][]string {
	return map[string][]string{"album": {"view", "edit", "share"}, "other": {"view", "edit"}, "gated": {"view", "edit", "share"}}
}

// discover reads the UMA metadata, and puts up the front, which stays for owner.
func (a *authServer) discover(t *testing.T, o owner) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.issuer+"/.well-known/uma2-configuration", http.NoBody)
	require.NoError(t, err)
	status, body := send(t.Context(), t, request)
	require.Equal(t, 200, status, "%s", body)
	require.NoError(t, json.Unmarshal(body, &a.endpoints))
	parse := func(s string) *url.URL {
		u, err := url.Parse(s)
		require.NoError(t, err)
		return u
	}
	a.front = startFront(t, o, parse(a.endpoints.Introspection), parse(a.endpoints.Permission), parse(a.endpoints.Token))
	a.front.targets[signingKeys] = startKeys(t, o)
}

// register registers the resources.
func (a *authServer) register(t *testing.T) {
	t.Helper()
	a.resources = map[string]string{}
	for name, scopes := range resourceScopes() {
		a.registerOne(t, name, scopes...)
	}
}

func (a *authServer) registerOne(t *testing.T, name string, scopes ...string) {
	t.Helper()
	status, answer := a.protection(t.Context(), t, a.endpoints.Resources, map[string]any{"name": name, "resource_scopes": scopes})
	require.Equal(t, http.StatusCreated, status, "%v", answer)
	a.resources[name], _ = answer["_id"].(string)
	require.NotEmpty(t, a.resources[name])
}

// send sends a request and returns status and body.
func send(ctx context.Context, t *testing.T, r *http.Request) (int, []byte) {
	t.Helper()
	response, err := http.DefaultClient.Do(r.WithContext(ctx))
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	require.NoError(t, err)
	return response.StatusCode, body
}

// token sends a form to the token endpoint. bearer authenticates instead of c.
func (a *authServer) token(ctx context.Context, t *testing.T, c client, bearer string, form url.Values) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.endpoints.Token, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	switch {
	case bearer != "":
		request.Header.Set("Authorization", "Bearer "+bearer)
	case c.secret.IsZero():
		form.Set("client_id", c.id)
		request.Body = io.NopCloser(strings.NewReader(form.Encode()))
		request.ContentLength = int64(len(form.Encode()))
	default:
		request.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret.Reveal()))
	}
	status, body := send(ctx, t, request)
	var answer map[string]any
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	return status, answer
}

// currentPAT is the PAT in use, fetched when there is none.
func (a *authServer) currentPAT(ctx context.Context, t *testing.T) secret.Text {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.pat.IsZero() {
		form := url.Values{"grant_type": {"client_credentials"}}
		if a.patScope != "" {
			form.Set("scope", a.patScope)
		}
		status, answer := a.token(ctx, t, a.rs, "", form)
		require.Equal(t, 200, status, "%v", answer)
		value, _ := answer["access_token"].(string)
		a.pat = secret.New(value)
	}
	return a.pat
}

// dropPAT has the next who needs a PAT fetch a new one.
func (a *authServer) dropPAT() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.pat = secret.Text{}
}

// protection posts JSON to the protection API, with a new PAT if the old one is
// not accepted any more.
func (a *authServer) protection(ctx context.Context, t *testing.T, endpoint string, v any) (int, map[string]any) {
	t.Helper()
	document, err := json.Marshal(v)
	require.NoError(t, err)
	for again := range 2 {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(document))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+a.currentPAT(ctx, t).Reveal())
		status, body := send(ctx, t, request)
		if again == 0 && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
			a.dropPAT()
			continue
		}
		var answer map[string]any
		require.NoError(t, json.Unmarshal(body, &answer), "%d %s", status, body)
		return status, answer
	}
	panic("unreachable")
}

// ticket asks the AS for a permission ticket, not through a gateway.
func (a *authServer) ticket(ctx context.Context, t *testing.T, permissions ...config.Permission) string {
	t.Helper()
	status, answer := a.protection(ctx, t, a.endpoints.Permission, permissions)
	require.Equal(t, http.StatusCreated, status, "%v", answer)
	value, _ := answer["ticket"].(string)
	return value
}

// accessToken logs a person in.
func (a *authServer) accessToken(ctx context.Context, t *testing.T, user string, scopes ...string) string {
	t.Helper()
	form := url.Values{"grant_type": {"password"}, "username": {user}, "password": {user}}
	if len(scopes) > 0 {
		form.Set("scope", strings.Join(scopes, " "))
	}
	status, answer := a.token(ctx, t, a.app, "", form)
	require.Equal(t, 200, status, "%v", answer)
	value, _ := answer["access_token"].(string)
	require.NotEmpty(t, value)
	return value
}

// login is a person's access token, used again for a minute.
func (a *authServer) login(ctx context.Context, t *testing.T, user string) string {
	t.Helper()
	a.mu.Lock()
	known := a.logins[user]
	a.mu.Unlock()
	if time.Since(known.at) < time.Minute {
		return known.token
	}
	token := a.accessToken(ctx, t, user)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.logins == nil {
		a.logins = map[string]login{}
	}
	a.logins[user] = login{token, time.Now()}
	return token
}

// rpt exchanges a ticket for an RPT, as a person's client does (UMA Grant section
// 3.3.1). The error is errDenied.
func (a *authServer) rpt(ctx context.Context, t *testing.T, user, ticket, upgrade string) (string, error) {
	t.Helper()
	form := url.Values{"grant_type": {grantUMA}, "ticket": {ticket}}
	if upgrade != "" {
		form.Set("rpt", upgrade)
	}
	status, answer := a.token(ctx, t, client{}, a.login(ctx, t, user), form)
	if status != 200 {
		return "", fmt.Errorf("%w: %d %v", errDenied, status, answer)
	}
	value, _ := answer["access_token"].(string)
	return value, nil
}

// mint makes an RPT of a person for scopes of a resource.
func (a *authServer) mint(ctx context.Context, t *testing.T, user, resource string, scopes ...string) string {
	t.Helper()
	ticket := a.ticket(ctx, t, config.Permission{ResourceID: a.resources[resource], ResourceScopes: scopes})
	value, err := a.rpt(ctx, t, user, ticket, "")
	require.NoError(t, err)
	return value
}

// lightweight is mint for alice's album by the client light.
func (a *authServer) lightweight(ctx context.Context, t *testing.T) string {
	t.Helper()
	status, answer := a.token(ctx, t, a.light, "", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"alice"}})
	require.Equal(t, 200, status, "%v", answer)
	login, _ := answer["access_token"].(string)
	ticket := a.ticket(ctx, t, config.Permission{ResourceID: a.resources["album"], ResourceScopes: []string{"view"}})
	status, answer = a.token(ctx, t, client{}, login, url.Values{"grant_type": {grantUMA}, "ticket": {ticket}})
	require.Equal(t, 200, status, "%v", answer)
	value, _ := answer["access_token"].(string)
	return value
}

// session is the sid of a token, as the AS tells without a hint.
func (a *authServer) session(t *testing.T, token string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.endpoints.Introspection, strings.NewReader(url.Values{"token": {token}}.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(a.rs.id), url.QueryEscape(a.rs.secret.Reveal()))
	status, body := send(t.Context(), t, request)
	require.Equal(t, 200, status, "%s", body)
	var answer struct {
		Active bool   `json:"active"`
		SID    string `json:"sid"`
	}
	require.NoError(t, json.Unmarshal(body, &answer), "%s", body)
	require.True(t, answer.Active, "%s", body)
	return answer.SID
}

// The names of the clusters that every site's calls go to.
const (
	introspectionCluster = "as-introspection"
	permissionCluster    = "as-protection"
	evaluationCluster    = "as-evaluation"
	grantCluster         = "as-grant"
)

// server is the AS in a site's configuration.
func (a *authServer) server() config.AuthorizationServer {
	endpoint := func(cluster, path string) config.Endpoint {
		return config.Endpoint{Cluster: cluster, Scheme: "http", Authority: a.front.address, Path: path}
	}
	permit := endpoint(permissionCluster, permission)
	return config.AuthorizationServer{
		URI: a.issuer,
		Introspection: config.Introspection{
			Endpoint: endpoint(introspectionCluster, introspection), TokenTypeHint: a.hint, Claims: a.claims,
		},
		Permission: &permit,
	}
}

// evaluation is how the AS is asked what a token may.
func (a *authServer) evaluation() *config.Evaluation {
	return &config.Evaluation{
		Endpoint: config.Endpoint{Cluster: evaluationCluster, Scheme: "http", Authority: a.front.address, Path: evaluation}, Audience: a.rs.id,
	}
}

// claimEvaluation is how the AS is asked it with a permission ticket.
func (a *authServer) claimEvaluation() *config.Evaluation {
	return &config.Evaluation{
		Endpoint: config.Endpoint{Cluster: grantCluster, Scheme: "http", Authority: a.front.address, Path: evaluation}, ClaimTokenFormat: a.claimFormat,
	}
}

// endToken has the AS revoke a token of the people's client (RFC 7009).
func (a *authServer) endToken(t *testing.T, token string) {
	t.Helper()
	a.endTokenOf(t, a.app, token)
}

func (a *authServer) endTokenOf(t *testing.T, c client, token string) {
	t.Helper()
	form := url.Values{"token": {token}}
	if c.secret.IsZero() {
		form.Set("client_id", c.id)
	}
	endpoint := cmp.Or(a.endpoints.Revocation, strings.TrimSuffix(a.endpoints.Token, "/token")+"/revoke") // Keycloak's UMA metadata has none
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !c.secret.IsZero() {
		request.SetBasicAuth(url.QueryEscape(c.id), url.QueryEscape(c.secret.Reveal()))
	}
	status, body := send(t.Context(), t, request)
	require.Equal(t, 200, status, "%s", body)
}

// clusters are the clusters of server, with the credentials in force.
func (a *authServer) clusters(ctx context.Context, t *testing.T) map[string]cluster {
	t.Helper()
	return map[string]cluster{
		introspectionCluster: {a.front.address, envoyconf.Basic(a.rs.id, a.rs.secret)},
		permissionCluster:    {a.front.address, envoyconf.Bearer(a.currentPAT(ctx, t))},
		evaluationCluster:    {address: a.front.address},
		grantCluster:         {a.front.address, envoyconf.Basic(a.rs.id, a.rs.secret)},
	}
}

// asKind starts an AS. It stays until the end of o, an ancestor of the test that
// asks for it; that test ends when there is none to be had.
type asKind struct {
	name  string
	start func(t *testing.T, o owner) *authServer
}

// owner is a test that something outlives others for.
type owner interface {
	Cleanup(end func())
	Context() context.Context
	Failed() bool
	Log(args ...any)
	Errorf(format string, args ...any)
}

// patience bounds every wait for a condition. It is for a machine that is ten times
// slower than the one that a test was written on.
const patience = 2 * time.Minute

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 5*time.Millisecond, what)
}
