package site

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// Site is one resource server: the hosts it answers on, its AS, its client
// registration there, and what it protects.
type Site struct {
	// Unique name, of lower-case letters, digits, "-" and "_".
	Name string `yaml:"name" jsonschema:"required,pattern=^[a-z0-9][a-z0-9_-]*$"`
	// Exact names ("photos.example.com"), suffixes ("*.example.com", which does
	// not match example.com itself), or "*" for every other host. Without port.
	Hosts []string `yaml:"hosts" jsonschema:"required,minItems=1"`
	// URL of the protected API ("http://127.0.0.1:8080"), which Envoy routes the hosts to.
	// Without, they have no route, but in an Envoy with routes of its own.
	Upstream string `yaml:"upstream"`
	// The authorization server and this site's client there.
	AuthorizationServer AuthorizationServer `yaml:"authorization_server" jsonschema:"required"`
	// How requests are judged.
	config.Settings
	// What pages of other origins may read. Left out: nothing, and the API's own CORS is
	// not touched.
	CORS *CORS `yaml:"cors"`
	// What clients that know OAuth are told before they have a token: protected resource
	// metadata (RFC 9728). Left out: nothing, and its path is one of the API's.
	Metadata *Metadata `yaml:"metadata"`
	// What every token of this site must be.
	Token Token `yaml:"token"`
	// Headers for the API with claims of the token: the name of a header, which begins
	// with x-uma-, and that of a claim, as a condition has it (x-uma-groups: groups).
	ClaimHeaders map[string]string `yaml:"claim_headers" jsonschema:"minProperties=1"`
	// Claims of the token for Envoy's access log and its other filters, beside the decision:
	// the name there, of letters, digits and "_", and that of the claim of the token
	// (roles: realm_access.roles). Each is a list of texts.
	ReportedClaims map[string]string `yaml:"reported_claims" jsonschema:"minProperties=1"`
	// A short-lived JWT for the API, signed by umagate, that says who asks. Needs umagate
	// serve: the control plane has the keys, and publishes them as a JWK Set.
	InternalToken *InternalToken `yaml:"internal_token"`
	// How tokens of this site are refused before they expire.
	Revocation Revocation `yaml:"revocation"`
	// What protects the AS from this site's clients.
	Limits config.Limits `yaml:"limits"`
	// How Envoys learn of the instances of resources that have one registration for
	// each value in their paths ("name: album-{id}").
	Instances Instances `yaml:"instances"`
	// How the AS's resource registrations are kept equal to those below.
	Sync Sync `yaml:"sync"`
	// What is protected is kept at the AS, as paths of its resources, and not in this file
	// (Keycloak). umagate changes nothing there.
	ResourcesAtAS *ResourcesAtAS `yaml:"resources_at_as"`
	// What is protected. With resources_at_as, what holds beside that and before it:
	// conditions that are public or deny, and resources with an id.
	Resources []Resource `yaml:"resources"`
}

// CORS is what pages of other origins may read of a site, its refusals too.
type CORS struct {
	// What is allowed to whom.
	config.CORS
	// How long a browser may remember what it was told in a preflight. Default: the
	// browser's own, five seconds.
	MaxAge time.Duration `yaml:"max_age" range:"1s to 24h" zero:"the browser's own"`
}

// ResourcesAtAS is how the conditions of a site are made of the resources that its AS has,
// as Keycloak's policy enforcer does without paths of its own.
type ResourcesAtAS struct {
	// How often they are read. Default 1m.
	Interval time.Duration `yaml:"interval" range:"5s to 24h, such as 1m"`
	// Ask for the scope of the method's name, where the resource has scopes, rather than
	// for one of them. Default false.
	HTTPMethodAsScope bool `yaml:"http_method_as_scope"`
	// How many resources may be gone at once without being asked; of more, each stays as
	// it was, until "umagate refresh" is told to. Default 3; 0 lets none be gone.
	MaxRemovals int `yaml:"max_removals" range:"1" zero:"none"`
}

func (r *ResourcesAtAS) setDefaults() { r.Interval, r.MaxRemovals = time.Minute, 3 }

