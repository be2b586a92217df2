package decision

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/scope"
	"github.com/umagate/umagate/plugin/uma"
)

// finish ends an exchange for a reason: with Allow, with Deny, or, in mode
// monitor, with an Allow that reports the denial.
func (x *Exchange) finish(reason Reason) *Step { return x.finishWith(reason, reason, "") }

// finishWith is finish for a denial whose challenge carries a ticket; because
// is why it was asked for.
func (x *Exchange) finishWith(reason, because Reason, ticket string) *Step {
	if x.live != nil && x.decided.Reason != ReasonInternal {
		return x.again(reason)
	}
	x.call = nil
	d := Decision{Effect: EffectDeny, Reason: reason, Problem: x.problem, Cache: x.cache, Failed: x.failed, MCP: x.decided.MCP}
	if x.site != nil {
		d.Site = x.site.name
	}
	if x.rule != nil {
		d.Condition = x.rule.template
	}
	if x.cond != nil {
		d.Resource = x.cond.resource
	}
	if x.token != nil {
		d.Subject, d.ClientID, d.Scopes = x.token.Subject, x.token.ClientID, joinScopes(x.held)
	}
	switch {
	case reason.Allows():
		d.Effect = EffectAllow
	case x.mode() == config.ModeMonitor:
		d.Effect = EffectMonitor
	default:
		d.Status = x.status(reason)
	}
	switch reason {
	case ReasonPreflightAnswered:
		d.Status = preflightStatus
	case ReasonMetadata:
		d.Status = metadataStatus
	default:
	}
	x.decided = d
	x.evaluator.count(x.state, d)
	if d.Effect == EffectDeny {
		x.note("decision", "deny ", strconv.Itoa(d.Status), " ", reason.String(), ": ", reason.Detail())
		x.step = Step{Kind: KindDeny, Deny: x.deny(reason, because, ticket)}
		return &x.step
	}
	x.note("decision", d.Effect.String(), " ", reason.String())
	switch reason {
	case ReasonPreflightAnswered:
		x.step = Step{Kind: KindDeny, Deny: x.answerPreflight()}
		return &x.step
	case ReasonMetadata:
		x.step = Step{Kind: KindDeny, Deny: x.cond.document.answer}
		return &x.step
	default:
	}
	x.step = Step{Kind: KindAllow, Allow: x.allow(reason)}
	return &x.step
}

// status is the HTTP status of a denial.
func (x *Exchange) status(reason Reason) int {
	if reason.lacksPermission() && x.site.bearer { // RFC 6750 section 3.1
		return 403
	}
	return reason.Status()
}

// mode is the mode in force: the condition's, once it is known. Before that it is
// the strictest of the site, and before that of all sites of the host: nobody knows yet
// that the request is not for what is enforced there.
func (x *Exchange) mode() config.Mode {
	switch {
	case x.unfit || x.site == nil && x.shared == nil:
		return config.ModeEnforce
	case x.cond != nil:
		return x.cond.mode
	case x.site != nil:
		return x.site.strictest
	}
	return x.shared.strictest
}

func (x *Exchange) enforced() bool { return x.mode() == config.ModeEnforce }

// allow says how the request is forwarded. Whatever lets it pass, a header that
// only the filter may set is removed.
func (x *Exchange) allow(reason Reason) Allow {
	// The authority is the one judged, whatever the mode: a server that compares
	// hosts by their letters would serve another site than the one that was found.
	a := Allow{Remove: x.removals(reason), Authority: x.authority}
	if x.path.Rewritten && !x.asCame {
		a.Path = x.path.Target
	}
	set := x.identity[:0]
	if x.judged(reason) {
		resource := x.resourceID
		if x.cond.pushed != nil {
			resource, _ = unpushed(resource)
		}
		set = appendIdentity(set, "x-uma-subject", x.token.Subject)
		set = appendIdentity(set, "x-uma-client-id", x.token.ClientID)
		set = appendIdentity(set, "x-uma-scopes", x.decided.Scopes)
		set = appendIdentity(set, "x-uma-resource-id", resource)
		if x.site.headers != nil {
			set = x.appendClaims(set)
		}
		if x.site.signer != nil {
			set = append(set, Header{x.site.signer.header, x.request.token}) // see sign
		}
	}
	if x.request.badOption && x.request.upgrade {
		set = append(set, Header{"connection", "upgrade"})
	}
	a.Set = set
	return a
}

