package decision

// Reason says why a decision was made. Its code is stable: it is in the body of
// a denial, in the access log, in metrics and in `umagate check`.
type Reason uint8

// The reasons. The zero value is a fault of the filter itself and denies.
const (
	ReasonInternal Reason = iota

	// The request passes.
	ReasonPermitted         // the token has what the condition needs
	ReasonPublic            // the condition is public
	ReasonUnmatchedAllowed  // no condition has the path, and the site says allow
	ReasonAuthenticated     // the same, the site says authenticated, and the token does
	ReasonPreflight         // a CORS preflight, and the site says allow
	ReasonPreflightAnswered // a CORS preflight of an origin that the site lists
	ReasonMetadata          // the site's own metadata was asked for
	ReasonOff               // mode off
	ReasonUnknownHostAllowed

	// The request is wrong in itself.
	ReasonInvalidHost
	ReasonAmbiguousPath
	ReasonInvalidCredentials // more than one token, or a malformed one
	ReasonNotForwarded       // CONNECT and OPTIONS *
	ReasonExpectation        // an Expect header other than 100-continue
	ReasonMethodOverride     // the query names another method
	ReasonMCPUnreadable      // the body is no MCP message that all read alike
	ReasonMCPTooLarge        // it is longer than the site reads
	ReasonNotPushed          // the AS cannot be told of it what it is to know

	// Nothing allows it.
	ReasonUnknownHost
	ReasonUnmatched
	ReasonMethodNotCovered
	ReasonMCPNotCovered    // no condition has the tool, resource, prompt or method of MCP
	ReasonDenied           // the condition denies everybody
	ReasonForeignPage      // a token in a cookie, sent for a page that is not listed
	ReasonOriginNotAllowed // a CORS preflight of another origin

	// There is no token, or an insufficient one. With UMA the client gets a ticket.
	ReasonNoToken
	ReasonInactive
	ReasonRevoked           // the control plane says so, whatever the AS says
	ReasonRevocationUnknown // somebody's tokens are revoked, and whose it is is not known
	ReasonExpired
	ReasonNotYetValid
	ReasonWrongIssuer
	ReasonWrongAudience
	ReasonWrongClient
	ReasonNotAccessToken
	ReasonSenderConstrained
	ReasonNotPermitted
	ReasonNeedsInfo        // the AS would have to know more of who asks
	ReasonRequestSubmitted // the AS asks the owner of the resource

	// The token is enough, and its owner's authentication is not (RFC 9470).
	ReasonInsufficientAuthentication
	// The token is good, and a claim of it is not what is asked for.
	ReasonInsufficientClaims

	// There is no ticket to be had.
	ReasonNotRegistered
	ReasonNoTicket
	ReasonTooManyTickets
	ReasonTooManyCalls
	ReasonTooManyWaiting
	ReasonTooManyEvaluations
	ReasonTooManyStreams

	// The token cannot be verified.
	ReasonASUnreachable
	ReasonASRefused
	ReasonASError
	ReasonASBadAnswer
	ReasonASBusy

	// The registration of an instance is not known.
	ReasonResourceUnknown
	ReasonTooManyLookups
	ReasonControlPlaneUnreachable
	ReasonLookupFailed

	// The API cannot be told who asks.
	ReasonNoSigningKey

	// The request was let through, and what an MCP server lists cannot be shown.
	ReasonMCPListUnreadable
	ReasonMCPServerUnreachable

	// Reasons is how many there are.
	Reasons
)

// verdict is what a reason means on the wire. detail is for the client and says
// nothing that depends on the request.
type verdict struct {
	code   string
	status int // 0: the request passes
	detail string
}

