package mcp

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/umagate/umagate/plugin/internal/ascii"
	"github.com/umagate/umagate/plugin/internal/strictjson"
)

// Target is what a method is about, by the name that its parameters have.
type Target uint8

// The targets. Of TargetNone, only the method says what a request is.
const (
	TargetNone Target = iota
	TargetTool
	TargetResource
	TargetPrompt

	// Targets is how many there are.
	Targets
)

// String returns the target as the log names it.
func (t Target) String() string { return [...]string{"method", "tool", "resource", "prompt"}[t&3] }

// Message is what counts of one message.
type Message struct {
	// Method is empty in a response of the client's, to what the server has asked it.
	Method string
	Target Target
	// Name is the tool's, the prompt's, or the URI of the resource.
	Name string
	// ID is what an answer has to have, as JSON; empty where nobody waits for one, and
	// where it is none that the protocol has.
	ID string
}

// Problem is why a message is not read; empty for none. Its text is stable: the log and
// `umagate check` name it.
type Problem string

// The problems.
const (
	ProblemBody      Problem = "no_body"          // there is none
	ProblemJSON      Problem = "not_json"         // it is not one JSON value in UTF-8
	ProblemObject    Problem = "not_an_object"    // a batch, or no message at all
	ProblemDuplicate Problem = "member_twice"     // a member is there twice
	ProblemMember    Problem = "unknown_member"   // one that JSON-RPC does not have, or reads like one that it has
	ProblemType      Problem = "wrong_type"       // a member has another type than JSON-RPC and MCP say
	ProblemVersion   Problem = "not_json_rpc_2"   // jsonrpc is not "2.0"
	ProblemShape     Problem = "neither_or_both"  // neither a request nor a response, or both
	ProblemName      Problem = "name_not_plain"   // a method or name that readers may change
	ProblemURI       Problem = "uri_not_plain"    // a URI that is not in canonical form
	ProblemNoName    Problem = "no_name"          // a call that names nothing
	ProblemMedia     Problem = "content_type"     // the body is not said to be JSON
	ProblemEncoding  Problem = "content_encoding" // it is compressed
	ProblemHeader    Problem = "header_mismatch"  // Mcp-Method or Mcp-Name say something else
	ProblemUpgrade   Problem = "upgrade"          // messages would go past who judges them
	ProblemEvents    Problem = "event_stream"     // an event is no message
	ProblemTooLong   Problem = "too_long"         // an answer is longer than one that is read
	ProblemNoList    Problem = "no_list"          // an answer to a request for a list has none
	ProblemNoAnswer  Problem = "no_answer"        // none of what came answers the request
)

// TargetOf returns what a method is about, and the parameter that names it.
func TargetOf(method string) (target Target, parameter string) {
	switch method {
	case "tools/call":
		return TargetTool, "name"
	case "prompts/get":
		return TargetPrompt, "name"
	case "resources/read", "resources/subscribe", "resources/unsubscribe":
		return TargetResource, "uri"
	}
	return TargetNone, ""
}

// Basic reports whether a method only opens, closes or describes: what a client sends before
// it asks for anything. "" is a response.
func Basic(method string) bool {
	switch method {
	case "", "initialize", "server/discover", "ping", "tools/list", "resources/list", "resources/templates/list", "prompts/list":
		return true
	}
	return strings.HasPrefix(method, "notifications/")
}

// Read reads the body of a POST. Where there is a problem, the message is empty.
func Read(body []byte) (Message, Problem) {
	var r reader
	return r.read(body)
}

// reader collects the members of a message.
type reader struct {
	problem                                       Problem
	version, id, method, params, result, rpcError gjson.Result
}

func (r *reader) read(body []byte) (Message, Problem) {
	if len(body) == 0 {
		return Message{}, ProblemBody
	}
	if !strictjson.Valid(body) {
		return Message{}, ProblemJSON
	}
	document := gjson.ParseBytes(body)
	if !document.IsObject() {
		return Message{}, ProblemObject
	}
	document.ForEach(r.member)
	if r.problem != "" {
		return Message{}, r.problem
	}
	return r.message()
}

