package decision

import (
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/internal/ascii"
	"github.com/umagate/umagate/plugin/uma"
)

// Taken is what is taken out of a request whose token is in another place than
// Authorization, before anything else becomes of it: neither the API nor an access log is
// to see the token.
type Taken struct {
	// Path replaces :path when it is not empty.
	Path string
	// Remove lists headers to remove, all their values.
	Remove []string
	// Set lists headers to add, after Remove.
	Set []Header
}

// Taken returns what the host must take out of the request as soon as it has begun,
// whatever its first step; nil for nothing. It returns it once.
func (x *Exchange) Taken() *Taken {
	t := x.taken
	x.taken = nil
	return t
}

// sources compiles the places that a token may be in.
func (b *builder) sources(path place, s *site, t *config.TokenSources) {
	if *t == (config.TokenSources{}) {
		return
	}
	s.sources = t
	if t.Cookie != "" && !isFieldName(t.Cookie) {
		b.fault(path.member("cookie"), "must be the name of a cookie, such as __Host-token")
	}
	if t.WebSocketProtocol != "" && !isFieldName(t.WebSocketProtocol) {
		b.fault(path.member("websocket_protocol"), "must be the name of a protocol, such as base64url.bearer.authorization.example.com")
	}
	if t.Query != "" && (!isFieldName(t.Query) || strings.ContainsAny(t.Query, "%+&;#") || len(t.Query) > 64) {
		b.fault(path.member("query"), "must be the name of a field of the query, such as access_token")
	}
}

// gathering looks for a request's token where the site allows it to be.
type gathering struct {
	x     *Exchange
	cors  *cors // of the site; nil for none
	taken Taken

	found, wrong bool // a token; one that cannot be one

	scheme, fetchSite, fetchMode, fetchDest string
	eventStream, webSocket                  bool

	cookies, protocols           []string // that stay
	ownCookie, ownProtocol       bool     // of the request are ours
	protocolToken, protocolNamed bool
}

// gather takes the token out of its other places. A request with two, in whatever places,
// has none that can be believed (RFC 6750 section 2). In a site that enforces nothing, the
// request stays as it came. The site is the request's, or one that is like it, see [sharing].
func (x *Exchange) gather(s *site) {
	from := s.sources
	if from == nil {
		return
	}
	g := gathering{x: x, cors: s.cors}
	for i := range x.headers {
		name, value := x.headers[i].Name, x.headers[i].Value
		switch name {
		case ":scheme":
			g.scheme = value
		case "accept":
			g.eventStream = g.eventStream || acceptsEvents(value)
		case "upgrade":
			g.webSocket = x.request.upgrade && ascii.EqualFold(value, "websocket")
		case "sec-fetch-site":
			g.fetchSite = value
		case "sec-fetch-mode":
			g.fetchMode = value
		case "sec-fetch-dest":
			g.fetchDest = value
		}
	}
	for i := range x.headers {
		switch name, value := x.headers[i].Name, x.headers[i].Value; {
		case name == "cookie" && from.Cookie != "":
			g.cookie(from.Cookie, value)
		case name == "sec-websocket-protocol" && from.WebSocketProtocol != "":
			g.protocol(from.WebSocketProtocol, value)
		case name == "referer" && from.Query != "" && strings.Contains(string(unescape(make([]byte, 0, len(value)), value, true)), from.Query+"="):
			g.taken.Remove = append(g.taken.Remove, name)
		}
	}
	if g.ownCookie {
		g.put("cookie", strings.Join(g.cookies, "; "))
	}
	if g.ownProtocol {
		g.put("sec-websocket-protocol", strings.Join(g.protocols, ", "))
		x.request.protocolNamed = g.protocolNamed
		// A browser closes a WebSocket whose answer names no protocol that it offered.
		g.wrong = g.wrong || g.protocolToken && (!g.webSocket || !g.protocolNamed && len(g.protocols) == 0)
	}
	if from.Query != "" {
		g.query(from.Query)
	}
	if g.wrong {
		x.request.token, x.request.credentials = "", uma.CredentialMalformed
	}
	if x.strictest() == config.ModeEnforce && (g.taken.Path != "" || g.taken.Remove != nil) {
		if g.taken.Path != "" {
			x.request.path = g.taken.Path
		}
		x.taken = &g.taken
	}
}

// put replaces a header by what stays of it.
func (g *gathering) put(name, rest string) {
	g.taken.Remove = append(g.taken.Remove, name)
	if rest != "" {
		g.taken.Set = append(g.taken.Set, Header{name, strings.Clone(rest)})
	}
}

