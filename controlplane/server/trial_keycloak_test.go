package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/e2e/keycloak"
	"github.com/umagate/umagate/e2e/keycloak/keycloaktest"
	"github.com/umagate/umagate/envoy"
)

// between is a proxy before a Keycloak, which alters some of its answers.
type between struct {
	*httptest.Server

	// wrongSecret alters the client secret in what Keycloak answers about a registration,
	// and wrongEndpoint the introspection endpoint in its metadata.
	wrongSecret, wrongEndpoint atomic.Bool
}

func newBetween(t *testing.T, as *keycloak.Server) *between {
	t.Helper()
	b := &between{}
	target, err := url.Parse(as.URL())
	require.NoError(t, err)
	proxy := &httputil.ReverseProxy{
		// The host stays the proxy's own, so that Keycloak's issuer is here.
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: b.alter,
	}
	b.Server = httptest.NewServer(proxy)
	t.Cleanup(b.Close)
	return b
}

func (b *between) issuer() string { return b.URL + "/realms/" + keycloak.Realm }

func (b *between) alter(r *http.Response) error {
	member, value := "", ""
	switch path := r.Request.URL.Path; {
	case b.wrongSecret.Load() && strings.Contains(path, "/clients-registrations/"):
		member, value = "client_secret", "a-secret-that-keycloak-does-not-take"
	case b.wrongEndpoint.Load() && strings.Contains(path, "/.well-known/"):
		member, value = "introspection_endpoint", b.URL+"/nothing-is-here"
	default:
		return nil
	}
	var document map[string]any
	if err := json.NewDecoder(r.Body).Decode(&document); err != nil {
		return fmt.Errorf("altering an answer: %w", err)
	}
	document[member] = value
	altered, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("altering an answer: %w", err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(altered)), int64(len(altered))
	r.Header.Set("Content-Length", strconv.Itoa(len(altered)))
	return nil
}

// post sends a form to the token endpoint, and gives the access token.
func (b *between) post(ctx context.Context, bearer string, form url.Values) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.issuer()+"/protocol/openid-connect/token", strings.NewReader(form.Encode()))
	if err != nil {
		return ""
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Token string `json:"access_token"`
	}
	_ = json.NewDecoder(resp.Body).Decode(&answer)
	return answer.Token
}

// guest visits three sites: one with RPTs, and two that give tickets only.
type guest struct {
	*between

	base string // of Envoy
}

func (g *guest) visit(ctx context.Context) string {
	for _, host := range []string{"keys.example.com", "methods.example.com"} {
		if _, problem := g.ticket(ctx, host); problem != "" {
			return problem
		}
	}
	ticket, problem := g.ticket(ctx, "photos.example.com")
	if problem != "" {
		return problem
	}
	token := g.post(ctx, "", url.Values{"grant_type": {"password"}, "client_id": {keycloak.AppClient}, "username": {"alice"}, "password": {"alice"}})
	rpt := g.post(ctx, token, url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:uma-ticket"}, "ticket": {ticket}})
	if status, _, err := g.get(ctx, "photos.example.com", rpt); err != nil || status != http.StatusOK {
		return fmt.Sprintf("with an RPT: %d, %v", status, err)
	}
	return ""
}

func (g *guest) ticket(ctx context.Context, host string) (ticket, problem string) {
	status, challenge, err := g.get(ctx, host, "")
	_, ticket, ok := strings.Cut(challenge, `ticket="`)
	if err != nil || status != http.StatusUnauthorized || !ok {
		return "", fmt.Sprintf("%s without a token: %d, %s, %v", host, status, challenge, err)
	}
	ticket, _, _ = strings.Cut(ticket, `"`)
	return ticket, ""
}

func (g *guest) get(ctx context.Context, host, token string) (status int, challenge string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.base+"/albums/1", http.NoBody)
	if err != nil {
		return 0, "", err
	}
	req.Host = host
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("WWW-Authenticate"), resp.Body.Close()
}