// member takes one member. JSON-RPC has six, so that every other one is refused: also those
// that some readers take for one of these.
func (r *reader) member(key, value gjson.Result) bool {
	var to *gjson.Result
	switch key.Str {
	case "jsonrpc":
		to = &r.version
	case "id":
		to = &r.id
	case "method":
		to = &r.method
	case "params":
		to = &r.params
	case "result":
		to = &r.result
	case "error":
		to = &r.rpcError
	default:
		r.problem = ProblemMember
		return false
	}
	if to.Exists() {
		r.problem = ProblemDuplicate
		return false
	}
	*to = value
	return true
}

func (r *reader) message() (Message, Problem) {
	if r.version.Type != gjson.String || r.version.Str != "2.0" {
		return Message{}, ProblemVersion
	}
	answers := r.result.Exists() || r.rpcError.Exists()
	switch {
	case r.method.Exists() == answers, r.result.Exists() && r.rpcError.Exists(), answers && r.params.Exists():
		return Message{}, ProblemShape
	case answers:
		return Message{}, ""
	case r.method.Type != gjson.String, r.params.Exists() && !r.params.IsObject():
		return Message{}, ProblemType
	case !Plain(r.method.Str):
		return Message{}, ProblemName
	}
	m := Message{Method: strings.Clone(r.method.Str), ID: identifier(r.id)}
	var parameter string
	m.Target, parameter = TargetOf(m.Method)
	if m.Target == TargetNone {
		return m, ""
	}
	name, problem := named(r.params, parameter)
	switch {
	case problem != "":
		return Message{}, problem
	case m.Target == TargetResource && !PlainURI(name):
		return Message{}, ProblemURI
	}
	m.Name = strings.Clone(name)
	return m, ""
}

// maxID is more than a client needs to count its requests, or to name one by a UUID.
const maxID = 64

// identifier returns the id of a request as it is written.
func identifier(id gjson.Result) string {
	if id.Type != gjson.String && id.Type != gjson.Number || len(id.Raw) > maxID {
		return ""
	}
	return strings.Clone(id.Raw)
}

// maxParameters is more than any method has: they are compared with each other.
const maxParameters = 64

// named returns the text of a parameter.
func named(params gjson.Result, parameter string) (string, Problem) {
	value, problem := only(params, parameter)
	switch {
	case problem != "":
		return "", problem
	case !value.Exists():
		return "", ProblemNoName
	case value.Type != gjson.String:
		return "", ProblemType
	case !Plain(value.Str):
		return "", ProblemName
	}
	return value.Str, ""
}

// only returns the value of a parameter. Parameters of other names are what they are: the
// protocol grows. None of them may be there twice, or read like the one that counts.
func only(params gjson.Result, parameter string) (value gjson.Result, problem Problem) {
	var room [8]string
	seen := room[:0]
	params.ForEach(func(key, v gjson.Result) bool {
		switch {
		case slices.Contains(seen, key.Str):
			problem = ProblemDuplicate
		case len(seen) == maxParameters:
			problem = ProblemMember
		case key.Str == parameter:
			value = v
		case key.Str == "__proto__", !isASCII(key.Str), ascii.EqualFold(key.Str, parameter):
			problem = ProblemMember
		}
		seen = append(seen, key.Str)
		return problem == ""
	})
	return value, problem
}

// Plain reports whether every reader takes a text for the same: it is not empty, has no
// control or invisible character (a reader in C ends at NUL), no half of a surrogate pair,
// which is read as U+FFFD, and no space at an end, which many cut off.
func Plain(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	if s == "" || isSpace(first) || isSpace(last) {
		return false
	}
	for _, r := range s {
		if r == utf8.RuneError || isInvisible(r) {
			return false
		}
	}
	return true
}

func isSpace(r rune) bool {
	return r == ' ' || r == 0xA0 || r == 0x1680 || r >= 0x2000 && r <= 0x200A || r == 0x202F || r == 0x205F || r == 0x3000
}

// isInvisible tells control characters, C0 and C1, marks of direction, and what has no width.
func isInvisible(r rune) bool {
	return r < ' ' || r >= 0x7F && r < 0xA0 || r == 0xAD || r >= 0x200B && r <= 0x200F || r >= 0x2028 && r <= 0x202E || r >= 0x2060 && r <= 0x206F || r == 0xFEFF
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
