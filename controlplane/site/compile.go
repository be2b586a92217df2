package site

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/plugin/config"
)

// Facts is what only run time knows of a site.
type Facts struct {
	// URI is the as_uri of challenges; Issuer the AS's name of itself. Either
	// stands for the other when empty, and the file's issuer for both.
	URI    string `json:"uri,omitempty"`
	Issuer string `json:"issuer,omitempty"`
	// Dialect is the one in force, never auto.
	Dialect as.DialectName `json:"dialect,omitempty"`
	// The AS's endpoints, as whole URLs. Permission may be empty when the site
	// requires OAuth scopes; Token is used by a static rendering, and where tokens are
	// evaluated at the AS.
	Token         string `json:"token_endpoint,omitempty"`
	Introspection string `json:"introspection_endpoint,omitempty"`
	Permission    string `json:"permission_endpoint,omitempty"`
	// How introspection is asked for and read, as the dialect has it.
	TokenTypeHint           string              `json:"token_type_hint,omitempty"`
	Claims                  config.ClaimsSource `json:"claims,omitempty"`
	IntrospectionCredential as.Credential       `json:"introspection_credential,omitempty"`
	// ClientCertificate says that the client has a certificate to show to the AS, and
	// ClientID names the client then: introspection has to (RFC 8705 section 2).
	ClientCertificate bool   `json:"client_certificate,omitempty"`
	ClientID          string `json:"client_id,omitempty"`
	// EvaluatesTokens says that the AS evaluates its policies for a token that is shown to
	// its token endpoint, and Audience is the client_id whose resources are meant.
	EvaluatesTokens bool   `json:"evaluates_tokens,omitempty"`
	Audience        string `json:"audience,omitempty"`
	// ClaimTokenFormat is what another AS takes a token as, with a permission ticket, and
	// TokenIntrospection where it knows the token, when that is not Introspection.
	ClaimTokenFormat   string `json:"claim_token_format,omitempty"`
	TokenIntrospection string `json:"token_introspection_endpoint,omitempty"`
	// PATScopes is what a PAT is asked for with; none where the AS refuses it.
	PATScopes []string `json:"pat_scopes,omitempty"`
	// ResourceIDs maps a resource's name to its resource_id. One that is not there
	// is not registered yet, and what it protects is denied.
	ResourceIDs map[string]string `json:"resource_ids,omitempty"`
	// Kept are the conditions that come of what the AS keeps, for a site with
	// resources_at_as; nil before they are known, and then nothing passes.
	Kept *Kept `json:"kept,omitempty"`
}

// Kept is what comes of resources that the AS keeps.
type Kept struct {
	Resources []config.Resource `json:"resources"`
	// Closed: what no condition names is denied, whatever the site says.
	Closed bool `json:"closed,omitempty"`
}

// ErrIncomplete is wrapped by Compile's error when the facts of a site lack
// something the filter cannot do without.
var ErrIncomplete = errors.New("the authorization server is not known well enough")

// IntrospectionCluster names the Envoy cluster of a site's introspection endpoint.
func IntrospectionCluster(site string) string { return "umagate/" + site + "/introspection" }

// ProtectionCluster names the Envoy cluster of a site's protection API.
func ProtectionCluster(site string) string { return "umagate/" + site + "/protection" }

// EvaluationCluster names the Envoy cluster of a site's token endpoint, for tokens that
// are evaluated at the AS: with a credential where that is asked with a ticket.
func EvaluationCluster(site string) string { return "umagate/" + site + "/evaluation" }

// IntrospectionSecret names the SDS secret that the introspection cluster uses.
func IntrospectionSecret(site string) string { return "umagate/" + site + "/introspection" }

// PATSecret names the SDS secret with a site's PAT.
func PATSecret(site string) string { return "umagate/" + site + "/pat" }

// CertificateSecret names the SDS secret with the certificate of a site's client.
func CertificateSecret(site string) string { return "umagate/" + site + "/certificate" }

// Compile translates a file and what is known of its sites into the filter's
// configuration. The same input always gives the same document; Revision is a
// hash of its content. A site without usable facts is named in the error, which
// wraps [ErrIncomplete]. It is in the configuration all the same, and denies
// what needs a token: were it left out, another site's "*" could answer for its
// hosts.
func Compile(file *File, facts map[string]Facts) (config.Config, error) {
	out := config.Config{
		Version:      config.Version,
		UnknownHosts: file.UnknownHosts,
		Unreported:   file.Envoy.AccessLog == AccessLogOff,
		Cache:        file.Cache,
		Sites:        []config.Site{},
	}
	var errs []error
	for i := range file.Sites {
		s := &file.Sites[i]
		compiled, err := compileSite(s, facts[s.Name])
		compiled.Metadata = file.compileMetadata(s)
		if len(s.AuthorizationServer.IssuerAliases) > 0 || file.choosesByIssuer(s) {
			compiled.AuthorizationServer.Issuers = s.AuthorizationServer.Names()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("site %s: %w", s.Name, err))
		}
		out.Sites = append(out.Sites, compiled)
	}
	revision, err := revisionOf(out)
	if err != nil {
		return config.Config{}, err
	}
	out.Revision = revision
	return out, errors.Join(errs...)
}

