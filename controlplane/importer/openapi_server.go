package importer

import (
	"cmp"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
	"github.com/umagate/umagate/controlplane/glob"
	"github.com/umagate/umagate/plugin/route"
)

// server is a server of the document, as far as it is known.
type server struct {
	url       *url.URL
	written   string
	relative  bool
	unknown   []string // variables without a value
	variables []string // notes
}

// servers reads a list of servers, or the host and basePath of Swagger 2.0.
func (r *reading) servers(lists []*value) (out []server, faults []string) {
	if r.document.string("swagger") != "" {
		base := r.document.string("basePath")
		return []server{{url: &url.URL{Scheme: "https", Host: r.document.string("host"), Path: unescaped(base), RawPath: base}, written: base}}, nil
	}
	for _, list := range lists {
		if list.kind != isList {
			if list.kind != isNull {
				faults = append(faults, fmt.Sprintf("%s: it is %s, not a list", list.at(), list.kind))
			}
			continue
		}
		for _, item := range list.items {
			s, err := r.server(item)
			if err != nil {
				faults = append(faults, err.Error())
				continue
			}
			out = append(out, s)
		}
	}
	return out, faults
}

func (r *reading) server(item *value) (s server, err error) {
	s.written = item.string("url")
	if !item.is(isObject) || s.written == "" {
		return s, fmt.Errorf("%s: a server has no url", item.at())
	}
	text := s.written
	variables := item.get("variables")
	text = regexp.MustCompile(`\{([^{}]*)\}`).ReplaceAllStringFunc(text, func(match string) string {
		name := match[1 : len(match)-1]
		if given, ok := r.settings.ServerVariables[name]; ok {
			return given
		}
		v := variables.get(name)
		byDefault := v.get("default")
		if !byDefault.is(isText) {
			s.unknown = append(s.unknown, name)
			return "unknown-" + glob.Name(name)
		}
		if values := v.get("enum"); values.is(isList) && len(values.items) > 1 {
			s.variables = append(s.variables, fmt.Sprintf("server variable %q is taken as %q; its other values are not covered (--server-variable %s=…)", name, byDefault.text, name))
		}
		return byDefault.text
	})
	if s.url, err = url.Parse(text); err != nil {
		return s, fmt.Errorf("%s: server %q is not a URL", item.at(), s.written)
	}
	if s.url.Host == "" {
		s.relative = !strings.HasPrefix(s.url.Path, "/")
		document := &url.URL{Path: "/"}
		if given, err := url.Parse(cmp.Or(r.settings.DocumentURL, r.document.string("$self"))); err == nil && given.Path != "" {
			document, s.relative = given, false
		}
		s.url = document.ResolveReference(s.url)
	}
	return s, nil
}

// hosts are those of the servers.
func (r *reading) hosts() []string {
	servers, _ := r.servers(r.document.all("servers"))
	var out []string
	for _, s := range servers {
		if s.url.Host == "" {
			continue
		}
		host, ok := route.CanonicalHost(s.url.Host)
		if !ok || slices.ContainsFunc(s.unknown, func(name string) bool { return strings.Contains(s.url.Host, "unknown-"+glob.Name(name)) }) {
			r.noteNarrowed("servers", "the host of %q is not known: name it with --host", s.written)
			continue
		}
		out = append(out, host)
	}
	return enforcer.Unique(out)
}

// bases are the paths that the servers put before each path. It is an error when
// none of them is known: then no path is.
func (r *reading) bases(place string, lists []*value) ([]string, error) {
	servers, faults := r.servers(lists)
	var out []string
	for _, s := range servers {
		path := s.url.EscapedPath()
		if i := slices.IndexFunc(s.unknown, func(name string) bool { return strings.Contains(path, "unknown-"+glob.Name(name)) }); i >= 0 {
			faults = append(faults, fmt.Sprintf("server %q: the variable %q has no default: give it with --server-variable %s=…", s.written, s.unknown[i], s.unknown[i]))
			continue
		}
		if s.relative {
			r.noteChanged(place, "server %q is relative to where the document is served, which is taken to be /: say where with --document-url", s.written)
		}
		if host, ok := route.CanonicalHost(s.url.Host); ok && place != "servers" && !slices.Contains(r.Hosts, host) {
			r.noteNarrowed(place, "its own server is %q, which is no host of the site: add it with --host if it is to be guarded here, too", host)
		}
		for _, text := range s.variables {
			r.noteNarrowed(place, "%s", text)
		}
		out = append(out, strings.TrimSuffix(path, "/"))
	}
	if len(out) == 0 && len(faults) > 0 {
		return nil, fmt.Errorf("%w: %s: %s", ErrSource, place, faults[0])
	}
	for _, fault := range faults {
		r.noteNarrowed(place, "left out, and requests for it are denied: %s", fault)
	}
	if len(out) == 0 {
		return []string{""}, nil
	}
	return enforcer.Unique(out), nil
}
