// Package config is the contract between the control plane and the filter: the
// JSON document that Envoy hands to the plugin.
//
// The control plane builds a [Config] and calls [Encode]; the filter calls
// [Parse], which refuses the document with every fault in it named by its path.
// Nothing here holds a secret, with one exception that says so in its name.
//
// A type with yaml tags is part of umagate.yaml as well (controlplane/site): what it
// has is read, described to editors and passed on without a line of code, and its
// comments are for who writes that file.
package config

import "encoding/json"

// Version is the version of the contract. The filter refuses any other.
const Version = 1

// Level counts what has been added to the contract of that version. A filter refuses the
// members and values that came after it, so one of a lower level than the control plane's
// may refuse what that writes. TestLevel tells when to raise it. It has two digits.
const Level = 3

// The counter by which a filter tells what it is, each time that it is given a
// configuration: BuildMark, BuildSize hexadecimal digits that tell one build from others,
// LevelMark, the level, StartsSuffix.
const (
	BuildMark    = "umagate.module."
	BuildSize    = 12
	LevelMark    = ".level."
	StartsSuffix = ".module_starts_total"
)

// StartsMetric is that counter. "make wasm" puts the digits of the build in place of the
// zeros.
const StartsMetric = BuildMark + "000000000000" + LevelMark + string(rune('0'+Level/10)) + string(rune('0'+Level%10)) + StartsSuffix

// DecisionProperty is the property that has the decision on a request, for Envoy's access
// log: a google.protobuf.Struct. Envoy's filter state has it as wasm.umagate.decision.
const DecisionProperty = "umagate.decision"

// Config is the whole configuration of one filter. The zero value is not valid.
type Config struct {
	// Version must be [Version].
	Version int `json:"version"`
	// Revision is the control plane's name for this configuration. The filter
	// reports it and never interprets it.
	Revision string `json:"revision,omitempty"`
	// UnknownHosts says what becomes of a request whose host no site has.
	UnknownHosts Verdict `json:"unknown_hosts,omitempty"`
	// Unreported says that no access log prints decisions: the filter leaves none for it.
	Unreported bool `json:"unreported,omitempty"`
	// Cache bounds what each Envoy worker remembers of tokens.
	Cache Cache  `json:"cache,omitzero"`
	Sites []Site `json:"sites,omitempty"`
	// Revocations are the tokens that are refused before they expire.
	Revocations []Revocations `json:"revocations,omitempty"`
	// Removals are, by site, the registrations of instances that have ended: workers
	// forget what they remember of them. Each is a text of lines: how many more have
	// ended before, and then each resource_id, the last one last. They stand beside
	// the sites, as Revocations do.
	Removals map[string]string `json:"removals,omitempty"`
}

// Cache bounds what each Envoy worker remembers of tokens. Zero means the default.
type Cache struct {
	// Active tokens remembered. Default 10000.
	Entries int `json:"entries,omitempty" yaml:"entries" range:"1 to 2147483647" zero:"the default"`
	// Bytes used for active tokens. Default 16 MiB.
	Bytes int `json:"bytes,omitempty" yaml:"bytes" range:"1 to 2147483647" zero:"the default"`
	// Inactive tokens remembered. Default 2000.
	NegativeEntries int `json:"negative_entries,omitempty" yaml:"negative_entries" range:"1 to 2147483647" zero:"the default"`
	// Bytes used for inactive tokens. Default 4 MiB.
	NegativeBytes int `json:"negative_bytes,omitempty" yaml:"negative_bytes" range:"1 to 2147483647" zero:"the default"`
}

