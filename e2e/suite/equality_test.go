package suite_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/demo/wasmhost"
	"github.com/umagate/umagate/e2e/native"
	"github.com/umagate/umagate/plugin/config"
)

// FuzzNativeEqualsWasm plays the same script of requests and AS answers to the
// native core and to the wasm module, and compares all that can be seen: the
// answer to the client, what the API got, what the AS was asked.
func FuzzNativeEqualsWasm(f *testing.F) {
	pair := newPair(f)
	for seed := range uint64(24) {
		f.Add(seed, uint16(40))
	}
	f.Fuzz(func(t *testing.T, seed uint64, length uint16) {
		s := newScript(seed)
		require.NoError(t, pair.update(t.Context(), s.config()))
		began := time.Now()
		for range min(length, 120) {
			r := s.request()
			ours, theirs := pair.native.play(t, r), pair.wasm.play(t, r)
			if time.Since(began) > 900*time.Millisecond {
				return // a lack of rights is asked for again after a second, by each when it is that late
			}
			require.Equal(t, ours, theirs, "seed %d, %s", seed, r)
		}
	})
}

// pair is the two of them with the same world around.
type pair struct {
	native, wasm *player
	update       func(ctx context.Context, c config.Config) error
}

// player is one of the two: a handler, and what it did.
type player struct {
	handler http.Handler
	world   *world
}

// world stands for the API and the AS of a player. It answers by the script.
type world struct {
	mu      sync.Mutex
	answers map[string]scripted // by token; "" is the ticket's
	seen    []string
}

// scripted is an answer of the AS.
type scripted struct {
	status int
	body   string
}

var errScripted = errors.New("the script says that the AS does not answer")

func newPair(t testing.TB) *pair {
	t.Helper()
	first := newScript(0).config()
	document, err := config.Encode(&first)
	require.NoError(t, err)
	ours, theirs := &world{}, &world{}
	gateway, err := native.New(t.Context(), native.Options{
		Config: first, Upstream: &url.URL{Scheme: "http", Host: "api.test"}, UpstreamTransport: roundTripper(ours.api),
		Clusters: map[string]native.Cluster{"as": {Credential: secret.New("Bearer pat"), Transport: roundTripper(ours.as)}},
	})
	require.NoError(t, err)
	t.Cleanup(gateway.Close)
	host, err := wasmhost.New(t.Context(), wasmhost.Options{
		AllowOnHeadersStopIteration: true,
		Wasm:                        readModule(t), Config: document, Upstream: &url.URL{Scheme: "http", Host: "api.test"}, UpstreamTransport: roundTripper(theirs.api),
		Clusters: map[string]wasmhost.Cluster{"as": {Credential: secret.New("Bearer pat"), Transport: roundTripper(theirs.as)}}, Workers: 1, RootID: "umagate", CompilationCacheDir: compiled,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, host.Close(context.WithoutCancel(t.Context()))) })
	return &pair{
		&player{gateway, ours}, &player{host, theirs},
		func(ctx context.Context, c config.Config) error {
			document, err := config.Encode(&c)
			if err != nil {
				return err //nolint:wrapcheck // a test's own
			}
			return errors.Join(gateway.UpdateConfig(c), host.UpdateConfig(ctx, document))
		},
	}
}

type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func respond(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}

// api notes what of the request the filter may have changed.
func (w *world) api(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	var headers []string
	for name, values := range r.Header {
		switch name {
		case "X-Request-Id", "X-Forwarded-Proto", "X-Forwarded-For", "User-Agent", "Content-Length":
			continue // of the proxies themselves
		}
		// Some of equal names become one line in Envoy.
		headers = append(headers, fmt.Sprintf("%s=%q", name, strings.Join(values, ",")))
	}
	slices.Sort(headers)
	w.note(fmt.Sprintf("API: %s %s %s %s", r.Method, r.Host, r.URL.RequestURI(), headers))
	return respond(r, 200, "{}"), nil
}

// as answers by the script.
func (w *world) as(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err //nolint:wrapcheck // a test's own
	}
	w.note(fmt.Sprintf("AS: %s %s %s %s %s", r.Method, r.Host, r.URL.RequestURI(), r.Header.Get("Authorization"), body))
	w.mu.Lock()
	token := ""
	if form, err := url.ParseQuery(string(body)); err == nil && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		token = form.Get("token")
	}
	answer := w.answers[token]
	w.mu.Unlock()
	if answer.status == 0 {
		return nil, errScripted
	}
	return respond(r, answer.status, answer.body), nil
}

func (w *world) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, s)
}

// outcome is all that can be seen of one request.
type outcome struct {
	Status int
	Header http.Header
	Body   string
	Seen   []string
}