// Token is what a site asks of every token, whatever the condition.
type Token struct {
	// How a token is verified: introspection (RFC 7662).
	Validate Validation `yaml:"validate"`
	// Who evaluates what a token may: as_issued (default), by the permissions that the AS
	// says it has; at_as, where it has none for a request, by asking the AS, so that
	// clients that know OAuth and not UMA get what its policies permit: Keycloak with the
	// token alone, others with a permission ticket and the token as a claim_token.
	Evaluate Evaluate `yaml:"evaluate"`
	// With evaluate: at_as and Keycloak, have the owner of a resource asked for what is not
	// permitted (submit_request), once in ten minutes for each person, client and condition.
	// Other ASs ask by their own policies.
	AskOwner bool `yaml:"ask_owner"`
	// The token's iss must be one of these.
	Issuers []string `yaml:"issuers" jsonschema:"minItems=1"`
	// One of the token's aud must be one of these. Default, with "require: oauth_scopes" and
	// metadata: its identifiers.
	Audiences []string `yaml:"audiences" jsonschema:"minItems=1"`
	// The token's client_id must be one of these.
	ClientIDs []string `yaml:"client_ids" jsonschema:"minItems=1"`
	// Claims of every token, and for each the values of which it must have one. See the
	// claims of a condition; there is no path here to have variables.
	Claims Claims `yaml:"claims" jsonschema:"minProperties=1"`
	// With "require: oauth_scopes" or metadata, take a token whatever its audience: one that
	// was issued for another API opens this one too.
	InsecureAnyAudience bool `yaml:"insecure_any_audience"`
	// Clock difference tolerated in exp and nbf. Default 0s.
	Leeway time.Duration `yaml:"leeway" range:"0s to 5m"`
	// How long an active token is believed without asking the AS again. Default
	// 60s; 0s asks for every request.
	MaxTTL time.Duration `yaml:"max_ttl" range:"0s to 168h"`
	// The same for a token that is not active. Default 5s.
	NegativeTTL time.Duration `yaml:"negative_ttl" range:"0s to 24h"`
	// How much longer a token that was active is believed to be while the AS does not
	// answer. Default 0s: not at all. What the AS revokes meanwhile is not noticed.
	Stale time.Duration `yaml:"stale" range:"0s to 24h"`
	// When the AS is asked again about an active token: ahead (default), before max_ttl
	// is over if the token is in use then, so that no request waits; or on_demand, when
	// max_ttl is over, and the next request waits.
	Refresh config.Refresh `yaml:"refresh"`
	// What becomes of a token that names no issuer, where sites of the same paths are
	// told apart by it (chosen_by: issuer): deny (default); allow asks the AS of the site
	// that is chosen by path, which then sees tokens of other ASs, too, if they name none.
	WithoutIssuer config.Verdict `yaml:"without_issuer"`
	// Where a token may be beside the Authorization header, for browsers. Default: nowhere.
	From config.TokenSources `yaml:"from"`
	// Whether a request that was let through goes on when its token ends or is revoked:
	// outlive_token (default), or end_with_token, which ends it: a WebSocket, events, a long
	// answer.
	Streams config.Streams `yaml:"streams"`
	// Whether the API gets to see the token: keep (default) or strip.
	AuthorizationHeader config.Keep `yaml:"authorization_header"`
}

// Evaluate says who evaluates what a token may.
type Evaluate string

// The values of [Evaluate], the default first.
const (
	EvaluateAsIssued Evaluate = "as_issued"
	EvaluateAtAS     Evaluate = "at_as"
)

// Validation is how a token is verified.
type Validation string

// ValidateIntrospection asks the AS (RFC 7662).
const ValidateIntrospection Validation = "introspection"

// Revocation is how tokens of a site are refused before they expire.
type Revocation struct {
	// How long a revocation stays in force when its tokens do not say when they end:
	// the longest life of this AS's access tokens. Default 24h.
	Keep time.Duration `yaml:"keep" range:"1m to 9600h, the longest life of an access token, such as 24h"`
	// client_ids whose logout tokens (OpenID Connect Back-Channel Logout) and, with
	// Keycloak, admin messages are taken, beside the site's own client: those of the
	// applications that ask for the tokens.
	ClientIDs []string `yaml:"client_ids"`
	// How often Keycloak is asked for the realm's not-before. Default 30s; 0s for
	// never.
	NotBeforeEvery time.Duration `yaml:"not_before_every" range:"1s to 1h" zero:"never"`
}

// Resource is one registration at the AS (UMA Federated Authorization section 3)
// and what its conditions protect.
type Resource struct {
	// Unique name in its site; the name registered at the AS. With variables of its
	// paths in it, "album-{id}", each album has a registration and an owner of its own.
	Name string `yaml:"name" jsonschema:"required"`
	// The resource_id at the AS, when the resource is not registered by umagate
	// but is there already. "umagate render envoy" needs it.
	ID string `yaml:"id"`
	// Take over a resource of this name that is at the AS already and that umagate
	// did not register: from then on it is changed and deleted like any other.
	Adopt bool `yaml:"adopt"`
	// URI of a description of what kind of resource this is.
	Type string `yaml:"type"`
	// URI of a picture that the AS may show to a resource owner.
	IconURI string `yaml:"icon_uri"`
	// With variables in the name: register makes a registration, owned by the
	// subject of the request, when the API answers 201 with the Location of an
	// instance; ignore (default) leaves that to the control plane's API.
	OnCreate OnCreate `yaml:"on_create"`
	// With variables in the name: remove (default) ends the registration when a
	// DELETE of the instance's path succeeded; keep leaves it.
	OnDelete OnDelete `yaml:"on_delete"`
	// Words about it that the AS may show to a resource owner. Keycloak has none.
	Description string `yaml:"description"`
	// Addresses shown at an AS that keeps some with a resource (Keycloak). Nothing
	// is judged by them.
	URIs []string `yaml:"uris"`
	// The scopes registered at the AS. Default: those its conditions name.
	Scopes []string `yaml:"scopes" jsonschema:"minItems=1"`
	// What is protected, and by which scopes.
	Conditions []Condition `yaml:"conditions" jsonschema:"required,minItems=1"`
	// LiteralName: braces in the name are no variables. Such are the names of what
	// applications protect by the protocol of oxd.
	LiteralName bool `yaml:"-"`
}

