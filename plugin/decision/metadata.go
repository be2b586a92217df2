package decision

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/internal/strictjson"
	"github.com/umagate/umagate/plugin/route"
	"github.com/umagate/umagate/plugin/scope"
)

// document is the metadata of one resource identifier (RFC 9728), ready to be answered.
type document struct {
	host     string
	resource string // path of the resource identifier, without a slash at the end
	path     string // of the document
	url      string // the whole, for challenges
	rule     rule   // what is reported of a request for it
	cond     condition

	answer, preflight Deny
}

const (
	wellKnown      = "/.well-known/oauth-protected-resource"
	metadataStatus = 200

	// metadataAge is how many seconds a client may go on with what it was told.
	metadataAge = "300"

	// maxHeldScopes bounds the bytes of a token's own scopes in a challenge.
	maxHeldScopes = 2048
)

// metadata compiles what clients are told of a site.
func (b *builder) metadata(path place, s *site, m *config.Metadata) {
	if m == nil {
		return
	}
	for i, name := range m.Scopes {
		if !scope.IsToken(name) {
			b.fault(path.element("scopes", i), scope.ErrBlankScope.Error())
		}
	}
	s.askedScope = strings.Join(m.Scopes, " ")
	if len(m.Documents) == 0 {
		b.fault(path.member("documents"), "at least one is needed")
	}
	for i := range m.Documents {
		at := path.element("documents", i)
		d, problem := newDocument(&m.Documents[i])
		switch {
		case problem != "":
			b.fault(at.member("resource"), problem)
			continue
		case !strictjson.Valid([]byte(m.Documents[i].Document)):
			b.fault(at.member("document"), "must be JSON")
		case slices.ContainsFunc(s.documents, func(o *document) bool { return o.host == d.host && o.path == d.path }):
			b.fault(at.member("resource"), "has the document of another one: the same host and path")
		}
		s.documents = append(s.documents, d)
	}
	// A challenge names the document of the longest path that the request is below.
	slices.SortStableFunc(s.documents, func(a, b *document) int { return len(b.resource) - len(a.resource) })
}