// play sends a request.
func (p *player) play(t *testing.T, r *scriptedRequest) outcome {
	t.Helper()
	p.world.mu.Lock()
	p.world.answers, p.world.seen = r.answers, nil
	p.world.mu.Unlock()
	request := httptest.NewRequestWithContext(t.Context(), r.method, "/", bytes.NewReader(r.body))
	request.RequestURI, request.Host = r.target, r.host
	for _, h := range r.headers {
		request.Header[h[0]] = append(request.Header[h[0]], h[1])
	}
	if len(r.body) == 0 {
		request.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, request)
	header := recorder.Header().Clone()
	header.Del("Content-Length") // a recorder has it or not by who wrote it
	header.Del("Date")
	for name, values := range header {
		if len(values) == 1 && values[0] == "" || len(values) == 0 {
			delete(header, name)
		}
	}
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	body := recorder.Body.String()
	if r.method == http.MethodHead {
		body = "" // which net/http's server would not send
		header.Del("Grpc-Message")
	}
	return outcome{recorder.Code, header, body, p.world.seen}
}

// script makes configurations and requests of a seed.
type script struct{ *rand.Rand }

func newScript(seed uint64) *script {
	return &script{rand.New(rand.NewPCG(seed, seed))}
}

type scriptedRequest struct {
	method, host, target string
	headers              [][2]string
	body                 []byte
	answers              map[string]scripted
}

// String implements fmt.Stringer.
func (r *scriptedRequest) String() string {
	return fmt.Sprintf("%s %q %q %q; the AS: %v", r.method, r.host, r.target, r.headers, r.answers)
}

func pick[T any](s *script, list ...T) T { return list[s.IntN(len(list))] }

// config is a configuration with a choice for everything that has one.
func (s *script) config() config.Config {
	site := func(name string, hosts ...string) config.Site {
		endpoint := func(path string) config.Endpoint {
			return config.Endpoint{Cluster: "as", Authority: "as.test", Path: path}
		}
		permit := endpoint("/permission")
		view := config.Condition{
			Paths: []string{"/a/{id}", "/a/{id}/**", "/a/{id}.json", "/a/{id}:export"}, Methods: []string{"GET"}, Scopes: []string{"view", "share"},
			Mode: pick(s, "", "", config.ModeMonitor, config.ModeOff),
		}
		edit := config.Condition{Paths: []string{"/a/{id}"}, Methods: []string{"PUT", "DELETE"}, ScopeExpression: &config.ScopeExpression{
			Rule: []byte(pick(s, `{"and":[{"var":0},{"var":1}]}`, `{"or":[{"var":0},{"!":{"var":1}}]}`, `{"if":[{"var":0},{"var":1},true]}`)),
			Data: []string{"edit", "view"},
		}}
		return config.Site{
			Name: name, Hosts: hosts,
			Settings: config.Settings{
				Mode: pick(s, "", "", "", config.ModeMonitor, config.ModeOff), Unmatched: pick(s, "", config.UnmatchedAllow, config.UnmatchedAuthenticated),
				AmbiguousPaths: pick(s, "", config.PathsNormalize), Case: pick(s, "", config.CaseInsensitive), OverrideHeaders: pick(s, "", config.HeaderKeep),
				CORSPreflight: pick(s, "", config.VerdictAllow), Require: pick(s, "", "", config.RequireOAuthScopes),
			},
			Token: config.Token{
				Issuers: pick(s, nil, nil, []string{"https://as.test"}), ClientIDs: pick(s, nil, nil, []string{"app"}),
				AuthorizationHeader: pick(s, "", config.HeaderStrip), MaxTTLMS: pick(s, 0, -1), NegativeTTLMS: pick(s, 0, -1),
			},
			Limits: config.Limits{TicketsPerSecond: 100_000, TicketBurst: 100_000},
			AuthorizationServer: config.AuthorizationServer{
				URI: "https://as.test", Permission: &permit, Introspection: config.Introspection{
					Endpoint: endpoint("/introspect"), TokenTypeHint: pick(s, "", "requesting_party_token"), Claims: pick(s, "", config.ClaimsFromToken),
				},
			},
			Resources: []config.Resource{
				{Name: "a", ID: pick(s, "id-a", "id-a", ""), Conditions: []config.Condition{view, edit}},
				{Name: "open", Conditions: []config.Condition{{Paths: []string{"/open/**", "/a/new", "/a/x-{y}"}, Public: true}, {Paths: []string{"/open/x/"}, Deny: true}}},
				{Name: "closed", Conditions: []config.Condition{
					{Paths: []string{"/open/closed/**", "/open/{x}.key"}, Methods: pick(s, nil, []string{"GET", "POST"}), Deny: true, Mode: pick(s, "", "", config.ModeMonitor, config.ModeOff, config.ModeEnforce)},
				}},
			},
		}
	}
	return config.Config{
		// A revision of its own keeps the sites' caches apart from those of other scripts.
		Version: config.Version, Revision: fmt.Sprint(s.Uint64()), UnknownHosts: pick(s, "", "", config.VerdictAllow),
		Sites: []config.Site{site(fmt.Sprintf("s%d", s.Uint32()), "one.test", "*.one.test"), site(fmt.Sprintf("t%d", s.Uint32()), pick(s, "two.test", "*"))},
	}
}

