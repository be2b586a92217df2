package suite_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
)

// scenario is one row of the table. It has steps, or a run, or both: the steps
// come first.
type scenario struct {
	name  string
	needs capability
	// once: the AS does not matter, so the scenario runs with the first one only.
	once bool
	// site changes the standard site, which the scenario then has to itself.
	site func(e *env, s *config.Site)
	// more adds sites.
	more  func(e *env) []config.Site
	steps []step
	run   func(e *env)
}

// step is a request and what must be seen.
type step struct {
	name string
	// before is done first.
	before func(t *testing.T, e *env)

	method string // GET when empty
	path   string
	host   string // the scenario's own when empty
	// token is "user/resource/scope,scope" for an RPT, minted once in a scenario;
	// "=text" for a literal, "@user scope scope" for a plain access token, empty for
	// none.
	token  string
	header http.Header
	body   string

	status int
	// code is the reason in the problem body.
	code string
	// challenge starts the WWW-Authenticate: "UMA", "Bearer", or empty for none;
	// fault is its error.
	challenge, fault string
	// own: a status below 400 is the filter's own.
	own bool
	// answer are headers of the answer, several of a name with "|" between them; "" is for
	// those that must not be there.
	answer map[string]string
	// api are headers that the API got; "" is for those that it must not get. For
	// a step whose status is of the API.
	api map[string]string
	// target is what the API got, when it is not path.
	target string
	// introspections and tickets are the calls to the AS; -1 is any number.
	introspections, tickets int
}

// env is what a scenario runs with.
type env struct {
	t     *testing.T // the scenario's
	gw    gateway
	as    *authServer
	api   *api
	front *front
	// d is what the gateway has.
	d delivery
	// name and host are those of the scenario's site.
	name, host string
	client     *client1
	tokens     map[string]string
}

// newEnv is the frame of one scenario.
func (e *env) of(s *scenario) *env {
	own := *e
	own.name, own.host, own.tokens = s.name, s.name+".test", map[string]string{}
	return &own
}

