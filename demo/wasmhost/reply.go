package wasmhost

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// localReply is an answer that does not come from the upstream.
type localReply struct {
	status  int
	headers *headerMap
	body    []byte
	// grpcStatus is used for a gRPC request; outside 0..16 it follows from status.
	grpcStatus int32
	details    string
}

const (
	grpcFromHTTP    = -1
	grpcUnavailable = 14
	grpcMax         = 16
)

// complete turns the reply into what the client gets: for gRPC an HTTP 200 that
// has only trailers (gRPC over HTTP/2, Responses), otherwise with a length.
func (r *localReply) complete(f *facts) {
	if r.headers == nil {
		r.headers = &headerMap{}
	}
	if r.status < 200 || r.status > 599 {
		r.status = http.StatusInternalServerError
	}
	if r.details == "" {
		r.details = "direct_response"
	}
	m := &headerMap{}
	m.add(":status", strconv.Itoa(r.status))
	for _, f := range r.headers.fields {
		if !strings.HasPrefix(f.name, ":") && f.name != "content-length" {
			m.add(f.name, f.value)
		}
	}
	r.headers = m
	if f.isGRPC {
		code := r.grpcStatus
		if code < 0 || code > grpcMax {
			code = grpcStatusOf(r.status)
		}
		m.set(":status", "200")
		m.set("content-type", "application/grpc")
		if m.value("grpc-status") == "" {
			m.set("grpc-status", strconv.Itoa(int(code)))
		}
		if len(r.body) > 0 && !f.isHead {
			m.set("grpc-message", percentEncode(r.body))
		}
		r.body = nil
		return
	}
	if len(r.body) == 0 {
		m.remove("content-type")
		return
	}
	m.set("content-length", strconv.Itoa(len(r.body)))
	if _, typed := m.get("content-type"); !typed {
		m.add("content-type", "text/plain")
	}
	if f.isHead {
		r.body = nil
	}
}

// grpcStatusOf maps as gRPC's http-grpc-status-mapping.md says.
func grpcStatusOf(httpStatus int) int32 {
	switch httpStatus {
	case http.StatusBadRequest:
		return 13 // INTERNAL
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return grpcUnavailable
	default:
		return 2 // UNKNOWN
	}
}

// percentEncode is gRPC's form of grpc-message: printable ASCII stays, but for "%".
func percentEncode(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		if c < 0x20 || c > 0x7e || c == '%' {
			fmt.Fprintf(&out, "%%%02X", c)
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}

func lower(s string) string { return strings.ToLower(s) }