func revisionOf(c config.Config) (string, error) {
	doc, err := config.Encode(&c)
	if err != nil {
		return "", fmt.Errorf("encode filter configuration: %w", err)
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:8]), nil
}

func compileSite(s *Site, facts Facts) (config.Site, error) {
	server, err := compileServer(s, facts)
	if err != nil {
		server = config.AuthorizationServer{Unknown: true}
	}
	out := config.Site{
		Name:     s.Name,
		Hosts:    s.Hosts,
		Settings: s.Settings,
		CORS:     compileCORS(s.CORS),
		Token: config.Token{
			Issuers:             s.Token.Issuers,
			Audiences:           s.audiences(),
			ClientIDs:           s.Token.ClientIDs,
			Claims:              compileClaims(s.Token.Claims),
			LeewayMS:            int(s.Token.Leeway / time.Millisecond),
			MaxTTLMS:            ttl(s.Token.MaxTTL),
			NegativeTTLMS:       ttl(s.Token.NegativeTTL),
			StaleMS:             int(s.Token.Stale / time.Millisecond),
			Refresh:             s.Token.Refresh,
			From:                s.Token.From,
			Streams:             s.Token.Streams,
			AuthorizationHeader: s.Token.AuthorizationHeader,
			WithoutIssuer:       s.Token.WithoutIssuer,
		},
		Limits:              s.Limits,
		ClaimHeaders:        compileClaimHeaders(s.ClaimHeaders),
		ReportedClaims:      compileTokenClaims(s.ReportedClaims),
		InternalToken:       compileInternalToken(s),
		AuthorizationServer: server,
		Instances:           compileInstances(s),
	}
	for i := range s.Resources {
		out.Resources = append(out.Resources, compileResource(s, &s.Resources[i], facts))
	}
	if s.ResourcesAtAS != nil {
		keep(&out, facts.Kept)
	}
	return out, err
}

func compileCORS(c *CORS) *config.CORS {
	if c == nil {
		return nil
	}
	out := c.CORS
	out.MaxAgeS = int(c.MaxAge / time.Second)
	return &out
}

// keep adds what comes of resources that the AS keeps. Nothing that is not known opens
// anything.
func keep(out *config.Site, kept *Kept) {
	if kept == nil || kept.Closed {
		out.Unmatched = config.UnmatchedDeny
	}
	if kept != nil {
		out.Resources = append(out.Resources, kept.Resources...)
	}
}

// ttl is a duration for the filter, where 0 means its default and -1 never.
func ttl(d time.Duration) int {
	if d < time.Millisecond {
		return -1
	}
	return int(d / time.Millisecond)
}

func compileServer(s *Site, facts Facts) (config.AuthorizationServer, error) {
	server := &s.AuthorizationServer
	out := config.AuthorizationServer{URI: cmp.Or(facts.URI, facts.Issuer, server.Issuer)}
	introspection, err := compileEndpoint(cmp.Or(server.Endpoints.Introspection, facts.Introspection), IntrospectionCluster(s.Name), server.Timeout)
	if err != nil {
		return out, fmt.Errorf("introspection endpoint: %w", err)
	}
	out.Introspection = config.Introspection{
		Endpoint:      introspection,
		TokenTypeHint: cmp.Or(server.Introspection.TokenTypeHint, facts.TokenTypeHint),
		Claims:        config.ClaimsSource(cmp.Or(string(server.Introspection.Claims), string(facts.Claims))),
		ClientID:      facts.ClientID,
	}
	if s.Require == config.RequireOAuthScopes {
		return out, nil
	}
	permission, err := compileEndpoint(cmp.Or(server.Endpoints.Permission, facts.Permission), ProtectionCluster(s.Name), server.Timeout)
	if err != nil {
		return out, fmt.Errorf("permission endpoint: %w", err)
	}
	out.Permission = &permission
	out.Evaluation, err = compileEvaluation(s, facts)
	return out, err
}

// compileEvaluation is how the AS is asked what a token may, nil where it is not.
func compileEvaluation(s *Site, facts Facts) (*config.Evaluation, error) {
	if s.Token.Evaluate != EvaluateAtAS {
		return nil, nil //nolint:nilnil // none is an answer
	}
	endpoint, err := compileEndpoint(cmp.Or(s.AuthorizationServer.Endpoints.Token, facts.Token), EvaluationCluster(s.Name), s.AuthorizationServer.Timeout)
	if err != nil {
		return nil, fmt.Errorf("token endpoint: %w", err)
	}
	if s.EvaluatesByTicket(facts.EvaluatesTokens) {
		if s.pushesClaims() {
			return nil, fmt.Errorf("%w: pushed_claims need an authorization server that takes them, such as Keycloak", ErrIncomplete)
		}
		return compileTicketEvaluation(s, facts, endpoint)
	}
	audience := cmp.Or(facts.Audience, s.AuthorizationServer.Client.ID)
	if audience == "" {
		return nil, fmt.Errorf("%w: token.evaluate: at_as needs the client_id of the resource server; write authorization_server.client {id, secret}", ErrIncomplete)
	}
	return &config.Evaluation{Endpoint: endpoint, Audience: audience, AskOwner: s.Token.AskOwner}, nil
}

