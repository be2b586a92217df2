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
	origin                  string // of the page; see origins
	token                   string // not looked at yet, see verify
	origins, authorizations uint8  // headers of that name: none, one, or 2 for more
	credentials             uma.Credential
	preflight               bool
	privateNetwork          bool // the preflight asks for what is not on the Internet
	grpc                    bool
	expects, badExpect      bool
	upgrade, badOption      bool     // what Connection says
	indirect, queried       bool     // the token was in another place than Authorization; in the query
	foreign                 bool     // in a cookie, and another site may have made the request
	protocolNamed           bool     // see gathering.protocol
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
			s.expect(value)
			continue
		case "connection":
			s.connection(value)
			continue
		case "origin":
			s.origin = value
			s.origins = min(s.origins+1, 2)
			continue
		case "access-control-request-method":
			s.preflight = true
			continue
		case "access-control-request-private-network":
			s.privateNetwork = true
			continue
		}
		// The ordinary names are told by their first letter and length; only what
		// may be ours is looked at closer.
		switch name[0] | 0x20 {
		case 'x':
			s.screenName(name)
		case 'f':
			if len(name) == len("forwarded") {
				s.screenName(name)
			}
		case 'c', 't':
			if (len(name) == len("content-length") || len(name) == len("transfer-encoding")) && name != "content-length" && name != "transfer-encoding" {
				s.screenName(name)
			}
		}
	}
}

func (s *screened) authorization(value string) {
	if s.authorizations = min(s.authorizations+1, 2); s.authorizations > 1 { // whichever the API would believe
		s.token, s.credentials = "", uma.CredentialMalformed
		return
	}
	s.token, s.credentials = uma.CutBearer(value)
}

// screenName sorts out a header by its folded name: CGI, WSGI and PHP turn '-',
// '_', '.' and other characters into one, so X_Uma_Subject would arrive as ours,
// and Content_Length as the length of the body.
func (s *screened) screenName(name string) {
	var buf [64]byte
	folded := foldName(buf[:0], name)
	switch {
	case isIdentity(folded), isFraming(folded):
		s.identity = append(s.identity, name)
	case isOverride(folded):
		s.overrides = append(s.overrides, name)
	}
}

func isIdentity(folded []byte) bool {
	const prefix = "x-uma-"
	return len(folded) >= len(prefix) && string(folded[:len(prefix)]) == prefix
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

// isOverride reports whether some framework or server takes the method, the path or the
// host of a request from this header, or builds its own URLs with it, as of a
// Location. What Envoy itself sets (x-forwarded-for, x-forwarded-proto,
// x-forwarded-client-cert) is not among them.
func isOverride(folded []byte) bool {
	for _, family := range [...]string{"x-forwarded-", "x-original-", "x-envoy-original-", "x-rewrite-", "x-override-"} {
		if n := len(family); len(folded) > n && string(folded[:n]) == family {
			return isOneOf(targetParts, folded[n:])
		}
	}
	return isOneOf(overrideNames, folded)
}

const (
	// overrideNames are read by Rails, ASP.NET, Express and Spring (the method), by
	// whoever knows RFC 7239 (forwarded), PHP frameworks and caches (the host), WSGI
	// behind nginx and Play (the prefix).
	overrideNames = " x-http-method-override x-http-method x-method-override forwarded x-host x-http-host-override x-script-name x-scheme x-base-path x-base-url "
	// targetParts are what a proxy's header restates of a request: IIS and Symfony
	// (x-original-url, x-rewrite-url), forward-auth (x-forwarded-uri), Spring, Werkzeug
	// and ASP.NET (x-forwarded-host, -port, -prefix), and their like.
	targetParts = " method host server authority port scheme url uri path query prefix pathbase path-base base base-path script-name context context-path "
)

// isOneOf reports whether a list, with a space on either side of each name, has a
// name. No name has a space, as it is folded.
func isOneOf(list string, folded []byte) bool {
	var buf [66]byte
	return len(folded) <= 64 && strings.Contains(list, string(append(append(append(buf[:0], ' '), folded...), ' ')))
}

// isGRPC tells gRPC from gRPC-Web, which is answered like any HTTP request.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}