// newDocument reads a resource identifier; problem says why it is none.
func newDocument(c *config.MetadataDocument) (d *document, problem string) {
	const form = "must be https://host or https://host/path, as clients write it, without a query"
	scheme, rest, ok := strings.Cut(c.Resource, "://")
	if !ok || scheme != "https" && scheme != "http" {
		return nil, form
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	canonical, host, ok := route.CanonicalAuthority(authority)
	switch {
	case !ok, strings.ContainsAny(path, "?#"):
		return nil, form
	case canonical != authority:
		return nil, "clients compare it letter by letter: write the host in lower case"
	}
	if path == "/" { // RFC 9728 section 3.1
		path = ""
	}
	resource := strings.TrimSuffix(path, "/")
	if resource != "" {
		if _, err := route.ParsePrefix(resource); err != nil {
			return nil, "has a path that no site could have: " + err.Error()
		}
	}
	d = &document{host: host, resource: resource, path: wellKnown + path, url: scheme + "://" + authority + wellKnown + path}
	d.rule.template = d.path
	d.cond = condition{mode: config.ModeEnforce, document: d}
	// Whoever asks may read it: it has no secret, and depends on nothing.
	open := []Header{{"access-control-allow-origin", anyOrigin}}
	d.answer = Deny{Status: metadataStatus, GRPCStatus: -1, Body: c.Document, Headers: append([]Header{
		{"content-type", "application/json"}, {"cache-control", "public, max-age=" + metadataAge},
	}, open...)}
	d.preflight = Deny{Status: preflightStatus, GRPCStatus: -1, Headers: append(open,
		Header{"access-control-allow-methods", "GET, HEAD"}, Header{"access-control-allow-headers", "*"}, Header{"access-control-max-age", metadataAge})}
	return d, ""
}

func (d *document) same(other *document) bool {
	return d.url == other.url && d.answer.Body == other.answer.Body
}

// located is a document of the ith site.
type located struct {
	*document
	site int
	at   place
}

// locateDocuments checks that each document is asked for at a host of its site, and notes
// it where the site shares that host.
func (b *builder) locateDocuments() {
	sites := b.policy.sites
	for i, s := range sites {
		at := (&place{}).element("sites", i)
		for _, d := range s.documents {
			found, ok := b.policy.hosts.Find(d.host)
			switch {
			case ok && found == i:
			case ok && found >= len(sites) && slices.Contains(b.policy.shared[found-len(sites)].sites, i):
				shared := b.policy.shared[found-len(sites)]
				shared.documents = append(shared.documents, located{d, i, at.member("metadata")})
			default:
				b.fault(at.member("metadata"), "the host of "+d.url+" is none of the site's")
			}
		}
	}
}

// shareDocuments leads the paths of documents to the sites whose they are.
func (b *builder) shareDocuments(s *sharing) {
	for _, d := range s.documents {
		target := d.resource
		if target == "" {
			target = "/"
		}
		owner := -1
		if p, err := route.ParsePath(target, "", false); err == nil {
			owner = s.find(p)
		}
		if owner < 0 || s.areas[owner].byPath != d.site && !slices.Contains(s.areas[owner].byIssuer, d.site) {
			b.fault(d.at, "the path of a resource identifier, "+target+", is not the site's: it is below none of its path_prefixes, or another site of the host has it")
		}
	}
	for _, d := range s.documents {
		b.area(s, d.at, d.path[:len(wellKnown)+len(d.resource)], d.site)
	}
}

// findDocument notes the document that the request asks for. In mode monitor it is asked
// of the API, as before.
func (x *Exchange) findDocument() bool {
	path := x.path.Target
	if !strings.HasPrefix(path, wellKnown) || x.site.strictest != config.ModeEnforce {
		return false
	}
	switch {
	case x.request.method == "GET", x.request.method == "HEAD":
	case x.request.method == "OPTIONS" && x.request.origins > 0 && x.request.preflight:
	default:
		return false
	}
	path, _, _ = strings.Cut(path, "?")
	host, _ := route.CanonicalHost(x.request.authority)
	for _, d := range x.site.documents {
		if d.path == path && d.host == host {
			x.rule, x.cond = &d.rule, &d.cond
			return true
		}
	}
	return false
}

func (x *Exchange) answerDocument() *Step {
	x.note("metadata", "is answered by the filter")
	if x.request.method == "OPTIONS" {
		return x.finish(ReasonPreflightAnswered)
	}
	return x.finish(ReasonMetadata)
}

// metadataURL is where a client finds the metadata of what it asked for; empty where the
// site has none for this host and path.
func (x *Exchange) metadataURL() string {
	if x.site.documents == nil {
		return ""
	}
	host, _ := route.CanonicalHost(x.request.authority)
	path, _, _ := strings.Cut(x.path.Target, "?")
	for _, d := range x.site.documents {
		if d.host == host && (path == d.resource || strings.HasPrefix(path, d.resource+"/")) {
			return d.url
		}
	}
	return ""
}

// challengeScope is what a client is to ask the AS for; empty where no scope would help. A
// client that asks for more, because its token is not enough, should lose nothing
// by it: what the token has is named beside what it lacks.
func (x *Exchange) challengeScope(because Reason) string {
	switch {
	case !x.site.oauth && because.lacksPermission(): // no scope would help
		return ""
	case !x.site.oauth:
		return x.site.askedScope
	case because != ReasonNotPermitted:
		if x.site.documents == nil {
			return ""
		}
		return x.cond.least
	}
	wanted := strings.Fields(x.cond.least)
	size := 0
	for _, s := range x.held {
		if !scope.IsToken(s) || contains(wanted, s) || x.cond.need.Negates() && contains(x.cond.need.Scopes(), s) {
			continue
		}
		if size += len(s) + 1; size > maxHeldScopes {
			return x.cond.least
		}
		wanted = append(wanted, s)
	}
	return strings.Join(wanted, " ")
}