// Site is one resource server: the hosts it answers on, its AS and its
// protected resources.
type Site struct {
	// Name is unique, of lower-case letters, digits, "-" and "_".
	Name string `json:"name"`
	// Hosts are exact names ("photos.example.com"), suffixes ("*.example.com",
	// which does not match "example.com" itself) or "*" for every other host.
	// Without port.
	Hosts []string `json:"hosts,omitempty"`
	Settings
	// CORS is what pages of other origins may read; nil is nothing.
	CORS *CORS `json:"cors,omitempty"`
	// Metadata is what clients are told before they have a token; nil is nothing.
	Metadata *Metadata `json:"metadata,omitempty"`
	Token    Token     `json:"token,omitzero"`
	Limits   Limits    `json:"limits,omitzero"`
	// ClaimHeaders are the claims of a token that the API is told, each in a header.
	ClaimHeaders []ClaimHeader `json:"claim_headers,omitempty"`
	// ReportedClaims are those that the report of a decision has, for the access log and for
	// other filters. The names are letters, digits and "_".
	ReportedClaims []TokenClaim `json:"reported_claims,omitempty"`
	// InternalToken tells the API in a signed token who asks; nil for none.
	InternalToken *InternalToken `json:"internal_token,omitempty"`

	AuthorizationServer AuthorizationServer `json:"authorization_server"`
	// Instances is how instances are found; needed where a resource has them.
	Instances *Instances `json:"instances,omitempty"`
	Resources []Resource `json:"resources,omitempty"`
}

// Settings are what a site chooses. They stand in umagate.yaml as they are here, so
// that a new one is written down once.
type Settings struct {
	// The paths of the hosts that are this site's, where sites share a host: those at and
	// below these prefixes, in whole segments ("/tenants/a"). Default: all that no other
	// site of the host has. The longest prefix counts.
	PathPrefixes []string `json:"path_prefixes,omitempty" yaml:"path_prefixes" jsonschema:"minItems=1"`
	// What makes a request one of this site, where sites share hosts and path prefixes:
	// path (default), or issuer, which takes the requests whose token names an issuer of
	// this site's AS. One site of them has path: it takes those without a token. All must
	// cover the same paths and methods, alike public, denied and enforced.
	ChosenBy ChosenBy `json:"chosen_by,omitempty" yaml:"chosen_by"`
	// The realm of the WWW-Authenticate challenge. Default: the name.
	Realm string `json:"realm,omitempty" yaml:"realm"`
	// enforce (default); monitor decides and reports but lets pass; off lets pass,
	// whatever the conditions say. Where a condition is enforced, monitor denies what
	// is denied before a condition is known: an ambiguous path, a method that none
	// covers, a path that none names.
	Mode Mode `json:"mode,omitempty" yaml:"mode"`
	// What becomes of a path that no condition names: deny (default); authenticated,
	// which asks for an active token and for no permission; or allow, which lets
	// everybody pass.
	Unmatched Unmatched `json:"unmatched,omitempty" yaml:"unmatched"`
	// A path that two parsers may read differently: reject (default) or
	// normalize, which rewrites it before it is judged and forwarded.
	AmbiguousPaths AmbiguousPaths `json:"ambiguous_paths,omitempty" yaml:"ambiguous_paths"`
	// How literal path segments compare: sensitive (default) or insensitive, for
	// an API that ignores case itself.
	Case Case `json:"case,omitempty" yaml:"case"`
	// Headers that some APIs take the method, the path, the host or a prefix from
	// (X-HTTP-Method-Override, X-Original-URL, X-Forwarded-Host, X-Forwarded-Prefix,
	// Forwarded and their like): strip (default) or keep. With strip, a query with a
	// _method that is not the request's is refused.
	OverrideHeaders Keep `json:"override_headers,omitempty" yaml:"override_headers"`
	// allow lets a CORS preflight pass to the API without a token. Default deny; a site
	// with cors answers it then.
	CORSPreflight Verdict `json:"cors_preflight,omitempty" yaml:"cors_preflight"`
	// What the lists of an MCP server (tools, prompts, resources and their templates) show,
	// where conditions name messages to it: all (default), or permitted, what the caller may
	// use.
	MCPLists MCPLists `json:"mcp_lists,omitempty" yaml:"mcp_lists"`
	// uma (default): permissions of an RPT. oauth_scopes: plain OAuth scopes, no
	// registered resources and no tickets.
	Require Require `json:"require,omitempty" yaml:"require"`
	// What a request gets that is denied for its token: uma (default), 401 with a
	// permission ticket; bearer, for clients that do not know UMA, RFC 6750's challenge
	// and 403 where the token is good but not enough; or both, 401 with Bearer first and
	// then UMA. With "require: oauth_scopes" it is always bearer.
	Challenge Challenge `json:"challenge,omitempty" yaml:"challenge"`
}