// Condition is what a token needs for some methods on some paths. Exactly one of
// Public, Deny, Scopes and ScopeExpression is set.
type Condition struct {
	// What it covers and asks for.
	config.Condition
	// Claims of the token, and for each the values of which it must have one. A dot leads
	// into an object (realm_access.roles); {name} is the value of that variable of the path.
	Claims Claims `yaml:"claims" jsonschema:"minProperties=1"`
	// What the AS is told of each request, for its policies (Keycloak, with token.evaluate:
	// at_as): the name of a claim there, and method, client_address, header.NAME or a {name}
	// of the path. A permission counts only for requests of which the same is told.
	PushedClaims map[string]string `yaml:"pushed_claims" jsonschema:"minProperties=1"`
	// One of these must be among the roles of the token: its claim roles (RFC 9068), at
	// Keycloak the roles of the realm.
	Roles []string `yaml:"roles" jsonschema:"minItems=1"`
	// One of these must be among the token's claim groups (RFC 9068).
	Groups []string `yaml:"groups" jsonschema:"minItems=1"`
	// How long ago whose token it is may have been authenticated, by the token's auth_time
	// (RFC 9470). A token that does not say is refused. Default: any time.
	MaxAuthAge time.Duration `yaml:"max_auth_age" range:"1s to 8760h" zero:"any time"`
	// The scopes a permission ticket asks for. Default: the expression's data, or scopes.
	TicketScopes []string `yaml:"ticket_scopes" jsonschema:"minItems=1"`
	// Permissions on further resources that go into the same ticket.
	Ticket []TicketPermission `yaml:"ticket"`
}

// TicketPermission is one further permission in a ticket.
type TicketPermission struct {
	// Name of a resource of the same site.
	Resource string `yaml:"resource" jsonschema:"required"`
	// Scopes of that resource.
	Scopes []string `yaml:"scopes" jsonschema:"required,minItems=1"`
}

// NeedsPermission reports whether the resource has a condition that a token must
// satisfy, so that it must be registered at the AS when the site requires UMA.
func (r *Resource) NeedsPermission() bool {
	for i := range r.Conditions {
		if c := &r.Conditions[i]; !c.Public && !c.Deny {
			return true
		}
	}
	return false
}

// RegisteredScopes are the scopes to register at the AS: those listed, or the
// union of what the conditions name, in order of appearance.
func (r *Resource) RegisteredScopes() []string {
	if len(r.Scopes) > 0 {
		return append([]string(nil), r.Scopes...)
	}
	var union []string
	seen := map[string]bool{}
	add := func(scopes []string) {
		for _, s := range scopes {
			if !seen[s] {
				seen[s] = true
				union = append(union, s)
			}
		}
	}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		add(c.Scopes)
		if c.ScopeExpression != nil {
			add(c.ScopeExpression.Data)
		}
		add(c.TicketScopes)
	}
	return union
}

// New returns a site with everything at its default, for one that no file has.
func New() Site {
	var s Site
	s.setDefaults()
	return s
}

func (s *Site) setDefaults() {
	s.Settings = config.Settings{
		Mode:            config.ModeEnforce,
		Unmatched:       config.UnmatchedDeny,
		AmbiguousPaths:  config.PathsReject,
		Case:            config.CaseSensitive,
		OverrideHeaders: config.HeaderStrip,
		CORSPreflight:   config.VerdictDeny,
		Require:         config.RequireUMA,
	}
	s.Token = Token{
		Validate:            ValidateIntrospection,
		Evaluate:            EvaluateAsIssued,
		MaxTTL:              60 * time.Second,
		NegativeTTL:         5 * time.Second,
		Refresh:             config.RefreshAhead,
		AuthorizationHeader: config.HeaderKeep,
	}
	s.Instances = Instances{TTL: 60 * time.Second, NegativeTTL: 2 * time.Second, Stale: 24 * time.Hour}
	s.Sync = Sync{Interval: 5 * time.Minute, MaxDeletions: 3, Concurrency: 4}
	s.Revocation = Revocation{Keep: 24 * time.Hour, NotBeforeEvery: 30 * time.Second}
	s.AuthorizationServer.setDefaults()
}
