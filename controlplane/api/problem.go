package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Code is a problem's stable name: clients decide by it, never by words.
type Code string

// The codes. Each has one status.
const (
	CodeInvalidRequest       Code = "invalid_request"
	CodeUnauthorized         Code = "unauthorized"
	CodeForbidden            Code = "forbidden"
	CodeNotFound             Code = "not_found"
	CodeMethodNotAllowed     Code = "method_not_allowed"
	CodeConflict             Code = "conflict"
	CodeNotLeader            Code = "not_leader"
	CodeTooLarge             Code = "too_large"
	CodeUnsupportedMediaType Code = "unsupported_media_type"
	CodeMisdirected          Code = "misdirected"
	CodeTooManyRequests      Code = "too_many_requests"
	CodeInternal             Code = "internal"
	CodeAuthorizationServer  Code = "authorization_server"
	CodeUnavailable          Code = "unavailable"
)

// status and title of each code.
func (c Code) describe() (status int, title string) {
	switch c {
	case CodeInvalidRequest:
		return http.StatusBadRequest, "The request is not as the API document says"
	case CodeUnauthorized:
		return http.StatusUnauthorized, "The request has no credential that is known here"
	case CodeForbidden:
		return http.StatusForbidden, "The caller may not do this"
	case CodeNotFound:
		return http.StatusNotFound, "There is no such thing"
	case CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed, "The path does not have this method"
	case CodeConflict:
		return http.StatusConflict, "What is there already stands against it"
	case CodeNotLeader:
		return http.StatusConflict, "Another replica leads"
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge, "The request is too large"
	case CodeUnsupportedMediaType:
		return http.StatusUnsupportedMediaType, "The body is of a type that is not read here"
	case CodeMisdirected:
		return http.StatusMisdirectedRequest, "The request is for another host"
	case CodeTooManyRequests:
		return http.StatusTooManyRequests, "There are too many requests"
	case CodeAuthorizationServer:
		return http.StatusBadGateway, "The authorization server failed"
	case CodeUnavailable:
		return http.StatusServiceUnavailable, "It cannot be done now"
	default:
		return http.StatusInternalServerError, "umagate has failed"
	}
}

// Codes lists every code that a problem may have.
func Codes() []Code {
	return []Code{
		CodeInvalidRequest, CodeUnauthorized, CodeForbidden, CodeNotFound, CodeMethodNotAllowed, CodeConflict, CodeNotLeader, CodeTooLarge,
		CodeUnsupportedMediaType, CodeMisdirected, CodeTooManyRequests, CodeInternal, CodeAuthorizationServer, CodeUnavailable,
	}
}

// Schema implements [huma.SchemaProvider].
func (Code) Schema(huma.Registry) *huma.Schema {
	out := &huma.Schema{Type: huma.TypeString, Description: "the stable name of what went wrong"}
	for _, c := range Codes() {
		out.Enum = append(out.Enum, string(c))
	}
	return out
}

// problemMedia is the media type of problems (RFC 9457 section 6.1).
const problemMedia = "application/problem+json"

// problemType begins the type of every problem (RFC 9457 section 3.1.1).
const problemType = "https://github.com/umagate/umagate/blob/main/docs/api.md#"

// Problem is what every failed call answers (RFC 9457). Handlers return one as
// their error, made anew by a constructor; any other error is a 500 without words.
type Problem struct { //nolint:errname // RFC 9457 calls it so
	Type   string `json:"type" format:"uri"`
	Title  string `json:"title"`
	Status int    `json:"status" minimum:"400" maximum:"599"`
	Code   Code   `json:"code"`
	// Detail is for people.
	Detail string `json:"detail,omitempty"`
	// Remedy is what an operator can do.
	Remedy string `json:"remedy,omitempty"`
	// Errors names the places that are wrong.
	Errors    []FieldError `json:"errors,omitempty"`
	RequestID string       `json:"request_id"`

	// RetryAfter becomes the header of that name.
	RetryAfter time.Duration `json:"-"`
	// Cause is for the log; a client never sees it.
	Cause error `json:"-"`
}

// FieldError is one thing that is wrong in a request.
type FieldError struct {
	// In is path, query, header or body.
	In string `json:"in" enum:"path,query,header,body"`
	// Name is the parameter's name, or the place in the body as a JSON pointer.
	Name   string `json:"name"`
	Detail string `json:"detail"`
}

// NewProblem makes a problem with words for people.
func NewProblem(code Code, format string, args ...any) *Problem {
	status, title := code.describe()
	return &Problem{Type: problemType + string(code), Title: title, Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (p *Problem) Error() string {
	text := string(p.Code)
	if p.Detail != "" {
		text += ": " + p.Detail
	}
	if p.Cause != nil {
		text += ": " + p.Cause.Error()
	}
	return text
}

// Unwrap returns the cause.
func (p *Problem) Unwrap() error { return p.Cause }

// Because adds what the log is to tell.
func (p *Problem) Because(cause error) *Problem {
	p.Cause = cause
	return p
}

// WithRemedy adds what an operator can do.
func (p *Problem) WithRemedy(remedy string) *Problem {
	p.Remedy = remedy
	return p
}

// NotFound says that there is no such what.
func NotFound(what, name string) *Problem {
	return NewProblem(CodeNotFound, "there is no %s %q", what, name)
}

// Invalid says what is wrong with one parameter, or one place in the body.
func Invalid(in, name, format string, args ...any) *Problem {
	p := NewProblem(CodeInvalidRequest, "%s %s is not right", in, name)
	p.Errors = []FieldError{{In: in, Name: name, Detail: fmt.Sprintf(format, args...)}}
	return p
}

// Conflict says what stands against it.
func Conflict(format string, args ...any) *Problem { return NewProblem(CodeConflict, format, args...) }

// Unavailable says to try again after a while.
func Unavailable(after time.Duration, format string, args ...any) *Problem {
	p := NewProblem(CodeUnavailable, format, args...)
	p.RetryAfter = after
	return p
}

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements [huma.ContentTypeFilter].
func (*Problem) ContentType(string) string { return problemMedia }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((p.RetryAfter+time.Second-1)/time.Second)))
	}
	if p.Code == CodeUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="umagate"`)
	}
	return h
}

// of is the problem of the request with that id.
func (p *Problem) of(id string) *Problem {
	out := *p
	out.RequestID = id
	return &out
}

// write answers with the problem.
func (p *Problem) write(w http.ResponseWriter, id string) {
	body, err := json.Marshal(p.of(id))
	if err != nil { // cannot be: the type always marshals
		http.Error(w, "umagate has failed", http.StatusInternalServerError)
		return
	}
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", problemMedia)
	w.WriteHeader(p.Status)
	_, _ = w.Write(body) // a client that is gone is no concern
}
