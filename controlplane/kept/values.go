package kept

import "strings"

// values denies what the enforcer asks another resource for than the one whose path it
// takes: it has Keycloak look for one whose URI is the request's up to the value of the
// path's first variable, as /items/a for a request of /items/{id}/stock.
func (c *compiler) values(resources []Resource) {
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
				if other.id != r.ID && len(other.uri) > begin && strings.HasPrefix(other.uri, uri[:begin]) {
					c.value(r.ID, uri, other.id, other.uri, other.uri+uri[begin+end:])
				}
			}
		}
	}
}

// value denies a path with one value of its variable, or, where that is not one path, with
// all of them.
func (c *compiler) value(id, uri, other, begins, with string) {
	name := c.names[id]
	if strings.ContainsAny(with, "{}*") || len(with) > maxURI {
		c.add(name, true, "%q may stand for %q, whose URI %q a request for it may begin with: it is denied", clip(uri), c.names[other], clip(begins))
		if e, first := c.source.Entry(name, uri); !first {
			e.Denied = true
		}
		return
	}
	if e, first := c.source.Entry(name, with); first {
		e.Resource, e.Name, e.Denied = id, name, true
		c.add(name, true, "%q stands for %q at Keycloak, whose URI %q it begins with: it is denied", with, c.names[other], begins)
	}
}
