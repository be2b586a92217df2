package decision

import (
	"strings"

	"github.com/umagate/umagate/plugin/internal/ascii"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/uma"
)

// misuse says why a request is unfit for a connection that other requests share:
// the API could see another request in it or behind it, or take it for a tunnel. It
// is ReasonPermitted for a request that is fit; any other passes in no mode.
//
// Some servers take "head" for HEAD and some do not: an API that does sends no body,
// and a proxy that does not takes the next answer for the body.
func (s *screened) misuse() Reason {
	switch {
	case !isMethod(s.method) || s.method == "CONNECT" || s.method == "OPTIONS" && s.path == "*":
		return ReasonNotForwarded
	case s.badExpect:
		return ReasonExpectation
	}
	return ReasonPermitted
}

// pathMisuse is misuse for a path that nobody judges: it must be one word of the
// request's line, and not the name of another host.
func pathMisuse(path string) route.Problem {
	if path == "" || path[0] != '/' {
		return route.ProblemForm
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] == 0x7F {
			return route.ProblemControl
		}
	}
	return ""
}

// expect reads an Expect header. An API that does not know what it asks for may
// leave the body on the connection, where it is the next request.
func (s *screened) expect(value string) {
	s.badExpect = s.badExpect || s.expects || !ascii.EqualFold(value, "100-continue")
	s.expects = true
}

// connection reads a Connection header. Envoy sends it on with an upgrade alone,
// and then the next proxy takes out what it names: an identity header, perhaps, so
// that the API sees a request of nobody.
func (s *screened) connection(value string) {
	if len(value) > maxConnection {
		s.badOption = true
		return
	}
	for more := true; more; {
		var option string
		option, value, more = strings.Cut(value, ",")
		var buf [64]byte
		folded := foldName(buf[:0], strings.Trim(option, " \t"))
		s.upgrade = s.upgrade || string(folded) == "upgrade"
		s.badOption = s.badOption || len(folded) > 0 && !isOneOf(hopOptions, folded)
	}
}

// ForbiddenTrailers names those of a request's trailers that the API must not get:
// what is removed from headers, and what a trailer must not say (RFC 9110 section
// 6.5.1), as whoever joins trailers with headers would believe it. overrides is
// [Exchange.RemovesOverrides] of the request.
func ForbiddenTrailers(trailers []Header, overrides bool) []string {
	var names []string
	for i := range trailers {
		name := trailers[i].Name
		var buf [64]byte
		folded := foldName(buf[:0], name)
		switch {
		case isIdentity(folded), isOneOf(headerOnly, folded), strings.HasPrefix(name, ":"),
			overrides && isOverride(folded):
			names = append(names, name)
		}
	}
	return names
}

// headerOnly are fields that frame or route a message, or carry a credential.
const headerOnly = " authorization proxy-authorization cookie host connection keep-alive upgrade te trailer expect" +
	" content-length transfer-encoding content-type content-encoding content-range mcp-method mcp-name "

// maxConnection is more than all of HTTP's own options take.
const maxConnection = 256

// hopOptions are what a Connection header may name: HTTP's own options.
const hopOptions = " upgrade keep-alive close te http2-settings "

// isFraming reports whether a server that folds names, and no other, takes the name
// for a field that frames the message.
func isFraming(folded []byte) bool {
	return string(folded) == "content-length" || string(folded) == "transfer-encoding"
}

// RemovesOverrides reports whether headers which name another target are removed.
func (x *Exchange) RemovesOverrides() bool { return x.site == nil || !x.site.keepOverrides }

// removals lists the headers that do not go on to the API.
func (x *Exchange) removals(reason Reason) []string {
	names := x.request.identity
	if x.RemovesOverrides() {
		names = append(names, x.request.overrides...)
	}
	if x.request.badOption {
		names = append(names, "connection")
	}
	if x.dropsToken(reason) {
		names = append(names, "authorization")
	}
	return names
}

// dropsToken reports whether the token, or what may hold one, is kept from the API.
// Another scheme's credentials are for the API, and pass where no token is needed.
func (x *Exchange) dropsToken(reason Reason) bool {
	return x.site != nil && x.site.dropAuthorization && x.request.credentials != uma.CredentialNone &&
		x.enforced() && reason != ReasonOff
}
