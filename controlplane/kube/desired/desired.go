package desired

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	gatewaybeta "sigs.k8s.io/gateway-api/apis/v1beta1"

	"github.com/umagate/umagate/controlplane/kube/v1alpha1"
	"github.com/umagate/umagate/controlplane/site"
)

// Name is an object's namespace and name.
type Name = types.NamespacedName

// Objects is what is there, of the namespaces that are watched. Nothing of it is changed.
type Objects struct {
	APIs     []*v1alpha1.ProtectedAPI
	Servers  map[Name]*v1alpha1.AuthorizationServer
	Grants   []*gatewaybeta.ReferenceGrant
	Gateways map[Name]*gateway.Gateway
	Routes   map[Name]*gateway.HTTPRoute
	Services map[Name]bool
	// Secret reads a key of a Secret. The error is for who wrote the reference.
	Secret func(name Name, key string) ([]byte, error)
	// File has the sites that stand in umagate.yaml: their hosts are taken.
	File *site.File
}

// Options are the same for all objects.
type Options struct {
	// ClusterDomain is that of services' names, cluster.local.
	ClusterDomain string
	// AnyUpstream lets an upstream be more than a service of the object's own namespace.
	AnyUpstream bool
}

// Verdict is what comes of one object.
type Verdict struct {
	// Reason and Message say why it is not accepted; Message has notes where it is, and
	// Reason is then [v1alpha1.ReasonAccepted].
	Reason, Message string
	// Generation is that of the object that was judged.
	Generation int64
	// Kept: it is not accepted, and what it was before stays in force.
	Kept bool
	// Site is what is served; nil for nothing.
	Site *site.Site
	// Claims are the hosts, each with its path prefix, that are the object's.
	Claims []string
	// Ancestors are what it is attached to.
	Ancestors []gateway.ParentReference
}

// Accepted reports whether all is well with the object itself.
func (v *Verdict) Accepted() bool { return v.Reason == v1alpha1.ReasonAccepted }

// Result is what comes of all objects.
type Result struct {
	// Sites are those to serve, the oldest first.
	Sites []site.Site
	// APIs and Servers have a verdict for each object, but for those that are being deleted.
	APIs, Servers map[Name]*Verdict
	// Users counts the APIs that use each server.
	Users map[Name]int
	// Secrets are those that are named, there or not.
	Secrets map[Name]bool
	// Leaving are the objects that are being deleted, with what tells how they are
	// registered; nil where that is not known.
	Leaving map[Name]*site.Site
}

// Builder makes results, and remembers what was good. It is for one goroutine at a time.
type Builder struct {
	options Options
	// parsed are the sites of the last round, good those that were accepted last.
	parsed map[types.UID]parsed
	good   map[types.UID]good
	// servers are the ASs of the last round.
	servers map[Name]server
}

// NewBuilder returns one that remembers nothing yet.
func NewBuilder(options Options) *Builder {
	return &Builder{options: options, parsed: map[types.UID]parsed{}, good: map[types.UID]good{}}
}

// SiteName is the name of an object's site. A namespace has no underscore: the name tells
// both apart.
func SiteName(namespace, name string) string { return namespace + "_" + name }

// round is one Build.
type round struct {
	*Builder

	objects *Objects
	result  Result
	servers map[Name]server
	parsed  map[types.UID]parsed
	good    map[types.UID]good
}

// Build makes sites of what is there. The same objects give the same result, but for what
// was good before.
func (b *Builder) Build(objects *Objects) Result {
	r := &round{Builder: b, objects: objects, servers: map[Name]server{}, parsed: map[types.UID]parsed{}, good: map[types.UID]good{}}
	r.result = Result{APIs: map[Name]*Verdict{}, Servers: map[Name]*Verdict{}, Users: map[Name]int{}, Secrets: map[Name]bool{}, Leaving: map[Name]*site.Site{}}
	for name, object := range objects.Servers {
		r.servers[name] = r.resolve(name, object)
		r.result.Servers[name] = r.servers[name].verdict()
		r.result.Servers[name].Generation = object.Generation
	}
	apis := byAge(objects.APIs)
	candidates := make([]candidate, 0, len(apis))
	for _, api := range apis {
		candidates = append(candidates, r.candidate(api))
	}
	r.own(candidates)
	r.serve(candidates)
	for _, api := range objects.APIs {
		if !api.DeletionTimestamp.IsZero() {
			r.result.Leaving[Name{Namespace: api.Namespace, Name: api.Name}] = r.leaving(api)
		}
	}
	b.parsed, b.good, b.servers = r.parsed, r.good, r.servers
	return r.result
}