// request is a request and what the AS says meanwhile.
func (s *script) request() *scriptedRequest {
	r := &scriptedRequest{
		method: pick(s, "GET", "GET", "GET", "PUT", "DELETE", "HEAD", "OPTIONS", "POST", "PATCH"),
		host:   pick(s, "one.test", "one.test", "a.one.test", "ONE.test:80", "One.Test", "a.ONE.test:0443", "two.test", "TWO.test", "three.test", "Three.TEST:08080", "one.test.", "a@one.test", ""),
		target: pick(s, "/a/1", "/a/1", "/a/1/b", "/a/new", "/A/1", "/a/1.json", "/a/1:export", "/a/x-1.json", "/a/x-1", "/open/x", "/open/closed/x", "/open/a.key", "/open%D0%AFclosed", "/a%D0%AF1", "/a/1?x=/open", "/a/1?_method=PUT", "/nowhere") +
			pick(s, "", "", "", "", "/", "/..", "/%2e%2e/", ";x", "/%2f", "//", "/%41", "/caf%C3%A9", "/%D0%AF", "%20", ".", "..", "/..%20/x", "?q", "?_method=%47et"),
		answers: map[string]scripted{
			"": pick(s, scripted{201, `{"ticket":"t-1"}`}, scripted{201, `{"ticket":"t-1"}`}, scripted{200, `{"ticket":"t-2"}`}, scripted{500, "{}"}, scripted{201, "{}"}, scripted{0, ""}, scripted{403, "{}"}, scripted{503, "{}"}),
		},
	}
	tokens := []string{"good", "good", "half", "bad", "odd", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJqd3QiLCJpc3MiOiJodHRwczovL2FzLnRlc3QiLCJhenAiOiJhcHAifQ.c2ln"}
	if s.IntN(4) > 0 {
		r.headers = append(r.headers, [2]string{"Authorization", pick(s, "Bearer ", "Bearer ", "Bearer ", "bearer ", "Basic ", "Bearer  ", "DPoP ") + pick(s, tokens...)})
	}
	if s.IntN(12) == 0 {
		r.headers = append(r.headers, [2]string{"Authorization", "Bearer second"})
	}
	names := map[string]bool{}
	for range s.IntN(4) {
		name := pick(s, "X-Uma-Subject", "X_uma_subject", "X.uma.scopes", "X-Http-Method-Override", "X-Original-Url", "X-Other", "Origin", "Access-Control-Request-Method", "Content-Type", "X-Forwarded-Prefix", "X_forwarded_path", "X-Host")
		if !names[name] { // of two equal ones each host makes what it makes
			names[name] = true
			r.headers = append(r.headers, [2]string{name, pick(s, "forged", "application/grpc", "PUT", "https://app.test")})
		}
	}
	if s.IntN(3) == 0 {
		r.body = []byte("body")
	}
	for _, token := range tokens {
		r.answers[token] = scripted{200, s.introspection()}
	}
	if s.IntN(6) == 0 {
		r.answers["odd"] = pick(s, scripted{0, ""}, scripted{500, "{}"}, scripted{401, "{}"}, scripted{200, "<html>"}, scripted{200, ""}, scripted{200, `{"active":"true"}`}, scripted{302, ""})
	}
	return r
}

func (s *script) introspection() string {
	scopes := func() string {
		return pick(s, `["view"]`, `["edit"]`, `["view","edit"]`, `["share"]`, `[]`, `["View"]`, `"view"`, `null`)
	}
	permission := func() string {
		return `{"resource_id":` + pick(s, `"id-a"`, `"id-a"`, `"id-b"`, `""`, `1`) + `,"resource_scopes":` + scopes() + pick(s, ``, ``, `,"exp":1`, `,"exp":99999999999`, `,"nbf":99999999999`) + `}`
	}
	return `{"active":` + pick(s, "true", "true", "true", "true", "false", `"true"`, "1") +
		pick(s, ``, `,"sub":"alice"`, `,"sub":"a\nb"`, `,"sub":"100%"`, `,"sub":"é"`) + pick(s, ``, `,"iss":"https://as.test"`, `,"iss":"https://other.test"`) +
		pick(s, ``, `,"client_id":"app"`, `,"client_id":"other"`) + pick(s, ``, ``, `,"exp":1`, `,"exp":99999999999`, `,"exp":"1"`) + pick(s, ``, `,"scope":"view edit"`, `,"scope":"share"`) +
		pick(s, ``, `,"aud":"a"`, `,"aud":["a","b"]`, `,"cnf":{"jkt":"x"}`) +
		pick(s, ``, `,"permissions":[`+permission()+`]`, `,"permissions":[`+permission()+`,`+permission()+`]`, `,"permissions":[]`, `,"permissions":{}`) + `}`
}
