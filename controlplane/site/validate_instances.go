package site

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

// instances judges what the resources of a site are called: no two may be registered
// by one name.
func (v *validator) instances(path string, s *Site) {
	names := make([]route.Name, len(s.Resources))
	for i := range s.Resources {
		r := &s.Resources[i]
		at := config.Index(path+".resources", i)
		name, err := route.ParseName(r.Name)
		switch {
		case r.LiteralName:
			name = route.Name{}
		case errors.Is(err, route.ErrNameApart):
			v.fault(at+".name", "two instances could have one name", `write a "/" or ":" between the variables, such as album-{id}/photo-{n}`)
		case err != nil:
			v.fault(at+".name", "has braces that are no variable", "write a variable as {id}, each once: letters, digits, - and _")
		case r.HasInstances():
			v.instanceResource(at, s, r)
		case r.OnCreate == OnCreateRegister:
			v.fault(at+".on_create", "the resource has one registration, not one for each instance", "write a variable of its paths into its name, such as album-{id}")
		}
		names[i] = name
	}
	for i := range s.Resources {
		for j := range i {
			if (s.Resources[i].HasInstances() || s.Resources[j].HasInstances()) && names[i].Overlaps(names[j]) {
				v.fault(config.Index(path+".resources", i)+".name",
					fmt.Sprintf("%q and %q can be the same name at the authorization server", s.Resources[j].Name, s.Resources[i].Name),
					"let them begin with different words, or have a character in them that no value has, such as / or :")
			}
		}
	}
}

// sharedResources looks for resources of two sites that are one at the AS: sites that
// share a client there share its resources, and those are found by name.
func (v *validator) sharedResources() {
	for i := range v.file.Sites {
		s := &v.file.Sites[i]
		for j := range i {
			other := &v.file.Sites[j]
			if s.AuthorizationServer.Client.ID == "" || s.AuthorizationServer.Client.ID != other.AuthorizationServer.Client.ID ||
				oneIssuer(s.AuthorizationServer.Issuer) != oneIssuer(other.AuthorizationServer.Issuer) {
				continue
			}
			v.sharedNames(config.Index("sites", i), s, other)
		}
	}
}

// oneIssuer writes an issuer as others may write it, too: a server that makes its
// issuer of the name that it is called by has each of them.
func oneIssuer(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return issuer
	}
	u.Host = strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; port != "" {
		u.Host = strings.TrimSuffix(u.Host, port)
	}
	return strings.TrimSuffix(u.String(), "/")
}

func (v *validator) sharedNames(path string, s, other *Site) {
	const remedy = "give each site a client of its own, or let the names begin with different words"
	for i := range s.Resources {
		for j := range other.Resources {
			mine, theirs := &s.Resources[i], &other.Resources[j]
			at := config.Index(path+".resources", i) + ".name"
			switch {
			case mine.HasInstances() || theirs.HasInstances():
				name, err := route.ParseName(mine.Name)
				name2, err2 := route.ParseName(theirs.Name)
				if err == nil && err2 == nil && !mine.LiteralName && !theirs.LiteralName && name.Overlaps(name2) {
					v.fault(at, fmt.Sprintf("site %s has %q, which can be the same name at the authorization server: the sites share a client, and so its resources", other.Name, theirs.Name), remedy)
				}
			case mine.Name == theirs.Name && mine.registers(s) && theirs.registers(other):
				v.fault(at, fmt.Sprintf("site %s registers %q too, which would be one at the authorization server: the sites share a client, and so its resources", other.Name, theirs.Name),
					"give each site a client of its own, or another name; if one resource is meant, write its id in both sites")
			}
		}
	}
}

// registers reports whether umagate registers the resource at the AS.
func (r *Resource) registers(s *Site) bool {
	return r.ID == "" && r.NeedsPermission() && s.Require != config.RequireOAuthScopes
}

func (v *validator) instanceResource(at string, s *Site, r *Resource) {
	const longest = 128
	switch {
	case s.Require == config.RequireOAuthScopes:
		v.fault(at+".name", "has a variable, but the site requires oauth_scopes, which registers nothing", "take the variable out of the name")
	case len(r.Name) > longest:
		v.fault(at+".name", "is longer than 128 bytes, and values are added to it", "write a shorter one")
	case r.ID != "":
		v.fault(at+".id", "each instance has an id of its own", "take id out: the authorization server is asked for each by its name")
	case r.Adopt:
		v.fault(at+".adopt", "instances are found at the authorization server by their names in any case", "take adopt out")
	case len(r.Conditions) > 0 && !r.NeedsPermission():
		v.fault(at+".name", "has a variable, but every condition is public, so nothing is registered", "take the variable out of the name")
	}
	if r.OnCreate == OnCreateRegister && v.neverCreated(s, r) {
		v.warn(at+".on_create", "no other resource covers a method that could create an instance: one that is not registered is denied, also to who would create it",
			`add a resource for the collection, such as {name: albums, conditions: [{paths: ["/albums"], methods: [POST], scopes: [create]}]}`)
	}
}

// neverCreated: the request that creates an instance cannot be one that needs the
// permission on it.
func (v *validator) neverCreated(s *Site, r *Resource) bool {
	for i := range s.Resources {
		if other := &s.Resources[i]; other.Name != r.Name && !other.HasInstances() && other.NeedsPermission() {
			return false
		}
	}
	return true
}
