package kept

import (
	"slices"
	"strings"

	"github.com/umagate/umagate/controlplane/enforcer"
)

// values are templates of what the enforcer asks another resource for than the one whose
// path it takes: it has Keycloak look for one whose URI is the request's up to the value of
// the path's first variable, as /items/a for a request of /items/{id}/stock. They are
// denied. A value that cannot be written as a template denies the path with all values.
func (c *compiler) values(resources []Resource) (templates []string) {
	type owned struct{ id, uri string }
	in := map[string][]owned{} // by what is before the last segment
	for i := range resources {
		for _, uri := range resources[i].URIs {
			folder := uri[:strings.LastIndexByte(uri, '/')+1]
			in[folder] = append(in[folder], owned{resources[i].ID, uri})
		}
	}
	for i := range resources {
		r := &resources[i]
		for _, uri := range r.URIs {
			begin := strings.IndexByte(uri, '{')
			if begin < 0 || !readable(uri) {
				continue
			}
			end := strings.IndexByte(uri[begin:], '/')
			if end < 0 {
				continue
			}
			for _, other := range in[uri[:strings.LastIndexByte(uri[:begin], '/')+1]] {
				if other.id == r.ID || len(other.uri) <= begin || !strings.HasPrefix(other.uri, uri[:begin]) {
					continue
				}
				templates = append(templates, c.value(r.ID, uri, other.id, other.uri, uri[begin+end:])...)
			}
		}
	}
	slices.Sort(templates)
	return slices.Compact(templates)
}

// value gives the templates for one value: what begins with another's URI, and goes on as
// the path does.
func (c *compiler) value(id, uri, other, begins, rest string) []string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~"
	folder := begins[:strings.LastIndexByte(begins, '/')+1]
	value := strings.TrimPrefix(begins, folder)
	if value == "." || value == ".." {
		return nil // the filter refuses each request for it
	}
	if strings.Trim(value, plain+"*{}") != "" || strings.ContainsAny(folder, "*{") || len(begins)+len(rest) > maxURI {
		c.add(c.names[id], true, "%q may stand for %q, whose URI %q a request for it may begin with: it is denied", clip(uri), c.names[other], clip(begins))
		if e, first := c.source.Entry(c.names[id], uri); !first {
			e.Denied = true
		}
		return nil
	}
	if !strings.ContainsAny(value, "*{}") { // nobody sends those
		c.add(c.names[id], true, "%q stands for %q at Keycloak, whose URI %q it begins with: it is denied", begins+rest, c.names[other], begins)
	}
	const mark = "umagate-value"
	out := enforcer.Templates(folder + mark + rest)
	for i := range out {
		out[i] = strings.Replace(out[i], mark, strings.NewReplacer("*", "%2A", "{", "%7B", "}", "%7D").Replace(value), 1)
	}
	return out
}