// Instances is how the registrations of the instances of resources are found: by
// a POST of {"site", "resource", "values"} to the control plane, which answers
// {"resource_id"} or 404. Counts are per worker and site, zero means the default.
type Instances struct {
	// Endpoint is the control plane's; "/lookup", "/register" and "/remove" are
	// added to its path.
	Endpoint
	// TTLMS is how long an answer is believed (default 60,000), NegativeTTLMS the
	// same for an instance that is not registered (default 2,000); -1 asks for
	// every request. StaleMS is how much longer one that was found is used while
	// the control plane does not answer (default 86,400,000; -1 not at all).
	TTLMS         int `json:"ttl_ms,omitempty"`
	NegativeTTLMS int `json:"negative_ttl_ms,omitempty"`
	StaleMS       int `json:"stale_ms,omitempty"`
	InstanceLimits
}

// InstanceLimits bound what a worker remembers of instances, and asks. Zero means the
// default.
type InstanceLimits struct {
	// Registered instances remembered. Default 10000.
	Entries int `json:"entries,omitempty" yaml:"entries" range:"1 to 2147483647" zero:"the default"`
	// Instances remembered not to be registered. Default 2000.
	NegativeEntries int `json:"negative_entries,omitempty" yaml:"negative_entries" range:"1 to 2147483647" zero:"the default"`
	// Instances asked for in a second. Default 100.
	LookupsPerSecond int `json:"lookups_per_second,omitempty" yaml:"lookups_per_second" range:"1 to 2147483647" zero:"the default"`
	// Instances asked for at once. Default 200.
	LookupBurst int `json:"lookup_burst,omitempty" yaml:"lookup_burst" range:"1 to 2147483647" zero:"the default"`
	// Lookups without an answer yet. Default 64.
	LookupsInFlight int `json:"lookups_in_flight,omitempty" yaml:"lookups_in_flight" range:"1 to 2147483647" zero:"the default"`
}

// CORS is what pages of other origins may read of a site, its refusals too (Fetch standard
// section 3.3). It is no protection of the API: every request is judged by its token.
type CORS struct {
	// Origins whose pages may read the answers, as browsers write them: scheme://host or
	// scheme://host:port in lower case, without a path. "*" alone is every origin, and
	// not with allow_credentials.
	AllowOrigins []string `json:"allow_origins,omitempty" yaml:"allow_origins" jsonschema:"required,minItems=1"`
	// Methods that pages may send. Default GET, HEAD, POST, PUT, PATCH and DELETE.
	AllowMethods []string `json:"allow_methods,omitempty" yaml:"allow_methods" jsonschema:"minItems=1"`
	// Headers that pages may send, beside authorization and content-type.
	AllowHeaders []string `json:"allow_headers,omitempty" yaml:"allow_headers"`
	// Headers that pages may read, beside www-authenticate, retry-after, warning, and
	// those that every page may.
	ExposeHeaders []string `json:"expose_headers,omitempty" yaml:"expose_headers"`
	// Pages may send cookies and read what comes back.
	AllowCredentials bool `json:"allow_credentials,omitempty" yaml:"allow_credentials"`
	// Pages of a public site may reach this one where it is on a private network, in
	// browsers that ask for that in a preflight.
	AllowPrivateNetworkAccess bool `json:"allow_private_network_access,omitempty" yaml:"allow_private_network_access"`
	// MaxAgeS is how many seconds a browser may remember a preflight's answer; 0 says
	// nothing, and it is five.
	MaxAgeS int `json:"max_age_s,omitempty" yaml:"-"`
}

// Metadata is what clients learn of a site before they have a token: protected resource
// metadata (RFC 9728), and where challenges say that it is.
type Metadata struct {
	// Documents are those that the filter answers.
	Documents []MetadataDocument `json:"documents,omitempty"`
	// Scopes are what a challenge names where the site requires no OAuth scopes.
	Scopes []string `json:"scopes,omitempty"`
}

// MetadataDocument is the metadata of one resource identifier.
type MetadataDocument struct {
	// Resource is the resource identifier: a URL, without query, of a host and, where the
	// site has prefixes, a path of the site. Its well-known URL is made of it.
	Resource string `json:"resource"`
	// Document is the JSON that is answered, as it is.
	Document string `json:"document"`
}

