package decision

import (
	"slices"
	"time"
)

// Kind says which of its members a [Step] has.
type Kind uint8

// The kinds of step. The zero value denies.
const (
	KindDeny  Kind = iota // answer as Deny says
	KindAllow             // forward the request as Allow says
	KindCall              // wait; send Call unless it is Shared
	KindRead              // wait; give the request's body to [Worker.Read], see [Exchange.MaxBody]
	// KindFetch: wait; change the request as Allow says, and send it and its body in a call of
	// the filter's own, see [Call.Fetches], rather than let it pass.
	KindFetch
)

// Step is what the host must do next for a request.
type Step struct {
	Kind  Kind
	Deny  Deny
	Allow Allow
	Call  *Call
}

// Header is one header. Names are lower case.
type Header struct{ Name, Value string }

// Deny is an answer to the client: a refusal, or what a preflight asks for.
type Deny struct {
	// Status is zero only in the zero Step; the host then answers 503.
	Status  int
	Headers []Header
	Body    string
	// GRPCStatus is the grpc-status of the answer to a gRPC request, and -1 for
	// every other request.
	GRPCStatus int32
}

// Allow says how the request is forwarded.
type Allow struct {
	// Authority replaces :authority when it is not empty.
	Authority string
	// Path replaces :path when it is not empty.
	Path string
	// Remove lists headers to remove, all their values.
	Remove []string
	// Set lists headers to add, after Remove.
	Set []Header
}

// Purpose says what a call is for.
type Purpose uint8

// The purposes of calls.
const (
	PurposeIntrospect Purpose = iota
	PurposeTicket
	PurposeEvaluate   // of what a token may
	PurposeLookup     // of an instance, at the control plane
	PurposeRegister   // of an instance that the API has created
	PurposeRemove     // of one that it has removed
	PurposeSigningKey // of the tokens that an API is told by, at the control plane
	PurposeList       // of what an MCP server has, at that server

	// Purposes is how many there are.
	Purposes
)

// String returns the purpose as metrics name it.
func (p Purpose) String() string {
	return [...]string{"introspection", "permission", "evaluation", "instance_lookup", "instance_register", "instance_remove", "signing_key", "mcp_list"}[p&7]
}

// ToAS tells a call to the authorization server from one to the control plane.
func (p Purpose) ToAS() bool { return p <= PurposeEvaluate }

// Callee names who the call is to, for a log.
func (p Purpose) Callee() string {
	switch {
	case p.ToAS():
		return "authorization server"
	case p == PurposeList:
		return "MCP server"
	}
	return "control plane"
}

// Call is one HTTP request to the authorization server, or, about instances and for
// signing keys, to the control plane, or, for a list, to an MCP server.
type Call struct {
	// ID is what the host gives to [Worker.Reply] or [Worker.Refused].
	ID      uint64
	Purpose Purpose
	// Shared tells that the call is under way already, for another request with
	// the same token: there is nothing to send.
	Shared bool

	Cluster string
	Headers []Header // with the pseudo headers
	Body    []byte
	Timeout time.Duration
}

// Fetches reports whether the call is the request itself, which goes where it would go without
// the filter: Cluster, Headers and Body are its own. [Call.FetchHeaders] are what is sent of
// its headers, and the response has its headers and what follows from [MaxResponse].
func (c *Call) Fetches() bool { return c.Purpose == PurposeList }

// FetchHeaders returns those of a request's headers that a call which fetches has: not how
// its body is framed, nor what asks for an answer that is compressed, or a part.
func (c *Call) FetchHeaders(headers []Header) []Header {
	return slices.DeleteFunc(headers, func(h Header) bool {
		return isOneOf(notFetched, []byte(h.Name))
	})
}

// notFetched: x-envoy-… are those that the host sets for each call.
const notFetched = " content-length transfer-encoding te accept-encoding range if-range expect connection keep-alive" +
	" proxy-connection upgrade x-envoy-retry-on x-envoy-max-retries "

// Response is how a call ended.
type Response struct {
	// Status is the HTTP status; 0 when there was no answer and the host made up
	// none.
	Status int
	// RetryAfter is the header of that name.
	RetryAfter string
	// Headers are all, of a call that fetches.
	Headers []Header
	// Body is the whole body. The host leaves it empty and sets TooLarge when it
	// is longer than [MaxResponse].
	Body     []byte
	TooLarge bool

	notSent bool // see Worker.Refused
}

// MaxResponse bounds the body of an answer of the authorization server.
const MaxResponse = 1 << 20

// Outcome is the next step of one request that waited for a call.
type Outcome struct {
	Exchange *Exchange
	Step     Step
}
