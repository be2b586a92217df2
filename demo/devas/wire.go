package devas

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
)

// maxBody bounds every request body.
const maxBody = 1 << 20

// protocolError is an answer with an error code of one of the specifications.
// Constructors make a new one each time.
type protocolError struct {
	status      int
	code        string
	description string
	header      http.Header
	extra       map[string]any
}

func (e *protocolError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.status, e.code, e.description)
}

func newError(status int, code, description string) *protocolError {
	return &protocolError{status: status, code: code, description: description}
}

func invalidRequest(description string) *protocolError {
	return newError(http.StatusBadRequest, "invalid_request", description)
}

func invalidGrant(description string) *protocolError {
	return newError(http.StatusBadRequest, "invalid_grant", description)
}

func invalidScope(description string) *protocolError {
	return newError(http.StatusBadRequest, "invalid_scope", description)
}

func unauthorizedClient(description string) *protocolError {
	return newError(http.StatusBadRequest, "unauthorized_client", description)
}

// bearerRefused is the answer to a bad bearer token (RFC 6750 section 3.1).
func bearerRefused(description string) *protocolError {
	e := newError(http.StatusUnauthorized, "invalid_token", description)
	e.header = http.Header{"Www-Authenticate": {`Bearer realm="devas", error="invalid_token"`}}
	return e
}

func methodNotAllowed(allow ...string) *protocolError {
	// The code is that of UMA Federated Authorization section 3.2.
	e := newError(http.StatusMethodNotAllowed, "unsupported_method_type", "allowed: "+strings.Join(allow, ", "))
	e.header = http.Header{"Allow": {strings.Join(allow, ", ")}}
	return e
}

func (e *protocolError) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), e.header)
	body := map[string]any{"error": e.code}
	if e.description != "" {
		body["error_description"] = e.description
	}
	maps.Copy(body, e.extra)
	writeJSON(w, e.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	// RFC 6749 section 5.1. Discovery and keys say otherwise before they get here.
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	// The status is out: a client that has gone is all that can fail here.
	_ = json.NewEncoder(w).Encode(v)
}

// readJSON decodes one JSON value from the body into v.
func readJSON(r *http.Request, v any, strict bool) *protocolError {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(body)))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(v); err != nil {
		return invalidRequest("the body is not the JSON that is expected: " + err.Error())
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalidRequest("the body has more than one JSON value")
	}
	return nil
}

func bodyError(err error) *protocolError {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return newError(http.StatusRequestEntityTooLarge, "invalid_request", "the body is larger than 1 MiB")
	}
	return invalidRequest("the body cannot be read: " + err.Error())
}

// readForm parses an application/x-www-form-urlencoded body. A parameter that
// stands twice is refused (RFC 6749 section 3.2), except those that may.
func readForm(r *http.Request) *protocolError {
	if err := r.ParseForm(); err != nil {
		return bodyError(err)
	}
	for k, v := range r.PostForm {
		if len(v) > 1 && k != "resource" && k != "audience" && k != "permission" {
			return invalidRequest("parameter " + k + " stands more than once")
		}
	}
	return nil
}

// bearer returns the token of an Authorization: Bearer header, or "".
func bearer(r *http.Request) string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