// Token is what a site asks of every token, whatever the condition.
type Token struct {
	// Issuers, Audiences and ClientIDs: when not empty, the token's iss, one of
	// its aud, and its client_id must be listed (RFC 7662 section 2.2).
	Issuers   []string `json:"issuers,omitempty"`
	Audiences []string `json:"audiences,omitempty"`
	ClientIDs []string `json:"client_ids,omitempty"`
	// Claims are what claims of every token must be, all of them. They name no variable.
	Claims []Claim `json:"claims,omitempty"`
	// LeewayMS is the clock difference tolerated in exp and nbf, rounded down to
	// whole seconds; default 0.
	LeewayMS int `json:"leeway_ms,omitempty"`
	// MaxTTLMS bounds how long an active token is believed without asking the AS
	// again (default 60,000); -1 asks for every request.
	MaxTTLMS int `json:"max_ttl_ms,omitempty"`
	// NegativeTTLMS is the same for a token that is not active (default 5,000).
	NegativeTTLMS int `json:"negative_ttl_ms,omitempty"`
	// StaleMS is how much longer a token that was active is believed to be while the
	// AS cannot be asked; default 0, at most a day.
	StaleMS int `json:"stale_ms,omitempty"`
	// Refresh says when the AS is asked again about a token that is in use.
	Refresh Refresh `json:"refresh,omitempty"`
	// WithoutIssuer says what becomes of a token that names no issuer, where sites of the
	// same paths are chosen by it: deny (default), or allow, which asks the AS of the site
	// that is chosen by path.
	WithoutIssuer Verdict `json:"without_issuer,omitempty"`
	// From are places beside Authorization that a token may be in.
	From TokenSources `json:"from,omitzero"`
	// Streams says whether a request that was let through goes on when its token ends.
	Streams Streams `json:"streams,omitempty"`
	// AuthorizationHeader says whether the API gets to see the token.
	AuthorizationHeader Keep `json:"authorization_header,omitempty"`
}

// TokenSources are the places beside Authorization that a token may be in, for pages that
// cannot set that header. A request may have a token in one place (RFC 6750 section 2). The
// API gets none of these.
type TokenSources struct {
	// Name of a cookie. A request with it must be of a page of this host or of an origin
	// in cors.allow_origins with allow_credentials.
	Cookie string `json:"cookie,omitempty" yaml:"cookie"`
	// Name of a WebSocket subprotocol: NAME.TOKEN, the token in base64url, beside another
	// protocol or NAME alone, which the filter answers where the API chooses none.
	WebSocketProtocol string `json:"websocket_protocol,omitempty" yaml:"websocket_protocol"`
	// Name of a field of the query, such as access_token, for a GET of text/event-stream.
	Query string `json:"query,omitempty" yaml:"query"`
}