// byAge lists objects that stay, the oldest first.
func byAge(all []*v1alpha1.ProtectedAPI) []*v1alpha1.ProtectedAPI {
	out := slices.DeleteFunc(slices.Clone(all), func(p *v1alpha1.ProtectedAPI) bool { return !p.DeletionTimestamp.IsZero() })
	slices.SortFunc(out, func(a, b *v1alpha1.ProtectedAPI) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// candidate is an object on its way to be a site.
type candidate struct {
	api     *v1alpha1.ProtectedAPI
	name    Name
	verdict *Verdict
	claims  []claim
	// server is the AS of the verdict's site.
	server Name
}

// good is a site that was accepted, and its AS.
type good struct {
	site   *site.Site
	server Name
}

// refuse says why the object is not accepted. Only the first reason counts.
func (c *candidate) refuse(reason, format string, args ...any) {
	if c.verdict.Reason == "" {
		c.verdict.Reason, c.verdict.Message = reason, fmt.Sprintf(format, args...)
	}
}

// candidate judges an object alone.
func (r *round) candidate(api *v1alpha1.ProtectedAPI) candidate {
	c := candidate{api: api, name: Name{Namespace: api.Namespace, Name: api.Name}, verdict: &Verdict{Generation: api.Generation}}
	r.result.APIs[c.name] = c.verdict
	targets := r.targets(&c)
	made, same := r.Builder.parsed[api.UID]
	same = same && made.generation == api.Generation && len(api.Spec.TargetRefs) == 0
	var document object
	if same {
		c.claims = made.claims
	} else {
		document = r.document(&c, targets)
		c.claims = claimsOf(document)
	}
	at := r.reference(&c)
	if c.verdict.Reason != "" {
		return c
	}
	c.server = at.name
	if same && made.server == at.sum {
		r.reuse(&c, made, at.name)
	} else {
		if same {
			document = r.document(&c, targets)
		}
		made = r.parse(&c, document, at)
	}
	if c.verdict.Reason == "" {
		c.verdict.Reason, c.verdict.Message = v1alpha1.ReasonAccepted, made.notes
		c.verdict.Site = made.site
		return c
	}
	r.keep(&c)
	return c
}

// leaving is the site of an object that is being deleted: what it was last, or what it
// would be. Whether it may still name its AS is no matter: what it had there is removed.
func (r *round) leaving(api *v1alpha1.ProtectedAPI) *site.Site {
	if before, ok := r.Builder.good[api.UID]; ok {
		r.good[api.UID] = before
		return before.site
	}
	c := candidate{api: api, verdict: &Verdict{}}
	document := r.document(&c, r.targets(&c))
	if document["hosts"] == nil {
		document["hosts"] = encode([]string{"leaving.invalid"}) // its targets are gone, too
	}
	name := Name{Namespace: api.Spec.AuthorizationServerRef.Namespace, Name: api.Spec.AuthorizationServerRef.Name}
	if name.Namespace == "" {
		name.Namespace = api.Namespace
	}
	at, ok := r.servers[name]
	if !ok || at.problem != "" {
		return nil
	}
	return r.parse(&c, document, at).site
}

// serve gives sites to those that own what they ask for, and has the filter's core judge
// those together that share a host.
func (r *round) serve(candidates []candidate) {
	families := newFamilies(r.objects.File)
	for i := range candidates {
		c := &candidates[i]
		if c.verdict.Site == nil {
			continue
		}
		if err := families.join(c.verdict.Site); err != nil {
			c.verdict.Site, c.verdict.Kept, c.verdict.Claims = nil, false, nil
			c.verdict.Reason, c.verdict.Message = v1alpha1.ReasonConflicted, "spec.hosts: with the other sites of these: "+err.Error()
			continue
		}
		r.good[c.api.UID] = good{c.verdict.Site, c.server}
		r.result.Sites = append(r.result.Sites, *c.verdict.Site)
	}
}
