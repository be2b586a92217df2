package decision

import (
	"strings"

	"github.com/umagate/umagate/plugin/uma"
)

// Request is a request as the host has it. Header names are lower case, pseudo
// headers included, duplicates apart.
type Request struct {
	Headers []Header
}

// screened is what the headers of a request say, read once.
type screened struct {
	authority, method, path string
	origin, preflight       bool
	grpc                    bool
	badExpect               bool
	token                   string // not looked at yet, see verify
	credentials             uma.Credential
	authorizations          int
	identity                []string // headers a client has no right to send
	overrides               []string // headers that make some upstreams see another method or path
}

// screen reads the headers. Only :authority, :method and :path say what the
// request is aimed at.
func (s *screened) screen(r *Request) {
	for i := range r.Headers {
		name, value := r.Headers[i].Name, r.Headers[i].Value
		if name == "" {
			continue
		}
		if name[0] == ':' {
			switch name {
			case ":authority":
				s.authority = value
			case ":method":
				s.method = value
			case ":path":
				s.path = value
			}
			continue
		}
		switch name {
		case "authorization":
			s.authorization(value)
			continue
		case "content-type":
			s.grpc = isGRPC(value)
			continue
		case "expect":
			s.badExpect = s.badExpect || !strings.EqualFold(value, "100-continue")
			continue
		case "origin":
			s.origin = true
			continue
		case "access-control-request-method":
			s.preflight = true
			continue
		}
		// The ordinary names are told by their first letter and length; only what
		// may be ours is looked at closer.
		if c := name[0] | 0x20; c == 'x' {
			s.screenName(name)
		}
	}
}

func (s *screened) authorization(value string) {
	if s.authorizations++; s.authorizations > 1 { // whichever the API would believe
		s.token, s.credentials = "", uma.CredentialMalformed
		return
	}
	s.token, s.credentials = uma.CutBearer(value)
}

// screenName sorts out a header by its folded name: CGI, WSGI and PHP turn '-',
// '_', '.' and other characters into one, so X_Uma_Subject would arrive as ours.
func (s *screened) screenName(name string) {
	var buf [64]byte
	folded := foldName(buf[:0], name)
	switch {
	case len(folded) >= len("x-uma-") && string(folded[:len("x-uma-")]) == "x-uma-":
		s.identity = append(s.identity, name)
	case isOverride(string(folded)):
		s.overrides = append(s.overrides, name)
	}
}

func foldName(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}

// isOverride tells that some framework or server takes the method or the path of
// a request from this header.
func isOverride(folded string) bool {
	switch folded {
	case "x-http-method-override", "x-http-method", "x-method-override", // Rails, ASP.NET, Express, Spring
		"x-original-url", "x-rewrite-url", "x-override-url", "x-original-path", "x-original-uri", "x-forwarded-uri", "x-forwarded-path", // IIS, Symfony, forward-auth
		"x-original-method", "x-forwarded-method", "x-envoy-original-path", "x-envoy-original-method":
		return true
	}
	return false
}

// isGRPC tells gRPC from gRPC-Web, which is answered like any HTTP request.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