// token enters a token that was found.
func (g *gathering) token(token string) {
	r := &g.x.request
	g.wrong = g.wrong || g.found || token == "" || r.credentials != uma.CredentialNone
	g.found = true
	r.token, r.credentials, r.indirect = token, uma.CredentialBearer, true
	if g.wrong {
		r.credentials = uma.CredentialMalformed
	}
}

func (g *gathering) cookie(name, value string) {
	for more := true; more; {
		var pair string
		pair, value, more = strings.Cut(value, ";")
		pair = strings.Trim(pair, " \t")
		own, token, _ := strings.Cut(pair, "=")
		switch {
		case own != name:
			if pair != "" {
				g.cookies = append(g.cookies, pair)
			}
			continue
		case token != "": // an empty one is what a logout leaves
			g.token(token)
			g.x.request.foreign = g.isForeign()
		}
		g.ownCookie = true
	}
}

// isForeign reports whether a page that the site does not list may have made the request: a
// browser sends a cookie whoever asks for it (RFC 6265 section 8.2). Browsers name the
// origin in every request that changes something, that opens a WebSocket, and whose answer a
// page of another origin is to read. Without, only one to read is taken, unless the browser
// says that it is of another site, and not a person who follows a link.
func (g *gathering) isForeign() bool {
	r := &g.x.request
	if r.origins > 0 {
		own := r.origin == "https://"+r.authority || g.scheme == "http" && r.origin == "http://"+r.authority
		listed := g.cors != nil && g.cors.credentials && g.cors.find(r.origin) != ""
		return r.origins > 1 || !own && !listed
	}
	switch {
	case r.method != "GET" && r.method != "HEAD", r.upgrade:
		return g.fetchSite != "same-origin"
	case g.fetchSite == "", g.fetchSite == "same-origin", g.fetchSite == "none":
		return false
	}
	return g.fetchMode != "navigate" || g.fetchDest != "document"
}

// protocol reads offered protocols of a WebSocket (RFC 6455 section 11.3.4), the one place
// that a page can put a text in: NAME.base64url(token) is the token, as Kubernetes has it,
// and NAME alone is for a server that chooses none.
func (g *gathering) protocol(name, value string) {
	for more := true; more; {
		var offered string
		offered, value, more = strings.Cut(value, ",")
		offered = strings.Trim(offered, " \t")
		rest, own := strings.CutPrefix(offered, name)
		switch {
		case own && rest == "":
			g.protocolNamed = true
		case own && rest[0] == '.':
			token, ok := uma.DecodeBearer(rest[1:])
			g.wrong = g.wrong || !ok
			g.protocolToken = true
			g.token(token)
		default:
			if offered != "" {
				g.protocols = append(g.protocols, offered)
			}
			continue
		}
		g.ownProtocol = true
	}
}

// query takes the token out of the query (RFC 6750 section 2.3). Only a GET for events may
// have it there: an EventSource has no headers of its own.
func (g *gathering) query(name string) {
	path := g.x.request.path
	start := strings.IndexByte(path, '?') + 1
	if start == 0 {
		return
	}
	kept := make([]byte, 0, len(path))
	kept = append(kept, path[:start-1]...)
	separator, found := byte('?'), false // of the first that is kept, whatever stood before it
	for begin, i := start, start; i <= len(path); i++ {
		if i < len(path) && path[i] != '&' && path[i] != ';' {
			continue
		}
		field := path[begin:i]
		key, value, _ := strings.Cut(field, "=")
		var room [65]byte
		if string(unescape(room[:0], key, true)) == name {
			found = true
			token, ok := unescapeToken(value)
			g.wrong = g.wrong || !ok || g.x.request.method != "GET" || !g.eventStream
			g.token(token)
		} else {
			if len(kept) >= start {
				separator = path[begin-1]
			}
			kept = append(append(kept, separator), field...)
		}
		begin = i + 1
	}
	if found {
		g.taken.Path = string(kept)
		g.x.request.queried = true
	}
}

// unescapeToken decodes the value of a field. A plus sign is a blank there, which no token
// has.
func unescapeToken(s string) (token string, ok bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
			if high > 15 || low > 15 {
				return "", false
			}
			c = high<<4 | low
			i += 2
		} else if c == '%' || c == '+' {
			return "", false
		}
		b = append(b, c)
	}
	return string(b), true
}

// acceptsEvents reports whether an Accept header names text/event-stream.
func acceptsEvents(accept string) bool {
	for more := true; more; {
		var item string
		item, accept, more = strings.Cut(accept, ",")
		kind, _, _ := strings.Cut(item, ";")
		if ascii.EqualFold(strings.Trim(kind, " \t"), "text/event-stream") {
			return true
		}
	}
	return false
}