// Limits protect the AS, and Envoy's memory, from the clients of a site. Each is
// per Envoy worker. Zero means the default.
type Limits struct {
	// Permission tickets asked for in a second. Default 50.
	TicketsPerSecond int `json:"tickets_per_second,omitempty" yaml:"tickets_per_second" range:"1 to 2147483647" zero:"the default"`
	// Permission tickets asked for at once. Default 100.
	TicketBurst int `json:"ticket_burst,omitempty" yaml:"ticket_burst" range:"1 to 2147483647" zero:"the default"`
	// Tokens in use that the AS is asked about again before their max_ttl is over, in a
	// second. Default 100.
	RefreshesPerSecond int `json:"refreshes_per_second,omitempty" yaml:"refreshes_per_second" range:"1 to 2147483647" zero:"the default"`
	// Evaluations at the AS (token.evaluate: at_as) of tokens that it has called good
	// before, in a second. Default 100.
	EvaluationsPerSecond int `json:"evaluations_per_second,omitempty" yaml:"evaluations_per_second" range:"1 to 2147483647" zero:"the default"`
	// Such evaluations at once. Default 200.
	EvaluationBurst int `json:"evaluation_burst,omitempty" yaml:"evaluation_burst" range:"1 to 2147483647" zero:"the default"`
	// Calls to the AS without an answer yet. Default 256.
	CallsInFlight int `json:"calls_in_flight,omitempty" yaml:"calls_in_flight" range:"1 to 100000" zero:"the default"`
	// Requests that wait for a call, to the AS or to the control plane. Default 4096.
	WaitingRequests int `json:"waiting_requests,omitempty" yaml:"waiting_requests" range:"1 to 2147483647" zero:"the default"`
	// Requests that wait for the same call. Default 2048.
	WaitingRequestsPerCall int `json:"waiting_requests_per_call,omitempty" yaml:"waiting_requests_per_call" range:"1 to 2147483647" zero:"the default"`
	// Bytes of one message to an MCP server whose tools are guarded; it is read as a whole.
	// Default 1048576 (1 MiB).
	MCPMessageBytes int `json:"mcp_message_bytes,omitempty" yaml:"mcp_message_bytes" range:"1024 to 16777216" zero:"the default"`
	// Bytes of the headers of the requests that wait. Default 16777216 (16 MiB).
	WaitingBytes int `json:"waiting_bytes,omitempty" yaml:"waiting_bytes" range:"65536 to 1073741824" zero:"the default"`
	// With token.streams: end_with_token, requests that were let through and have not ended.
	// Of more, each is refused. Default 4096.
	Streams int `json:"streams,omitempty" yaml:"streams" range:"1 to 2147483647" zero:"the default"`
	// Bytes that those take. Default 32 MiB.
	StreamBytes int `json:"stream_bytes,omitempty" yaml:"stream_bytes" range:"65536 to 1073741824" zero:"the default"`
}

