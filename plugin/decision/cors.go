package decision

import (
	"slices"
	"strconv"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/internal/ascii"
	"github.com/umagate/umagate/plugin/route"
)

// cors is what the pages of other origins may read, ready for answers (Fetch standard
// section 3.3).
type cors struct {
	origins        []string
	anyOrigin      bool
	credentials    bool
	privateNetwork bool
	methods        string
	headers        string
	maxAge         string
	expose         string
}

const (
	anyOrigin = "*"

	defaultMethods = "GET, HEAD, POST, PUT, PATCH, DELETE"
	maxCORSAge     = 86_400
)

// cors compiles a site's policy; nil is none.
func (b *builder) cors(path place, c *config.CORS) *cors {
	if c == nil {
		return nil
	}
	k := &cors{origins: c.AllowOrigins, credentials: c.AllowCredentials, privateNetwork: c.AllowPrivateNetworkAccess}
	if len(c.AllowOrigins) == 0 {
		b.fault(path.member("allow_origins"), `at least one is needed, such as https://app.example.com`)
	}
	for i, o := range c.AllowOrigins {
		if o == anyOrigin {
			k.anyOrigin = true
		} else if problem := originProblem(o); problem != "" {
			b.fault(path.element("allow_origins", i), problem)
		}
	}
	switch {
	case k.anyOrigin && len(c.AllowOrigins) > 1:
		b.fault(path.member("allow_origins"), `"*" is every origin, and stands alone`)
	case k.anyOrigin && c.AllowCredentials:
		b.fault(path.member("allow_credentials"), `any page could act with a visitor's cookies; name the origins instead of "*"`)
	}
	for i, m := range c.AllowMethods {
		if !isMethod(m) || m == "CONNECT" || m == "TRACE" {
			b.fault(path.element("allow_methods", i), "must be a method in upper case that a page can send, such as GET")
		}
	}
	if k.methods = strings.Join(c.AllowMethods, ", "); k.methods == "" {
		k.methods = defaultMethods
	}
	k.headers = b.fieldNames(path, "allow_headers", "authorization, content-type", c.AllowHeaders)
	k.expose = b.fieldNames(path, "expose_headers", "www-authenticate, retry-after, warning", c.ExposeHeaders)
	if c.MaxAgeS < 0 || c.MaxAgeS > maxCORSAge {
		b.fault(path.member("max_age_s"), "must be between 0 and 86400 seconds (a day)")
	}
	if c.MaxAgeS > 0 {
		k.maxAge = strconv.Itoa(c.MaxAgeS)
	}
	return k
}

// fieldNames joins names of headers to those that are always there.
func (b *builder) fieldNames(path place, member, always string, names []string) string {
	for i, name := range names {
		// "*" would not cover authorization, and nothing at all with credentials.
		if !isFieldName(name) || name == "*" {
			b.fault(path.element(member, i), "must be the name of a header")
		}
		always += ", " + name
	}
	return always
}

// isFieldName tells RFC 9110's token.
func isFieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7F || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}

// originProblem says why a text is no origin as browsers write one (RFC 6454 section
// 6.1): an origin is compared letter by letter.
func originProblem(s string) string {
	scheme, authority, ok := strings.Cut(s, "://")
	switch {
	case s == "null":
		return "is the origin of every sandboxed page and local file, whoever wrote it; name an origin"
	case !ok || scheme == "":
		return "must be scheme://host or scheme://host:port, such as https://app.example.com"
	case strings.ContainsAny(authority, "/?#@*"):
		return "must be scheme://host or scheme://host:port and no more: no path, no slash at the end, no pattern"
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F {
			return "must be ASCII: browsers write an international name in its xn-- form"
		} else if c >= 'A' && c <= 'Z' {
			return "must be in lower case, as browsers write it"
		}
	}
	if host, ok := route.CanonicalHost(authority); !ok || !strings.HasPrefix(authority, host) {
		return "has a host or a port that cannot be read"
	}
	if scheme == "https" && strings.HasSuffix(authority, ":443") || scheme == "http" && strings.HasSuffix(authority, ":80") {
		return "has the port that its scheme has anyway, which browsers leave out"
	}
	return ""
}

// findOrigin notes the origin that may read what the site answers: the policy's own text, as
// the request's goes away. Two Origin headers are none.
func (x *Exchange) findOrigin() {
	if c := x.site.cors; c != nil && x.request.origins == 1 {
		x.origin = c.find(x.request.origin)
	}
}

func (c *cors) find(origin string) string {
	if c.anyOrigin {
		return anyOrigin
	}
	if i := slices.Index(c.origins, origin); i >= 0 {
		return c.origins[i]
	}
	return ""
}

// preflight decides about a CORS preflight (Fetch standard section 4.8) of a site with a
// policy. It has no token and is not for the API: what it asks about is judged when it
// comes.
func (x *Exchange) preflight() *Step {
	switch {
	case x.mode() == config.ModeMonitor:
		return x.finish(ReasonPreflight) // what the API answers is not changed
	case x.origin == "":
		x.note("cors", x.request.origin, " is not an origin of the site's cors.allow_origins")
		return x.finish(ReasonOriginNotAllowed)
	}
	return x.finish(ReasonPreflightAnswered)
}