// standardSite is the site of a scenario before it changes it. "album" and "other"
// are protected; the photo albums 1 and 3 and echoes belong to them.
func (e *env) standardSite() config.Site {
	return config.Site{
		Name: e.name, Hosts: []string{e.host}, AuthorizationServer: e.as.server(),
		Resources: []config.Resource{
			{Name: "album", ID: e.as.resources["album"], Conditions: []config.Condition{
				{Paths: []string{"/albums/1", "/albums/1/**", "/echo/album/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}},
				{Paths: []string{"/albums/1", "/albums/1/**", "/echo/album/**"}, Methods: []string{"PUT", "POST", "DELETE"}, Scopes: []string{"edit"}},
			}},
			{Name: "other", ID: e.as.resources["other"], Conditions: []config.Condition{
				{Paths: []string{"/albums/3", "/echo/other/**"}, Methods: []string{"GET"}, Scopes: []string{"view"}},
			}},
			{Name: "open", Conditions: []config.Condition{
				{Paths: []string{"/healthz", "/echo/public/**"}, Public: true},
			}},
		},
	}
}

// sites are what a scenario adds to the configuration.
func (s *scenario) sites(e *env) []config.Site {
	site := e.standardSite()
	if s.site != nil {
		s.site(e, &site)
	}
	sites := []config.Site{site}
	if s.more != nil {
		sites = append(sites, s.more(e)...)
	}
	return sites
}

// run runs every scenario that a gateway and an AS can do.
func runScenarios(t *testing.T, e *env, table []scenario) {
	t.Helper()
	can := e.gw.can() | e.as.caps
	for i := range table {
		s := &table[i]
		t.Run(s.name, func(t *testing.T) {
			if missing := s.needs &^ can; missing != 0 {
				t.Skipf("%s with %s cannot do this (capability %b)", e.gw.name(), e.as.kind, missing)
			}
			own := e.of(s)
			own.t, own.client = t, newClient(t, e.gw.address())
			defer own.api.begin(own.host)()
			for j := range s.steps {
				own.step(t, &s.steps[j])
			}
			if s.run != nil {
				s.run(own)
			}
		})
	}
}

// wholeConfig has a site for every scenario.
func wholeConfig(e *env, table []scenario) config.Config {
	c := config.Config{Version: config.Version, Cache: config.Cache{Entries: 2 * negativeEntries, NegativeEntries: negativeEntries}}
	for i := range table {
		c.Sites = append(c.Sites, table[i].sites(e.of(&table[i]))...)
	}
	return c
}

// step does one step and checks everything about it.
func (e *env) step(t *testing.T, s *step) {
	t.Helper()
	if s.before != nil {
		s.before(t, e)
	}
	token := e.token(t, s.token)
	introspections, tickets := e.front.count(introspection), e.front.count(permission)
	dials := e.client.dials.Load()
	e.api.look()
	r := e.client.do(t, e.request(t, s, token))
	message := fmt.Sprintf("step %q: %s %s: %d %s %s", s.name, s.method, s.path, r.status, r.header, r.body)
	require.Equal(t, s.status, r.status, message)
	s.checkAnswer(t, e, r, message)
	s.checkAPI(t, e, r, message)
	// A new connection may be on another worker, which has to ask for itself.
	slack := int(e.client.dials.Load() - dials)
	if s.introspections >= 0 {
		n := e.front.count(introspection) - introspections
		require.True(t, n == s.introspections || n > s.introspections && n <= s.introspections+slack, "introspections %d; %s", n, message)
	}
	if s.tickets >= 0 {
		require.Equal(t, s.tickets, e.front.count(permission)-tickets, "tickets; %s", message)
	}
}

func (e *env) request(t *testing.T, s *step, token string) *http.Request {
	t.Helper()
	method, host := s.method, s.host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = e.host
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+e.gw.address(), strings.NewReader(s.body))
	require.NoError(t, err)
	if s.body == "" {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	r.URL.Opaque, r.Host = s.path, host
	maps.Copy(r.Header, s.header)
	if token != "" {
		r.Header["Authorization"] = append(r.Header["Authorization"], "Bearer "+token)
	}
	return r
}

// token makes the token that a step names.
func (e *env) token(t *testing.T, spec string) string {
	t.Helper()
	if literal, ok := strings.CutPrefix(spec, "="); ok {
		return literal
	}
	if spec == "" || e.tokens[spec] != "" {
		return e.tokens[spec]
	}
	if plain, ok := strings.CutPrefix(spec, "@"); ok {
		fields := strings.Fields(plain)
		e.tokens[spec] = e.as.accessToken(t.Context(), t, fields[0], fields[1:]...)
		return e.tokens[spec]
	}
	parts := strings.Split(spec, "/")
	require.Len(t, parts, 3, "a token is user/resource/scopes")
	e.tokens[spec] = e.as.mint(t.Context(), t, parts[0], parts[1], strings.Split(parts[2], ",")...)
	return e.tokens[spec]
}

// fresh mints an RPT of alice's for her album that no gateway has seen.
func (e *env) fresh(t *testing.T, scope string) string {
	t.Helper()
	return e.as.mint(t.Context(), t, "alice", "album", scope)
}

func (s *step) checkAnswer(t *testing.T, e *env, r *answer, message string) {
	t.Helper()
	if s.code != "" {
		require.Equal(t, s.code, r.code, message)
		require.Equal(t, "no-store", r.header.Get("Cache-Control"), message)
	}
	challenges := r.header.Values("Www-Authenticate")
	if s.challenge == "" {
		require.Empty(t, challenges, message)
	} else {
		require.Len(t, challenges, 1, message)
		c := parseChallenge(challenges[0])
		require.Equal(t, s.challenge, c.scheme, message)
		require.Equal(t, s.fault, c.params["error"], message)
		if s.challenge == "UMA" {
			require.Equal(t, e.as.issuer, c.params["as_uri"], message)
			require.NotEmpty(t, c.params["ticket"], message)
			require.NotEmpty(t, c.params["realm"], message)
		}
	}
	for name, want := range s.answer {
		require.Equal(t, want, strings.Join(r.header.Values(name), "|"), "header %s; %s", name, message)
	}
}

func (s *step) checkAPI(t *testing.T, e *env, r *answer, message string) {
	t.Helper()
	seen := e.api.look()
	if s.code != "" || s.status >= 400 || s.own {
		require.Empty(t, seen, "the API was reached; %s", message)
		return
	}
	want := s.target
	if want == "" {
		want = s.path
	}
	require.Equal(t, []string{want}, seen, message)
	for name, value := range s.api {
		got := r.echo.Headers.Values(name)
		if value == "" {
			require.Empty(t, got, "header %s reached the API; %s", name, message)
			continue
		}
		require.Equal(t, []string{strings.NewReplacer("{album}", e.as.resources["album"], "{gated}", e.as.resources["gated"]).Replace(value)}, got, "header %s; %s", name, message)
	}
}

// update changes what the gateway has, until the end of the test.
func (e *env) update(t *testing.T, change func(c *config.Config)) error {
	t.Helper()
	next := e.d
	next.config.Sites = append([]config.Site(nil), e.d.config.Sites...)
	change(&next.config)
	next.clusters = e.as.clusters(t.Context(), t)
	return e.gw.update(t.Context(), next) //nolint:wrapcheck // a test's own
}

// restore gives the gateway what it had at first.
func (e *env) restore(t *testing.T) {
	t.Helper()
	e.d.clusters = e.as.clusters(t.Context(), t)
	require.NoError(t, e.gw.update(t.Context(), e.d))
}

// site is the scenario's own site in a configuration.
func (e *env) site(c *config.Config) *config.Site {
	for i := range c.Sites {
		if c.Sites[i].Name == e.name {
			return &c.Sites[i]
		}
	}
	return nil
}