// AuthorizationServer tells the filter how to reach a site's AS.
type AuthorizationServer struct {
	// Unknown tells that the control plane has not reached the AS yet. The site
	// keeps its hosts, so that no laxer site answers for them; what needs a token
	// is denied, and the other members may be left out.
	Unknown bool `json:"unknown,omitempty"`
	// URI is the as_uri of the UMA challenge (UMA Grant section 3.2.1).
	URI string `json:"uri"`
	// Issuers are the names of the AS in the iss of its tokens. When not empty, an iss that
	// the AS says must be one of them, and a token is brought to the site by them where
	// its site is chosen by issuer.
	Issuers []string `json:"issuers,omitempty"`
	// Introspection is the RFC 7662 endpoint.
	Introspection Introspection `json:"introspection"`
	// Permission is the UMA permission endpoint; not used, and may be left out,
	// with require "oauth_scopes".
	Permission *Endpoint `json:"permission,omitempty"`
	// Evaluation is how the AS is asked what a token may that came without a permission;
	// without it, it is not. Not with require "oauth_scopes".
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// Evaluation is the token endpoint, where an AS evaluates its policies for a token that
// has no permission: by the UMA grant. There are two ways to ask.
type Evaluation struct {
	Endpoint
	// Audience is the client_id of the resource server, whose permissions are asked for.
	// The token itself is the credential of the call, and the answer is a list of
	// permissions (response_mode=permissions), as Keycloak has it.
	Audience string `json:"audience,omitempty"`
	// ClaimTokenFormat stands in place of Audience: the grant is asked with a permission
	// ticket and with the token as the claim_token of this format (UMA Grant section
	// 3.3.1), as the resource server's own client, and its RPT is introspected.
	ClaimTokenFormat string `json:"claim_token_format,omitempty"`
	// ClientID is sent with it as client_id when not empty, as Introspection's is.
	ClientID string `json:"client_id,omitempty"`
	// TokenIntrospection is where the AS knows the tokens that are no RPTs, when
	// Introspection is for RPTs only; with ClaimTokenFormat.
	TokenIntrospection *Endpoint `json:"token_introspection,omitempty"`
	// AskOwner has the AS ask the owner of what it does not permit (Keycloak's
	// submit_request); with Audience.
	AskOwner bool `json:"ask_owner,omitempty"`
}

// Endpoint is where a call to the AS goes. Credentials are Envoy's business: the
// cluster's credential_injector adds them.
type Endpoint struct {
	// Cluster is the name of an Envoy cluster.
	Cluster string `json:"cluster"`
	// Scheme is "https" (default) or "http"; it is the :scheme of the call. TLS
	// itself is the cluster's.
	Scheme string `json:"scheme,omitempty"`
	// Authority is the :authority of the call.
	Authority string `json:"authority"`
	// Path starts with "/" and may have a query.
	Path string `json:"path"`
	// TimeoutMS bounds the call (default 5,000).
	TimeoutMS int `json:"timeout_ms,omitempty"`
	// InsecureInlineCredentials is a whole Authorization header value, for a mesh
	// that offers no SDS. Envoy's config_dump shows it.
	InsecureInlineCredentials string `json:"insecure_inline_credentials,omitempty"`
}

// Introspection is the introspection endpoint and how its answers are read.
type Introspection struct {
	Endpoint
	// TokenTypeHint is sent as token_type_hint when not empty. Keycloak needs
	// "requesting_party_token" to answer with permissions.
	TokenTypeHint string `json:"token_type_hint,omitempty"`
	// ClientID is sent as client_id when not empty: a certificate does not say which
	// client it is of (RFC 8705 section 2).
	ClientID string `json:"client_id,omitempty"`
	// Claims says where sub, iss, aud, client_id and exp come from.
	Claims ClaimsSource `json:"claims,omitempty"`
}

// Resource is one registration at the AS and what its conditions protect.
type Resource struct {
	// Name is unique in its site. With Instances it has variables ("album-{id}"),
	// and each of them stands in every path of the conditions that are not public.
	Name string `json:"name"`
	// Instances: each tuple of values has a registration of its own, which is
	// asked for at the site's Instances; ID stays empty.
	Instances bool `json:"instances,omitempty"`
	// RegisterOnCreate tells the control plane of an instance that the API has
	// created: it answered 201 with a Location that is the instance's path.
	RegisterOnCreate bool `json:"register_on_create,omitempty"`
	// RemoveOnDelete tells it of one that is gone: a DELETE of its path succeeded.
	RemoveOnDelete bool `json:"remove_on_delete,omitempty"`
	// ID is the resource_id the AS gave it. While it is empty, the conditions
	// that need a permission deny.
	ID         string      `json:"id,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Condition is what a token needs for some methods on some paths. Exactly one
// of Public, Deny, Scopes, ScopeExpression and AnyPermission is set.
type Condition struct {
	// Templates, segment by segment: literal text, "{name}" or "*" for a whole
	// segment or for a part of one byte or more ("{id}.json", "{id}:export",
	// "{a}...{b}", "*.pdf"), and, as the last segment, "**" (the rest, which may be
	// nothing).
	Paths []string `json:"paths,omitempty" yaml:"paths" jsonschema:"required,minItems=1"`
	// Methods covered; all when left out. GET covers HEAD, unless another
	// condition of the same template names HEAD.
	Methods []string `json:"methods,omitempty" yaml:"methods" jsonschema:"minItems=1"`
	// The messages to an MCP server that it covers, by what they name; the paths are those
	// of the server. A condition of the same path without covers what only opens, lists and
	// closes. Whatever neither names is denied.
	MCP *MCP `json:"mcp,omitempty" yaml:"mcp"`
	// Everybody may pass, with or without a token.
	Public bool `json:"public,omitempty" yaml:"public"`
	// Nobody may pass, whatever the token: a path that a wider one would open.
	Deny bool `json:"deny,omitempty" yaml:"deny"`
	// One of these scopes is enough.
	Scopes []string `json:"scopes,omitempty" yaml:"scopes" jsonschema:"minItems=1"`
	// A JsonLogic rule over the scopes of the token.
	ScopeExpression *ScopeExpression `json:"scope_expression,omitempty" yaml:"scope_expression"`
	// AnyPermission: any permission on the resource is enough, also one without scopes,
	// as an AS gives for a resource that has none. umagate.yaml has no such condition: it
	// is made of what an AS keeps.
	AnyPermission bool `json:"any_permission,omitempty" yaml:"-"`
	// Ticket lists the permissions a permission ticket asks for. When empty:
	// this resource, with the expression's data or the scopes. Of a resource with
	// instances, the first entry is the instance's own and has no resource_id.
	// umagate.yaml names resources instead.
	Ticket []Permission `json:"ticket,omitempty" yaml:"-"`
	// The token's acr must be one of these: how whose it is was authenticated (RFC 9470). A
	// token that does not say is refused.
	ACR []string `json:"acr,omitempty" yaml:"acr" jsonschema:"minItems=1"`
	// Claims are what claims of the token must be, all of them.
	Claims []Claim `json:"claims,omitempty" yaml:"-"`
	// PushedClaims are what the AS is told of each request, which it is asked about by itself.
	PushedClaims []PushedClaim `json:"pushed_claims,omitempty" yaml:"-"`
	// MaxAuthAgeS is how many seconds ago that may have been, by the token's auth_time; 0
	// for any time, also one that is not said.
	MaxAuthAgeS int `json:"max_auth_age_s,omitempty" yaml:"-"`
	// Replaces the site's mode for this condition, unless the site is off.
	Mode Mode `json:"mode,omitempty" yaml:"mode"`
}

// MCP are messages of the Model Context Protocol, as POST brings them to a server
// (streamable HTTP). Each entry is a name or a pattern, in which "*" stands for one byte or
// more. Of several that match, the most specific one counts.
type MCP struct {
	// Tools that are called (tools/call).
	Tools []string `json:"tools,omitempty" yaml:"tools" jsonschema:"minItems=1"`
	// URIs of resources that are read (resources/read, and those to subscribe).
	Resources []string `json:"resources,omitempty" yaml:"resources" jsonschema:"minItems=1"`
	// Prompts that are asked for (prompts/get).
	Prompts []string `json:"prompts,omitempty" yaml:"prompts" jsonschema:"minItems=1"`
	// Other methods, such as tools/list or logging/setLevel.
	Methods []string `json:"methods,omitempty" yaml:"methods" jsonschema:"minItems=1"`
}

// ScopeExpression is a JsonLogic rule over indexes into Data.
type ScopeExpression struct {
	// Operators and, or, ! over {"var": INDEX}, where INDEX counts in data from 0.
	Rule json.RawMessage `json:"rule,omitempty" yaml:"rule" jsonschema:"required"`
	// The scopes that the rule's indexes mean.
	Data []string `json:"data,omitempty" yaml:"data" jsonschema:"required,minItems=1"`
}

// Claim is what one claim of a token must be: a text, or a list of texts, of which one is
// in AnyOf or is the value of one of Variables.
type Claim struct {
	// Path has the names of the members that lead to the claim, the outermost first:
	// ["realm_access", "roles"].
	Path []string `json:"path"`
	// AnyOf are texts, compared byte by byte.
	AnyOf []string `json:"any_of,omitempty"`
	// Variables are names of variables that each of the condition's paths has. Their
	// values are compared as they are after the path's percent-encoding is undone.
	Variables []string `json:"variables,omitempty"`
}

// ClaimHeader is a header for the API with the values of a claim.
type ClaimHeader struct {
	// Name begins with "x-uma-" and is in lower case.
	Name string `json:"name"`
	// Path is that of a [Claim].
	Path []string `json:"path"`
}

// InternalToken is a JWT for the API, signed with EdDSA (RFC 8037) by a key that the filter
// asks the control plane for: a POST of {"site", "version"} to Key, which answers {"kid", "key",
// "renew_in", "expires_in"}. The key is the seed in base64url, times are seconds from now.
type InternalToken struct {
	// Header begins with "x-uma-" and is in lower case.
	Header string `json:"header"`
	// Issuer is its iss, Audience its aud.
	Issuer   string   `json:"issuer"`
	Audience []string `json:"audience"`
	// TTLS is how many seconds it lives, at most 300.
	TTLS int `json:"ttl_s"`
	// Claims are those that it has beside iss, aud, iat, exp, jti, sub and client_id.
	Claims []TokenClaim `json:"claims,omitempty"`
	Key    Endpoint     `json:"key"`
	// KeyVersion is that of the keys that may sign: those of another are not used any more.
	KeyVersion int `json:"key_version,omitempty"`
}

// TokenClaim is a claim of an [InternalToken] or of a report: a list of the values of a claim.
type TokenClaim struct {
	Name string `json:"name"`
	// Path is that of a [Claim].
	Path []string `json:"path"`
}

// PushedClaim is a claim that the AS is told of a request when it is asked about it, beside
// what the token says.
type PushedClaim struct {
	Name   string      `json:"name"`
	Source ClaimSource `json:"source"`
	// Of is the name of the header, in lower case, or of the variable of the path.
	Of string `json:"of,omitempty"`
}

// Permission is one entry of a permission request (UMA Federated Authorization
// section 4.1).
type Permission struct {
	ResourceID     string   `json:"resource_id"`
	ResourceScopes []string `json:"resource_scopes,omitempty"`
}

// The enumerations below are strings on the wire. The empty string is the
// default, which is always the strict one.
type (
	// Mode is how a decision takes effect.
	Mode string
	// Verdict is deny or allow.
	Verdict string
	// Unmatched is what becomes of a path that no condition names.
	Unmatched string
	// ChosenBy is what makes a request one of a site.
	ChosenBy string
	// AmbiguousPaths is reject or normalize.
	AmbiguousPaths string
	// MCPLists is what the lists of an MCP server show.
	MCPLists string
	// Case is sensitive or insensitive.
	Case string
	// Keep says whether something is kept or dropped.
	Keep string
	// Require is which kind of right a token carries.
	Require string
	// Challenge is how a client is told what it lacks.
	Challenge string
	// ClaimSource is where a claim is from that the AS is told.
	ClaimSource string
	// ClaimsSource is where the claims of an active token are read.
	ClaimsSource string
	// Refresh is when the AS is asked again about a token.
	Refresh string
	// Streams says whether streams outlive their token.
	Streams string
)

// The values of the enumerations, the default first.
const (
	ModeEnforce Mode = "enforce" // decide and act
	// ModeMonitor decides, counts and reports, but lets pass. Of a site, it lets pass
	// what is denied before a condition is known only where no condition is enforced.
	ModeMonitor Mode = "monitor"
	// ModeOff lets pass. Forged headers are still removed, and what could harm the
	// connection to the API is refused.
	ModeOff Mode = "off"

	VerdictDeny  Verdict = "deny"
	VerdictAllow Verdict = "allow"

	UnmatchedDeny Unmatched = "deny"
	// UnmatchedAuthenticated asks for a token that the AS says is active and that
	// passes the site's Token, and looks at no permission.
	UnmatchedAuthenticated Unmatched = "authenticated"
	UnmatchedAllow         Unmatched = "allow"

	ChosenByPath   ChosenBy = "path"
	ChosenByIssuer ChosenBy = "issuer"

	PathsReject    AmbiguousPaths = "reject"
	PathsNormalize AmbiguousPaths = "normalize"

	ListsAll       MCPLists = "all"
	ListsPermitted MCPLists = "permitted"

	CaseSensitive   Case = "sensitive"
	CaseInsensitive Case = "insensitive" // ASCII letters only

	HeaderKeep  Keep = "keep"  // default of token.authorization_header
	HeaderStrip Keep = "strip" // default of override_headers

	// RefreshAhead asks in the last fifth of max_ttl if the token is in use then, by a
	// call that no request waits for.
	RefreshAhead Refresh = "ahead"
	// RefreshOnDemand asks when max_ttl is over, and the next request waits.
	RefreshOnDemand Refresh = "on_demand"

	// StreamsOutliveToken judges a request when it begins.
	StreamsOutliveToken Streams = "outlive_token"
	// StreamsEndWithToken ends one that would not be let through any more.
	StreamsEndWithToken Streams = "end_with_token"

	RequireUMA         Require = "uma"
	RequireOAuthScopes Require = "oauth_scopes"

	ChallengeUMA    Challenge = "uma"
	ChallengeBearer Challenge = "bearer"
	ChallengeBoth   Challenge = "both"

	ClaimOfMethod        ClaimSource = "method"
	ClaimOfClientAddress ClaimSource = "client_address" // as the host believes it, without a port
	ClaimOfHeader        ClaimSource = "header"
	ClaimOfVariable      ClaimSource = "variable" // of the path, after its percent-encoding is undone

	// ClaimsFromResponse reads the introspection response (RFC 7662).
	ClaimsFromResponse ClaimsSource = "response"
	// ClaimsFromToken reads the response, and the payload of the JWT that the AS
	// has just said is active for what the response lacks, permissions apart. For an
	// AS whose answer about an RPT leaves claims out (Keycloak).
	ClaimsFromToken ClaimsSource = "token"
)