// judged reports whether the API may be told whose the request is: its token is good for it.
func (x *Exchange) judged(reason Reason) bool {
	return (reason == ReasonPermitted || reason == ReasonAuthenticated) && !x.asCame
}

// joinScopes writes scopes so that the API finds as many as there are: what is
// no scope-token, such as a text with a space in it, is left out.
func joinScopes(scopes []string) string {
	if len(scopes) == 1 && scope.IsToken(scopes[0]) {
		return scopes[0]
	}
	n := 0
	for _, s := range scopes {
		n += len(s) + 1
	}
	b := make([]byte, 0, n)
	for _, s := range scopes {
		if !scope.IsToken(s) {
			continue
		}
		if len(b) > 0 {
			b = append(b, ' ')
		}
		b = append(b, s...)
	}
	return string(b)
}

func appendIdentity(set []Header, name, value string) []Header {
	if value == "" {
		return set
	}
	return append(set, Header{name, headerText(value)})
}

// headerText writes a value of the AS so that a header can carry it and nothing
// else: '%', what is no visible ASCII character, and a space at either end, which
// a header would lose, are percent-encoded.
func headerText(s string) string {
	for i := range len(s) {
		if !isPlain(s, i) {
			return encodeText(s)
		}
	}
	return s
}

func encodeText(s string) string {
	b := make([]byte, 0, len(s)+16)
	for i := range len(s) {
		if isPlain(s, i) {
			b = append(b, s[i])
		} else {
			b = appendPercent(b, s[i])
		}
	}
	return string(b)
}

func isPlain(s string, i int) bool {
	if s[i] == ' ' {
		return i > 0 && i < len(s)-1
	}
	return s[i] > ' ' && s[i] <= '~' && s[i] != '%'
}

// deny builds the answer to the client.
func (x *Exchange) deny(reason, because Reason, ticket string) Deny {
	d := Deny{Status: x.status(reason), GRPCStatus: -1}
	d.Headers = []Header{
		{"content-type", "application/problem+json"},
		{"cache-control", "no-store"},
	}
	id := ""
	if x.decided.MCP != nil {
		id = x.decided.MCP.id
	}
	if id != "" {
		d.Headers[0].Value = "application/json"
	}
	later := x.pause
	if because == ReasonRequestSubmitted {
		later = max(later, x.interval)
	}
	switch reason {
	case ReasonNoTicket, ReasonNotRegistered:
		d.Headers = append(d.Headers, Header{"warning", uma.WarningUnreachable})
	case ReasonTooManyTickets, ReasonTooManyCalls, ReasonTooManyWaiting, ReasonTooManyEvaluations, ReasonTooManyLookups, ReasonTooManyStreams:
		later = 1
	case ReasonNoSigningKey, ReasonASUnreachable, ReasonASRefused, ReasonASError, ReasonASBadAnswer, ReasonASBusy, ReasonControlPlaneUnreachable, ReasonLookupFailed, ReasonMCPServerUnreachable:
		later = max(later, 5)
	case ReasonInsufficientAuthentication:
		c := x.bearer(reason.String())
		c.ACRValues = strings.Join(x.cond.acr, " ")
		if x.cond.maxAuthAge > 0 {
			c.MaxAge = strconv.FormatInt(x.cond.maxAuthAge, 10)
		}
		d.Headers = append(d.Headers, Header{"www-authenticate", c.String()})
	case ReasonInvalidCredentials:
		d.Headers = append(d.Headers, Header{"www-authenticate", x.bearer(uma.ErrorInvalidRequest).String()})
	default:
	}
	if later > 0 {
		d.Headers = append(d.Headers, Header{"retry-after", strconv.FormatInt(later, 10)})
	}
	if because.offersTicket() && (ticket != "" || x.site.bearer && !x.hopeless(because) || x.cond.anyToken || x.live != nil) {
		d.Headers = x.challenge(d.Headers, because, ticket)
	}
	d.Headers = x.AppendCORS(d.Headers)
	if x.request.grpc {
		d.GRPCStatus = grpcStatus(d.Status)
		d.Body = reason.String() + ": " + reason.Detail() // becomes grpc-message
		return d
	}
	d.Body = problem(d.Status, reason)
	if id != "" {
		d.Body = rpcError(id, reason, d.Body)
	}
	return d
}