// TestMakeBeforeBreak: a key, a secret, a way to authenticate and endpoints that are new and
// do not work are told and replace nothing, at a real Keycloak and Envoy: nobody meets them. They are tried again,
// and taken when they work.
func TestMakeBeforeBreak(t *testing.T) {
	t.Parallel()
	as := keycloaktest.Start(t)
	require.NoError(t, as.SetAccessTokenLifespan(t.Context(), 20*time.Second)) // so that PATs are renewed meanwhile
	b := newBetween(t, as)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	t.Cleanup(api.Close)
	p := newPlane(t)
	p.Options.Intervals = server.Intervals{} // those of production, but for what is done by the hour
	p.Options.Intervals.Site.Discover, p.Options.Intervals.Site.RetryMax = time.Second, 2*time.Second
	var away atomic.Bool
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		httputil.NewSingleHostReverseProxy(p.target()).ServeHTTP(w, r)
	}))
	t.Cleanup(keys.Close)
	const basic = "token_endpoint_auth_method: client_secret_basic"
	jwt := func(published string) string {
		return fmt.Sprintf("token_endpoint_auth_method: private_key_jwt, keys: {jwks_uri: %q, publish_before: 1s}", published)
	}
	type methods struct{ methods, photos string }
	now := methods{basic, basic}
	config := func(name string) string {
		return fmt.Sprintf(`
listen: {api: "127.0.0.1:0", xds: "127.0.0.1:0"}
envoy: {listener: "127.0.0.1:0"}
plugin: {wasm: %q}
sites:
- name: keys
  hosts: [keys.example.com]
  upstream: %s
  authorization_server:
    issuer: %s
    client: {register: {}, token_endpoint_auth_method: private_key_jwt, keys: {jwks_uri: %q, publish_before: 1s}}
    introspection: {credential: pat} # which Keycloak does not take: tickets are all that there is
  resources: [{name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
- name: methods
  hosts: [methods.example.com]
  upstream: %s
  authorization_server: {issuer: %s, introspection: {credential: pat}, client: {register: {}, %s}}
  resources: [{name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
- name: photos
  hosts: [photos.example.com]
  upstream: %s
  authorization_server: {issuer: %s, client: {register: {client_name: %s}, %s}}
  token: {max_ttl: 0s, negative_ttl: 0s}
  resources: [{name: albums, conditions: [{paths: ["/albums/**"], scopes: [view]}]}]
`, servertest.Module(t), api.URL, b.issuer(), keys.URL+"/v1/sites/keys/jwks.json", api.URL, b.issuer(), now.methods, api.URL, b.issuer(), name, now.photos)
	}
	p.Write(config("first"))
	p.Start()
	site := func(s server.Status, name string) server.SiteStatus {
		return s.Sites[slices.IndexFunc(s.Sites, func(site server.SiteStatus) bool { return site.Name == name })]
	}
	ready := p.Until("all serve", func(s server.Status) bool {
		return len(s.Sites) == 3 && !slices.ContainsFunc(s.Sites, func(site server.SiteStatus) bool { return site.Resources.Registered != 1 || site.Failure != nil })
	})
	require.NoError(t, as.ImportPolicies(t.Context(), site(ready, "photos").ClientID, keycloak.Grant{Persons: []string{"alice"}, Scopes: []string{"view"}}))
	g := &guest{between: b, base: p.Protect(envoy.Options{}).Base}
	l := comeAgain(t, g.visit, p.names)
	l.until(t, "a visit goes well", time.Now(), func(m moment) bool { return m.met == "" })
	began := time.Now()

	for _, f := range []struct {
		kind            health.Kind
		breakIt, mendIt func()
	}{{
		health.ClientKeyNotReplaced,
		func() {
			away.Store(true)
			made, err := p.operation().RotateKeys(t.Context())
			require.NoError(t, err)
			require.Len(t, made, 2)
		},
		func() { away.Store(false) },
	}, {
		health.ClientSecretNotTaken,
		func() { b.wrongSecret.Store(true); p.Write(config("second")) },
		func() { b.wrongSecret.Store(false); p.Write(config("third")) },
	}, {
		// Keycloak cannot read the key, and so takes no assertion.
		health.ClientMetadataOutdated,
		func() { now.methods = jwt(keys.URL + "/nothing-is-here"); p.Write(config("third")) },
		func() { now.methods = jwt(keys.URL + "/v1/sites/methods/jwks.json"); p.Write(config("third")) },
	}, {
		// Envoy introspects with the client's authentication, and cannot sign.
		health.CandidateRefused,
		func() { now.photos = jwt(keys.URL + "/v1/sites/photos/jwks.json"); p.Write(config("third")) },
		func() { now.photos = basic; p.Write(config("third")) },
	}, {
		health.MetadataNotTaken,
		func() { b.wrongEndpoint.Store(true) },
		func() { b.wrongEndpoint.Store(false) },
	}} {
		tells := func(m moment) bool { return slices.Contains(m.conditions, f.kind.Name) }
		broken := time.Now()
		f.breakIt()
		told := l.until(t, "it is told: "+f.kind.Name, broken, tells)
		require.LessOrEqual(t, told.Sub(broken), apart)
		// It goes on for longer than a PAT lives.
		l.until(t, "it lasts", told.Add(21*time.Second), tells)
		mended := time.Now()
		f.mendIt()
		healed := l.until(t, "it heals: "+f.kind.Name, mended, func(m moment) bool { return !tells(m) })
		t.Logf("%s: told after %s, healed after %s", f.kind.Name, told.Sub(broken).Round(time.Millisecond), healed.Sub(mended).Round(time.Millisecond))
	}
	l.until(t, "a visit after all", time.Now(), func(m moment) bool { return m.met == "" })
	for _, m := range l.since(began) {
		require.Empty(t, m.met, "at %s", m.at)
	}
	after := p.Status()
	require.NotEqual(t, site(ready, "keys").KeyID, site(after, "keys").KeyID, "the new key is in use")
	require.Equal(t, site(ready, "photos").ClientID, site(after, "photos").ClientID)
	require.Equal(t, site(ready, "methods").ClientID, site(after, "methods").ClientID)
	require.Equal(t, "client_secret_basic", site(ready, "methods").AuthMethod)
	require.Equal(t, "private_key_jwt", site(after, "methods").AuthMethod)
}