var verdicts = [Reasons]verdict{
	ReasonInternal: {"internal_error", 503, "The request could not be judged."},

	ReasonPermitted:          {"permitted", 0, ""},
	ReasonPublic:             {"public", 0, ""},
	ReasonUnmatchedAllowed:   {"unmatched_allowed", 0, ""},
	ReasonAuthenticated:      {"unmatched_authenticated", 0, ""},
	ReasonPreflight:          {"cors_preflight", 0, ""},
	ReasonPreflightAnswered:  {"cors_preflight_answered", 0, ""},
	ReasonMetadata:           {"metadata_answered", 0, ""},
	ReasonOff:                {"off", 0, ""},
	ReasonUnknownHostAllowed: {"unknown_host_allowed", 0, ""},

	ReasonInvalidHost:        {"invalid_host", 400, "The host of the request is missing or malformed."},
	ReasonAmbiguousPath:      {"ambiguous_path", 400, "The path of the request is not in canonical form."},
	ReasonInvalidCredentials: {"invalid_request", 400, "The request must have one well-formed token, in one place."},
	ReasonNotForwarded:       {"method_not_forwarded", 405, "This method is not forwarded."},
	ReasonExpectation:        {"expectation_failed", 417, "The Expect header of the request is not supported."},
	ReasonMethodOverride:     {"method_override", 400, "The query of the request names another method than its own."},

	ReasonMCPUnreadable: {"mcp_unreadable", 400, "The body of the request is not one MCP message that everybody reads alike."},
	ReasonMCPTooLarge:   {"mcp_too_large", 413, "The body of the request is longer than an MCP message may be here."},

	ReasonNotPushed: {"claims_not_pushed", 400, "The request has something twice, or too long, that the authorization server is to be told."},

	ReasonUnknownHost:      {"unknown_host", 403, "No protected site answers on this host."},
	ReasonUnmatched:        {"unmatched_path", 403, "No condition allows this path."},
	ReasonMethodNotCovered: {"method_not_covered", 403, "No condition allows this method on this path."},
	ReasonMCPNotCovered:    {"mcp_not_covered", 403, "No condition allows this tool, resource, prompt or method of MCP."},
	ReasonForeignPage:      {"foreign_page", 403, "The token is in a cookie, and the request may be of another site's page."},
	ReasonOriginNotAllowed: {"cors_origin_not_allowed", 403, "Pages of this origin may not read what this site answers."},
	ReasonDenied:           {"denied", 403, "A condition denies this request."},

	ReasonNoToken:           {"no_token", 401, "The request has no bearer token."},
	ReasonInactive:          {"inactive_token", 401, "The token is not active."},
	ReasonRevoked:           {"revoked_token", 401, "The token has been revoked."},
	ReasonRevocationUnknown: {"revocation_unknown", 401, "The token cannot be told from one that has been revoked."},
	ReasonExpired:           {"expired_token", 401, "The token has expired."},
	ReasonNotYetValid:       {"token_not_yet_valid", 401, "The token is not valid yet."},
	ReasonWrongIssuer:       {"wrong_issuer", 401, "The token was issued by another authorization server."},
	ReasonWrongAudience:     {"wrong_audience", 401, "The token was issued for another audience."},
	ReasonWrongClient:       {"wrong_client", 401, "The token was issued to a client that is not accepted here."},
	ReasonNotAccessToken:    {"not_an_access_token", 401, "The token is not an access token."},
	ReasonSenderConstrained: {"sender_constrained_token", 401, "The token is bound to a key and cannot be used as a bearer token."},
	ReasonNotPermitted:      {"insufficient_permission", 401, "The token does not have the permission that this request needs."},
	ReasonNeedsInfo:         {"need_info", 401, "The authorization server needs to know more of who asks before it permits this request."},
	ReasonRequestSubmitted:  {"request_submitted", 401, "The token does not have the permission that this request needs; the owner of the resource is asked for it."},

	ReasonInsufficientAuthentication: {"insufficient_user_authentication", 401, "This request needs a token whose owner has authenticated in another way, or more recently."},
	ReasonInsufficientClaims:         {"insufficient_claims", 403, "The claims of the token are not those that this request needs."},

	ReasonNotRegistered:  {"resource_not_registered", 403, "The resource is not registered at the authorization server yet."},
	ReasonNoTicket:       {"no_ticket", 403, "The authorization server gave no permission ticket."},
	ReasonTooManyTickets: {"too_many_tickets", 429, "Too many permission tickets were asked for."},
	ReasonTooManyCalls:   {"too_many_calls", 429, "Too many calls to the authorization server have no answer yet."},
	ReasonTooManyWaiting: {"too_many_waiting", 429, "Too many requests wait for their decision."},

	ReasonTooManyEvaluations: {"too_many_evaluations", 429, "The authorization server was asked too often what tokens may."},
	ReasonTooManyStreams:     {"too_many_streams", 429, "Too many streams are open."},

	ReasonASUnreachable: {"as_unreachable", 503, "The token could not be verified: the authorization server did not answer."},
	ReasonASRefused:     {"as_refused", 503, "The token could not be verified: the authorization server refused the resource server's credentials."},
	ReasonASError:       {"as_error", 503, "The token could not be verified: the authorization server reported an error."},
	ReasonASBadAnswer:   {"as_bad_answer", 503, "The token could not be verified: the authorization server's answer could not be used."},
	ReasonASBusy:        {"as_busy", 503, "The token could not be verified: the authorization server asks to be asked later."},

	ReasonResourceUnknown:         {"resource_unknown", 403, "No resource of this name is registered."},
	ReasonTooManyLookups:          {"too_many_lookups", 429, "Too many resources were looked up."},
	ReasonControlPlaneUnreachable: {"control_plane_unreachable", 503, "The resource could not be looked up: the control plane did not answer."},
	ReasonLookupFailed:            {"lookup_failed", 503, "The resource could not be looked up: the control plane's answer could not be used."},

	ReasonNoSigningKey: {"no_signing_key", 503, "The API cannot be told who asks: the control plane gave no key to sign with."},

	ReasonMCPListUnreadable:    {"mcp_list_unreadable", 502, "What the MCP server lists cannot be read in one way only, so nothing of it is shown."},
	ReasonMCPServerUnreachable: {"mcp_server_unreachable", 503, "The MCP server did not answer."},
}

// String returns the reason's code.
func (r Reason) String() string { return r.verdict().code }

// Allows tells that the reason lets a request pass.
func (r Reason) Allows() bool { return r.verdict().status == 0 }

// Status is the HTTP status of a denial for this reason, 0 when it allows.
func (r Reason) Status() int { return r.verdict().status }

// Detail is what a client is told.
func (r Reason) Detail() string { return r.verdict().detail }

func (r Reason) verdict() *verdict {
	if r >= Reasons {
		r = ReasonInternal
	}
	return &verdicts[r]
}

// offersTicket tells that the client can mend the denial with a ticket.
func (r Reason) offersTicket() bool { return r >= ReasonNoToken && r <= ReasonRequestSubmitted }

// lacksPermission tells that the token is good, and not enough.
func (r Reason) lacksPermission() bool { return r >= ReasonNotPermitted && r <= ReasonRequestSubmitted }

// challengeError is the error code of the challenge (RFC 6750 section 3.1): none
// when the request had no token.
func (r Reason) challengeError() string {
	switch {
	case r.lacksPermission():
		return "insufficient_scope"
	case r > ReasonNoToken && r < ReasonNotPermitted:
		return "invalid_token"
	}
	return ""
}