// rpcError is the body of a denial for who called an MCP server, and waits for an answer to
// what has the id. Clients give up the connection where they find no answer (the Go SDK), or
// do not tell what it says (Python).
func rpcError(id string, reason Reason, problem string) string {
	b := make([]byte, 0, 384)
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	b = append(b, `,"error":{"code":-32010,"message":`...) // one of those that JSON-RPC leaves to servers
	b = gjson.AppendJSONString(b, reason.String()+": "+reason.Detail())
	b = append(b, `,"data":`...)
	b = append(b, strings.TrimSuffix(problem, "\n")...)
	return string(append(b, '}', '}', '\n'))
}

// bearer is RFC 6750's challenge, and says where the site's metadata is.
func (x *Exchange) bearer(code string) uma.Challenge {
	return uma.Challenge{Scheme: "Bearer", Realm: x.site.realm, Error: code, ResourceMetadata: x.metadataURL()}
}

// hopeless reports whether no other token would help, without tickets: clients that are
// told insufficient_scope have their user log in again.
func (x *Exchange) hopeless(because Reason) bool {
	return x.site.bearer && !x.site.oauth && because.lacksPermission()
}

// challenge adds WWW-Authenticate: UMA with a ticket, or Bearer where there is none, or both.
func (x *Exchange) challenge(headers []Header, because Reason, ticket string) []Header {
	c := x.bearer(because.challengeError())
	// Where no permission is asked for there is no resource to have a ticket for, and
	// the UMA scheme demands one (UMA Grant section 3.2.1).
	tickets := ticket != ""
	if !tickets || x.site.bothChallenges {
		b := c
		b.Scope = x.challengeScope(because)
		// Clients are known that take the first word of the header for the only scheme,
		// and they know Bearer; who knows UMA looks for it.
		headers = append(headers, Header{"www-authenticate", b.String()})
	}
	if tickets {
		c.Scheme, c.ASURI, c.Ticket = "UMA", x.site.asURI, ticket
		headers = append(headers, Header{"www-authenticate", c.String()})
	}
	return headers
}

// problem is the body of a denial (RFC 9457), with the reason's code.
func problem(status int, reason Reason) string {
	b := make([]byte, 0, 192)
	b = append(b, `{"type":"about:blank","title":`...)
	b = gjson.AppendJSONString(b, statusText(status))
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"code":`...)
	b = gjson.AppendJSONString(b, reason.String())
	b = append(b, `,"detail":`...)
	b = gjson.AppendJSONString(b, reason.Detail())
	return string(append(b, '}', '\n'))
}

func statusText(status int) string {
	switch status {
	case 400:
		return "Bad Request"
	case 401:
		return "Unauthorized"
	case 403:
		return "Forbidden"
	case 405:
		return "Method Not Allowed"
	case 413:
		return "Content Too Large"
	case 417:
		return "Expectation Failed"
	case 429:
		return "Too Many Requests"
	case 502:
		return "Bad Gateway"
	}
	return "Service Unavailable"
}

// grpcStatus is the gRPC status of an HTTP status (google.rpc.Code).
func grpcStatus(status int) int32 {
	switch status {
	case 400, 417:
		return 3 // INVALID_ARGUMENT
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 405:
		return 12 // UNIMPLEMENTED
	case 413, 429:
		return 8 // RESOURCE_EXHAUSTED
	}
	return 14 // UNAVAILABLE
}