// EvaluatesByTicket reports whether the site's tokens are evaluated with a permission
// ticket, as the site's own client, because the AS takes no token by itself or the file
// says so.
func (s *Site) EvaluatesByTicket(takesToken bool) bool {
	return s.Token.Evaluate == EvaluateAtAS && (!takesToken || s.AuthorizationServer.ClaimTokenFormat != "")
}

func compileTicketEvaluation(s *Site, facts Facts, endpoint config.Endpoint) (*config.Evaluation, error) {
	out := &config.Evaluation{
		Endpoint: endpoint, ClaimTokenFormat: cmp.Or(s.AuthorizationServer.ClaimTokenFormat, facts.ClaimTokenFormat), ClientID: facts.ClientID,
	}
	if out.ClaimTokenFormat == "" {
		return nil, fmt.Errorf("%w: token.evaluate: at_as needs authorization_server.claim_token_format", ErrIncomplete)
	}
	if facts.TokenIntrospection == "" || s.AuthorizationServer.Endpoints.Introspection != "" {
		return out, nil
	}
	tokens, err := compileEndpoint(facts.TokenIntrospection, IntrospectionCluster(s.Name), s.AuthorizationServer.Timeout)
	if err != nil {
		return nil, fmt.Errorf("introspection endpoint of access tokens: %w", err)
	}
	out.TokenIntrospection = &tokens
	return out, nil
}

func compileEndpoint(raw, cluster string, timeout time.Duration) (config.Endpoint, error) {
	if raw == "" {
		return config.Endpoint{}, fmt.Errorf("%w: it has no URL", ErrIncomplete)
	}
	u, err := url.Parse(raw)
	if err != nil {
		return config.Endpoint{}, fmt.Errorf("%w: %w", ErrIncomplete, err)
	}
	if u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return config.Endpoint{}, fmt.Errorf("%w: %q is not an http(s) URL", ErrIncomplete, raw)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return config.Endpoint{
		Cluster:   cluster,
		Scheme:    u.Scheme,
		Authority: u.Host,
		Path:      path,
		TimeoutMS: int(timeout / time.Millisecond),
	}, nil
}

func compileResource(s *Site, r *Resource, facts Facts) config.Resource {
	out := config.Resource{Name: r.Name, Conditions: []config.Condition{}}
	if s.Require != config.RequireOAuthScopes && r.HasInstances() {
		out.Instances, out.RegisterOnCreate, out.RemoveOnDelete = true, r.OnCreate == OnCreateRegister, r.OnDelete != OnDeleteKeep
	} else if s.Require != config.RequireOAuthScopes {
		out.ID = cmp.Or(r.ID, facts.ResourceIDs[r.Name])
	}
	for i := range r.Conditions {
		c := &r.Conditions[i]
		compiled := c.Condition
		compiled.MaxAuthAgeS = int(c.MaxAuthAge / time.Second)
		compiled.Claims = compileConditionClaims(s, c, facts)
		compiled.PushedClaims = compilePushedClaims(c.PushedClaims)
		compiled.Ticket = compileTicket(s, c, out.ID, facts)
		out.Conditions = append(out.Conditions, compiled)
	}
	return out
}

// compileTicket lists the permissions of a condition's ticket, or nothing when
// the filter's default says the same. While a resource of it is not registered,
// its id is empty, and the filter asks for no ticket.
func compileTicket(s *Site, c *Condition, id string, facts Facts) []config.Permission {
	if c.Public || c.Deny || (len(c.TicketScopes) == 0 && len(c.Ticket) == 0) {
		return nil
	}
	own := c.TicketScopes
	if len(own) == 0 {
		own = c.Scopes
		if c.ScopeExpression != nil {
			own = c.ScopeExpression.Data
		}
	}
	ticket := []config.Permission{{ResourceID: id, ResourceScopes: own}}
	for _, further := range c.Ticket {
		ticket = append(ticket, config.Permission{ResourceID: idOf(s, further.Resource, facts), ResourceScopes: further.Scopes})
	}
	return ticket
}

// idOf is the resource_id of a resource: the one in the file, or the one the AS gave.
func idOf(s *Site, name string, facts Facts) string {
	for i := range s.Resources {
		if s.Resources[i].Name == name && s.Resources[i].ID != "" {
			return s.Resources[i].ID
		}
	}
	return facts.ResourceIDs[name]
}