// answerPreflight is the answer to a preflight of an origin that is allowed.
func (x *Exchange) answerPreflight() Deny {
	if x.cond != nil && x.cond.document != nil {
		return x.cond.document.preflight
	}
	c := x.site.cors
	d := Deny{Status: preflightStatus, GRPCStatus: -1, Headers: c.readable(nil, x.origin)}
	d.Headers = append(d.Headers, Header{"access-control-allow-methods", c.methods}, Header{"access-control-allow-headers", c.headers})
	if c.maxAge != "" {
		d.Headers = append(d.Headers, Header{"access-control-max-age", c.maxAge})
	}
	if c.privateNetwork && x.request.privateNetwork {
		d.Headers = append(d.Headers, Header{"access-control-allow-private-network", "true"})
	}
	return d
}

const preflightStatus = 204

// AppendCORS adds what lets a page of an allowed origin read an answer of the filter's
// own, a refusal above all.
func (x *Exchange) AppendCORS(headers []Header) []Header {
	if x == nil || x.site == nil || x.site.cors == nil {
		return headers
	}
	headers = x.site.cors.readable(headers, x.origin)
	if x.origin != "" {
		headers = append(headers, Header{"access-control-expose-headers", x.site.cors.expose})
	}
	return headers
}

// readable adds what lets a page of an origin read an answer; nothing but Vary where it is
// empty.
func (c *cors) readable(headers []Header, origin string) []Header {
	if !c.anyOrigin { // for caches: another origin gets another answer
		headers = append(headers, Header{"vary", "origin"})
	}
	if origin == "" {
		return headers
	}
	headers = append(headers, Header{"access-control-allow-origin", origin})
	if c.credentials {
		headers = append(headers, Header{"access-control-allow-credentials", "true"})
	}
	return headers
}

// Answering is what the filter adds to the API's answer to one request.
type Answering struct {
	cors     *cors
	origin   string
	private  bool   // the token was where caches do not look for one
	queried  bool   // in the URL
	protocol string // that is answered if the API chooses none
}

// Answering returns what is to be added to the API's answer, nil where that is nothing. It
// is for an exchange whose last step was Allow.
func (x *Exchange) Answering() *Answering {
	if x.site == nil || x.site.cors == nil && x.site.sources == nil || x.decided.Reason == ReasonOff {
		return nil
	}
	a := &Answering{cors: x.site.cors, origin: x.origin, private: x.request.indirect, queried: x.request.queried}
	if x.request.protocolNamed && x.site.strictest == config.ModeEnforce {
		a.protocol = x.site.sources.WebSocketProtocol
	}
	return a
}

// Amend returns what to remove from the headers of an answer, and what to add then.
func (a *Answering) Amend(headers []Header) (remove []string, add []Header) {
	if a.cors != nil {
		add = a.amendCORS(headers)
	}
	cached, referred, chosen := a.private, a.queried, a.protocol == ""
	for i := range headers {
		switch h := &headers[i]; h.Name {
		case ":status":
			chosen = chosen || h.Value != "101"
		case "sec-websocket-protocol":
			chosen = true
		case "referrer-policy":
			referred = false
		case "cache-control":
			if listsName(h.Value, "private") || listsName(h.Value, "no-store") {
				cached = false
			}
		}
	}
	if cached { // RFC 6750 section 2.3; a shared cache looks for Authorization only
		remove, add = append(remove, "cache-control"), append(add, Header{"cache-control", "private"})
	}
	if referred {
		add = append(add, Header{"referrer-policy", "no-referrer"})
	}
	if !chosen {
		add = append(add, Header{"sec-websocket-protocol", a.protocol})
	}
	return remove, add
}

// amendCORS returns what to add for pages of other origins. An API, or another filter, that
// says itself who may read it is left alone: a header that is there twice has a browser
// refuse the answer. One that allows cookies and no origin, as frameworks do for an origin
// that they do not know, must not become an answer to cookies that the site does not allow.
func (a *Answering) amendCORS(headers []Header) (add []Header) {
	varies, credentials, origin := false, false, a.origin
	for i := range headers {
		switch h := &headers[i]; h.Name {
		case "access-control-allow-origin":
			return nil
		case "access-control-allow-credentials":
			credentials = true
		case "vary":
			varies = varies || listsName(h.Value, "origin") || listsName(h.Value, "*")
		}
	}
	if credentials && !a.cors.credentials && !a.cors.anyOrigin {
		origin = ""
	}
	add = a.cors.readable(add, origin)
	if credentials && a.cors.credentials && origin != "" {
		add = add[:len(add)-1] // it is there
	}
	if origin != "" {
		add = append(add, Header{"access-control-expose-headers", a.cors.expose})
	}
	if varies && !a.cors.anyOrigin {
		add = add[1:]
	}
	return add
}

// listsName reports whether a list with commas has a name.
func listsName(list, name string) bool {
	for more := true; more; {
		var item string
		item, list, more = strings.Cut(list, ",")
		if ascii.EqualFold(strings.Trim(item, " \t"), name) {
			return true
		}
	}
	return false
}
