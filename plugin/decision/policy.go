package decision

import (
	"slices"
	"strings"
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

// Policy is a compiled configuration. It is immutable.
type Policy struct {
	// Revision is the control plane's name for the configuration.
	Revision string
	// Unreported says that nobody reads decisions.
	Unreported bool

	allowUnknownHosts bool
	cache             config.Cache
	hosts             *route.Hosts
	sites             []*site
	shared            []*sharing // of hosts that several sites have
	revocations       []config.Revocations
	removals          map[string]string
}

// Sites returns the names of the sites.
func (p *Policy) Sites() []string {
	names := make([]string, len(p.sites))
	for i, s := range p.sites {
		names[i] = s.name
	}
	return names
}

// Told reports whether there is a site of which others than a log act on reports, see
// [Exchange.Told].
func (p *Policy) Told() bool {
	for _, s := range p.sites {
		if s.reported != nil {
			return true
		}
	}
	return false
}

// CacheBytes is what the caches of one worker may take, in bytes.
func (p *Policy) CacheBytes() int {
	const perInstance = 512
	n := p.cache.Bytes + p.cache.NegativeBytes
	for _, s := range p.sites {
		if s.resolver != nil {
			n += perInstance * (s.resolver.entries + s.resolver.negativeEntries)
		}
	}
	return n
}

// WaitingBytes is what the headers of the requests that wait at one site may take, and all
// streams that end with their tokens.
func (p *Policy) WaitingBytes() int {
	n, streams := 0, 0
	for _, s := range p.sites {
		n = max(n, s.limits.WaitingBytes)
		if s.endsStreams {
			streams += s.limits.StreamBytes
		}
	}
	return n + streams
}

type site struct {
	name, realm, asURI string
	hosts, prefixes    []string
	names              []string // of its AS in iss
	byIssuer           bool     // the token's issuer makes a request one of the site
	withoutIssuer      bool     // its AS may be asked about tokens that name no issuer
	mode               config.Mode
	strictest          config.Mode // of the site and its conditions; off is off for all
	allowUnmatched     bool
	unmatched          *condition // asks for a token, and for no permission
	allowPreflight     bool
	cors               *cors                // nil for none
	sources            *config.TokenSources // beside Authorization; nil for none
	documents          []*document          // its metadata; those of longer paths first
	askedScope         string               // of challenges, where it requires no OAuth scopes
	normalize          bool
	keepOverrides      bool
	dropAuthorization  bool
	endsStreams        bool // see live
	permittedLists     bool // see listing
	unknownAS          bool // the control plane has not reached the AS yet
	oauth              bool // plain OAuth scopes instead of UMA permissions
	bearer             bool // RFC 6750's challenge, and no tickets
	bothChallenges     bool // that challenge beside the ticket

	issuers, audiences, clientIDs []string
	leeway                        int64 // seconds
	maxTTL, negativeTTL           time.Duration
	stale                         time.Duration // see freshness
	ahead                         bool          // see refreshAhead
	refreshRate                   config.Limits // for bucket

	named  []uma.ClaimPath // claims that are kept of a token
	claims []claimRule     // for every token

	headers  []claimHeader // for the API
	reported []tokenClaim  // for the access log and other filters
	signer   *signer       // of the token that it is told by; nil for none

	limits     config.Limits
	introspect endpoint
	hint       string // token_type_hint
	clientID   string // client_id of introspection
	fromToken  bool   // claims are read from the token
	permission endpoint
	evaluator  *evaluator // nil where the AS is not asked what a token may

	// key changes when what was learned of tokens may no longer hold.
	key string

	paths *route.Table
	rules []rule

	fold     bool      // ASCII letters of paths mean the same in both cases
	resolver *resolver // nil where no resource has instances
}

// stricter says in a trace that the site denies what its own mode would not.
func (s *site) stricter() string {
	if s.strictest == s.mode {
		return ""
	}
	return "; a condition is enforced, and so is whatever is denied before a condition is known"
}

// endpoint is where a call goes, ready to be sent.
type endpoint struct {
	cluster string
	headers []Header
	timeout time.Duration
}

// rule is one template of a site with the conditions of its methods.
type rule struct {
	template string
	literals uint64 // of its segments, see [route.Template.Literals]
	methods  []methodCondition
	any      *condition // for the methods not listed
	mcp      *mcpRules  // nil where no condition names messages
}

type methodCondition struct {
	method    string
	condition *condition
}

// find returns the condition of a method: its own, for HEAD also GET's.
func (r *rule) find(method string) *condition {
	for _, m := range r.methods {
		if m.method == method {
			return m.condition
		}
	}
	if method == "HEAD" {
		for _, m := range r.methods {
			if m.method == "GET" {
				return m.condition
			}
		}
	}
	return r.any
}

type condition struct {
	resource   string // name
	resourceID string
	instance   *instancePath // of a resource with instances
	public     bool
	deny       bool
	anyToken   bool // no permission is looked at
	// anyPermission: one on the resource is enough, whatever its scopes.
	anyPermission bool
	mode          config.Mode
	document      *document // that is answered: the condition is the filter's own
	need          scope.Requirement
	least         string           // scopes that are enough, and no more; with require oauth_scopes
	ticket        []byte           // permission request; nil when there is none to ask for
	wanted        []uma.Permission // what it is for, where the configuration says so; the first is the resource's own
	claims        []claimRule
	pushed        []pushedClaim // what the AS is told of the request
	pushedAt      []claimRule   // the variables of the path among that
	acr           []string
	maxAuthAge    int64  // in seconds; 0 for any
	asks          string // what is asked for in an evaluation, to tell it from others
	// Of a resource with instances, and where the AS is told of requests, ticket is what follows the permission on the
	// instance, for which own are the scopes.
	own []string
}

// Compile checks a configuration and prepares it for requests. The error is
// [config.Faults], with every fault named by its path.
func Compile(c *config.Config) (*Policy, error) {
	return compile(c, make([]*site, len(c.Sites)))
}

// compile takes the sites that are compiled already as they are.
func compile(c *config.Config, compiled []*site) (*Policy, error) {
	b := builder{policy: &Policy{Revision: c.Revision, Unreported: c.Unreported, cache: c.Cache, hosts: route.NewHosts()}}
	b.policy.allowUnknownHosts = choice(&b, place{name: "unknown_hosts"}, c.UnknownHosts, config.VerdictDeny, config.VerdictAllow) == config.VerdictAllow
	b.cache(c.Cache)
	if len(c.Sites) == 0 {
		b.fault(place{name: "sites"}, "at least one site is needed")
	}
	names := make(map[string]bool, len(compiled))
	for i, s := range compiled {
		path := (&place{}).element("sites", i)
		if s == nil {
			s = b.site(path, &c.Sites[i])
		}
		if names[s.name] {
			b.fault(path.member("name"), "another site has this name already")
		}
		names[s.name] = true
		b.policy.sites = append(b.policy.sites, s)
		for j, host := range s.hosts {
			b.host(path.element("hosts", j), host, len(compiled))
		}
	}
	b.locateDocuments()
	for _, s := range b.policy.shared {
		b.share(s)
	}
	b.revocations(c.Revocations)
	b.policy.removals = c.Removals
	if err := b.faults.Err(); err != nil {
		return nil, err
	}
	return b.policy, nil
}

type builder struct {
	policy   *Policy
	faults   config.Faults
	compared map[[2]int]string // see differs
}

// choice returns the value of an enumeration; an empty one is the default, the
// first of those allowed.
func choice[T ~string](b *builder, path place, value T, allowed ...T) T {
	if value == "" {
		return allowed[0]
	}
	if slices.Contains(allowed, value) {
		return value
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	b.fault(path, "must be one of "+strings.Join(names, ", "))
	return allowed[0]
}

// bounded returns a number, or its default when it is zero.
func (b *builder) bounded(path place, value, byDefault, least int) int {
	if value == 0 {
		return byDefault
	}
	if value < least {
		b.fault(path, "is too small")
		return byDefault
	}
	return value
}

func (b *builder) cache(c config.Cache) {
	b.policy.cache = config.Cache{
		Entries:         b.bounded(place{name: "cache.entries"}, c.Entries, 10_000, 1),
		Bytes:           b.bounded(place{name: "cache.bytes"}, c.Bytes, 16<<20, 1<<10),
		NegativeEntries: b.bounded(place{name: "cache.negative_entries"}, c.NegativeEntries, 2_000, 1),
		NegativeBytes:   b.bounded(place{name: "cache.negative_bytes"}, c.NegativeBytes, 4<<20, 1<<10),
	}
}

func (b *builder) site(path place, c *config.Site) *site {
	s := &site{name: c.Name, realm: c.Realm, asURI: c.AuthorizationServer.URI, hosts: c.Hosts, prefixes: c.PathPrefixes, names: c.AuthorizationServer.Issuers}
	if !isSiteName(c.Name) {
		b.fault(path.member("name"), `must be 1 to 63 lower-case letters, digits, "-" and "_"`)
	}
	if s.realm == "" {
		s.realm = c.Name
	}
	if len(c.Hosts) == 0 {
		b.fault(path.member("hosts"), `at least one host is needed; "*" is every host`)
	}
	s.mode = choice(b, path.member("mode"), c.Mode, config.ModeEnforce, config.ModeMonitor, config.ModeOff)
	s.strictest = s.mode
	s.byIssuer = choice(b, path.member("chosen_by"), c.ChosenBy, config.ChosenByPath, config.ChosenByIssuer) == config.ChosenByIssuer
	for i, prefix := range c.PathPrefixes {
		if _, err := route.ParsePrefix(prefix); err != nil {
			b.fault(path.element("path_prefixes", i), err.Error())
		}
	}
	switch choice(b, path.member("unmatched"), c.Unmatched, config.UnmatchedDeny, config.UnmatchedAllow, config.UnmatchedAuthenticated) {
	case config.UnmatchedAllow:
		s.allowUnmatched = true
	case config.UnmatchedAuthenticated:
		s.unmatched = &condition{anyToken: true}
	case config.UnmatchedDeny:
	}
	s.allowPreflight = choice(b, path.member("cors_preflight"), c.CORSPreflight, config.VerdictDeny, config.VerdictAllow) == config.VerdictAllow
	s.cors = b.cors(path.member("cors"), c.CORS)
	b.metadata(path.member("metadata"), s, c.Metadata)
	s.normalize = choice(b, path.member("ambiguous_paths"), c.AmbiguousPaths, config.PathsReject, config.PathsNormalize) == config.PathsNormalize
	s.keepOverrides = choice(b, path.member("override_headers"), c.OverrideHeaders, config.HeaderStrip, config.HeaderKeep) == config.HeaderKeep
	s.oauth = choice(b, path.member("require"), c.Require, config.RequireUMA, config.RequireOAuthScopes) == config.RequireOAuthScopes
	challenge := choice(b, path.member("challenge"), c.Challenge, config.ChallengeUMA, config.ChallengeBearer, config.ChallengeBoth)
	s.bearer, s.bothChallenges = s.oauth || challenge == config.ChallengeBearer, challenge == config.ChallengeBoth
	s.permittedLists = choice(b, path.member("mcp_lists"), c.MCPLists, config.ListsAll, config.ListsPermitted) == config.ListsPermitted
	b.token(path.member("token"), s, &c.Token)
	b.limits(path.member("limits"), s, c.Limits)
	b.authorizationServer(path.member("authorization_server"), s, &c.AuthorizationServer)
	s.key += "\x00" + chosenBy(c)

	s.fold = choice(b, path.member("case"), c.Case, config.CaseSensitive, config.CaseInsensitive) == config.CaseInsensitive
	s.paths = route.NewTable(s.fold)
	b.named(path, s, c)
	b.claimHeaders(path, s, c.ClaimHeaders)
	b.signer(path.member("internal_token"), s, c.InternalToken)
	s.reported = b.tokenClaims(path, "reported_claims", s, c.ReportedClaims, cannotBeReported, `must be 1 to 64 letters, digits and "_", and begin with no digit`)
	s.claims = b.claims(path.member("token"), s, c.Token.Claims)
	for i := range s.claims {
		if len(s.claims[i].variables) > 0 {
			at := path.member("token")
			b.fault(at.element("claims", i), "a claim of every token cannot depend on a path")
		}
	}
	b.resolver(path.member("instances"), s, c.Instances)
	names := make(map[string]bool, len(c.Resources))
	for i := range c.Resources {
		r := &c.Resources[i]
		at := path.element("resources", i)
		if r.Name == "" || names[r.Name] {
			b.fault(at.member("name"), "must be there and be the only one of this name in the site")
		}
		names[r.Name] = true
		if len(r.Conditions) == 0 {
			b.fault(at.member("conditions"), "at least one condition is needed")
		}
		t := b.template(at, s, r)
		for j := range r.Conditions {
			b.condition(at.element("conditions", j), s, r, &r.Conditions[j], t)
		}
	}
	if s.unmatched != nil {
		s.unmatched.mode = s.strictest // as for every path that no condition names
	}
	return s
}

func (b *builder) token(path place, s *site, t *config.Token) {
	b.sources(path.member("from"), s, &t.From)
	s.issuers, s.audiences, s.clientIDs = t.Issuers, t.Audiences, t.ClientIDs
	if t.LeewayMS < 0 || t.LeewayMS > 300_000 {
		b.fault(path.member("leeway_ms"), "must be between 0 and 300000 (five minutes)")
	}
	s.leeway = int64(t.LeewayMS) / 1000
	s.maxTTL = time.Duration(b.ttl(path.member("max_ttl_ms"), t.MaxTTLMS, 60_000)) * time.Millisecond
	s.negativeTTL = time.Duration(b.ttl(path.member("negative_ttl_ms"), t.NegativeTTLMS, 5_000)) * time.Millisecond
	if t.StaleMS < 0 || t.StaleMS > 86_400_000 {
		b.fault(path.member("stale_ms"), "must be between 0 and 86400000 (a day)")
	}
	s.stale = time.Duration(t.StaleMS) * time.Millisecond
	s.withoutIssuer = choice(b, path.member("without_issuer"), t.WithoutIssuer, config.VerdictDeny, config.VerdictAllow) == config.VerdictAllow
	s.endsStreams = choice(b, path.member("streams"), t.Streams, config.StreamsOutliveToken, config.StreamsEndWithToken) == config.StreamsEndWithToken
	s.ahead = choice(b, path.member("refresh"), t.Refresh, config.RefreshAhead, config.RefreshOnDemand) == config.RefreshAhead && s.maxTTL > 0
	s.dropAuthorization = choice(b, path.member("authorization_header"), t.AuthorizationHeader, config.HeaderKeep, config.HeaderStrip) == config.HeaderStrip
}

// ttl returns 0 for -1, which is: never believe without asking.
func (b *builder) ttl(path place, value, byDefault int) int {
	switch {
	case value == 0:
		return byDefault
	case value == -1:
		return 0
	case value < -1:
		b.fault(path, "must be a number of milliseconds, or -1 to ask every time")
	}
	return value
}

func (b *builder) limits(path place, s *site, l config.Limits) {
	s.limits.TicketsPerSecond = b.bounded(path.member("tickets_per_second"), l.TicketsPerSecond, 50, 1)
	s.limits.TicketBurst = b.bounded(path.member("ticket_burst"), l.TicketBurst, max(100, s.limits.TicketsPerSecond), 1)
	refreshes := b.bounded(path.member("refreshes_per_second"), l.RefreshesPerSecond, 100, 1)
	s.refreshRate = config.Limits{TicketsPerSecond: refreshes, TicketBurst: refreshes}
	s.limits.EvaluationsPerSecond = b.bounded(path.member("evaluations_per_second"), l.EvaluationsPerSecond, 100, 1)
	s.limits.EvaluationBurst = b.bounded(path.member("evaluation_burst"), l.EvaluationBurst, max(200, s.limits.EvaluationsPerSecond), 1)
	s.limits.CallsInFlight = b.bounded(path.member("calls_in_flight"), l.CallsInFlight, 256, 1)
	s.limits.WaitingRequests = b.bounded(path.member("waiting_requests"), l.WaitingRequests, 4096, 1)
	s.limits.WaitingRequestsPerCall = b.bounded(path.member("waiting_requests_per_call"), l.WaitingRequestsPerCall, 2048, 1)
	s.limits.MCPMessageBytes = b.bounded(path.member("mcp_message_bytes"), l.MCPMessageBytes, 1<<20, 1<<10)
	s.limits.WaitingBytes = b.bounded(path.member("waiting_bytes"), l.WaitingBytes, 16<<20, 64<<10)
	s.limits.Streams = b.bounded(path.member("streams"), l.Streams, 4096, 1)
	s.limits.StreamBytes = b.bounded(path.member("stream_bytes"), l.StreamBytes, 32<<20, 64<<10)
}

func (b *builder) authorizationServer(path place, s *site, a *config.AuthorizationServer) {
	if a.Unknown {
		s.unknownAS = true
		s.key = s.name
		return
	}
	if a.URI == "" && !s.oauth {
		b.fault(path.member("uri"), "the as_uri of the challenge is needed")
	}
	s.introspect = b.endpoint(path.member("introspection"), &a.Introspection.Endpoint, "application/x-www-form-urlencoded")
	s.hint, s.clientID = a.Introspection.TokenTypeHint, a.Introspection.ClientID
	s.fromToken = choice(b, path.member("introspection.claims"), a.Introspection.Claims, config.ClaimsFromResponse, config.ClaimsFromToken) == config.ClaimsFromToken
	if a.Permission != nil {
		s.permission = b.endpoint(path.member("permission"), a.Permission, "application/json")
	} else if !s.oauth {
		b.fault(path.member("permission"), "the permission endpoint is needed, unless the site requires oauth_scopes")
	}
	b.evaluator(path.member("evaluation"), s, a.Evaluation)
	in, ev := &a.Introspection, a.Evaluation
	if ev == nil {
		ev = &config.Evaluation{}
	}
	s.key = strings.Join([]string{
		s.name, in.Cluster, in.Scheme, in.Authority, in.Path, s.hint, s.clientID, string(in.Claims),
		ev.Cluster, ev.Scheme, ev.Authority, ev.Path, ev.Audience, ev.ClaimTokenFormat,
	}, "\x00")
}

func (b *builder) endpoint(path place, e *config.Endpoint, contentType string) endpoint {
	if e.Cluster == "" {
		b.fault(path.member("cluster"), "the name of an Envoy cluster is needed")
	}
	if e.Authority == "" || !isVisible(e.Authority) {
		b.fault(path.member("authority"), "the host of the authorization server is needed")
	}
	if !strings.HasPrefix(e.Path, "/") || !isVisible(e.Path) {
		b.fault(path.member("path"), `must begin with "/" and have no space in it`)
	}
	scheme := e.Scheme
	if scheme == "" {
		scheme = "https"
	}
	if scheme != "https" && scheme != "http" {
		b.fault(path.member("scheme"), "must be https or http")
	}
	headers := []Header{
		{":method", "POST"},
		{":scheme", scheme},
		{":authority", e.Authority},
		{":path", e.Path},
		{"content-type", contentType},
		{"accept", "application/json"},
	}
	if !isHeaderText(e.InsecureInlineCredentials) {
		b.fault(path.member("insecure_inline_credentials"), "must be the value of one header: visible ASCII characters and spaces")
	}
	if e.InsecureInlineCredentials != "" {
		headers = append(headers, Header{"authorization", e.InsecureInlineCredentials})
	}
	timeout := b.bounded(path.member("timeout_ms"), e.TimeoutMS, 5_000, 1)
	return endpoint{e.Cluster, headers, time.Duration(timeout) * time.Millisecond}
}

func isHeaderText(s string) bool { return isWithin(s, ' ') }

func isVisible(s string) bool { return isWithin(s, '!') }

// isWithin reports whether s has ASCII characters from least on, and no DEL.
func isWithin(s string, least byte) bool {
	for i := range len(s) {
		if s[i] < least || s[i] >= 0x7F {
			return false
		}
	}
	return true
}

func isSiteName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 63
}
