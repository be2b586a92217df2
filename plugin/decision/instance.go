package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/route"
)

// resolver is how a site's instances are found.
type resolver struct {
	lookup, register, remove     endpoint
	ttl, negativeTTL, stale      time.Duration
	entries, negativeEntries     int
	inFlight                     int
	rate                         config.Limits // of lookups, for bucket
	registersOnCreate, onDeletes bool          // some resource has it
}

// template is a resource with instances.
type template struct {
	name             string
	variables        []string
	registerOnCreate bool
	removeOnDelete   bool
}

// instancePath says where in a path the values of a template's variables stand.
type instancePath struct {
	template *template
	places   []route.Place // in the order of the variables
	last     int           // the last of their segments
	fold     bool          // letters count without case
}

const (
	// maxValue bounds one value, in bytes. A resource_id and a name may be as long
	// as the columns of common servers.
	maxValue = 128
	// maxInstanceKey bounds a key, so that it is built without allocation.
	maxInstanceKey = 512
	// maxResourceID bounds what the control plane may give for a resource_id.
	maxResourceID = 512
)

// appendKey appends what the instance of a path is remembered by, and false where
// a path has no instance: a value is empty, too long, or not there. No value has a
// slash in it.
func (p *instancePath) appendKey(dst []byte, path route.Path) ([]byte, bool) {
	dst = append(dst, p.template.name...)
	for _, at := range p.places {
		value := path.Value(at)
		if value == "" || len(value) > maxValue {
			return nil, false
		}
		dst = append(dst, '/')
		dst = p.appendValue(dst, value)
	}
	return dst, len(dst) <= maxInstanceKey
}

// values are the values of a path, in the order of the variables.
func (p *instancePath) values(path route.Path) []string {
	values := make([]string, len(p.places))
	for i, at := range p.places {
		value := path.Value(at)
		values[i] = string(p.appendValue(nil, value))
	}
	return values
}

// appendValue appends a value in the one spelling that its instance has.
func (p *instancePath) appendValue(dst []byte, value string) []byte {
	from := len(dst)
	dst = append(dst, value...)
	if p.fold {
		for i := from; i < len(dst); i++ {
			if dst[i] >= 'A' && dst[i] <= 'Z' {
				dst[i] |= 0x20
			}
		}
	}
	return dst
}

// owns reports whether a path is the instance's own, so that a request on it says
// something about the instance: it ends with the variable. "/albums/{id}:share"
// does not, nor does "/albums/{id}.json" when an instance is to be registered.
func (p *instancePath) owns(path route.Path, purpose Purpose) bool {
	for _, at := range p.places {
		if !at.Whole() && (purpose == PurposeRegister || !at.IsFormat()) {
			return false
		}
	}
	_, last := path.Segment(p.last)
	return last
}

// resolver compiles how instances are found.
func (b *builder) resolver(path place, s *site, c *config.Instances) {
	if c == nil {
		return
	}
	f := &resolver{
		ttl:             time.Duration(b.ttl(path.member("ttl_ms"), c.TTLMS, 60_000)) * time.Millisecond,
		negativeTTL:     time.Duration(b.ttl(path.member("negative_ttl_ms"), c.NegativeTTLMS, 2_000)) * time.Millisecond,
		stale:           time.Duration(b.ttl(path.member("stale_ms"), c.StaleMS, 86_400_000)) * time.Millisecond,
		entries:         b.bounded(path.member("entries"), c.Entries, 10_000, 1),
		negativeEntries: b.bounded(path.member("negative_entries"), c.NegativeEntries, 2_000, 1),
		inFlight:        b.bounded(path.member("lookups_in_flight"), c.LookupsInFlight, 64, 1),
	}
	f.rate.TicketsPerSecond = b.bounded(path.member("lookups_per_second"), c.LookupsPerSecond, 100, 1)
	f.rate.TicketBurst = b.bounded(path.member("lookup_burst"), c.LookupBurst, max(200, f.rate.TicketsPerSecond), 1)
	for _, e := range []struct {
		to   *endpoint
		path string
	}{{&f.lookup, "/lookup"}, {&f.register, "/register"}, {&f.remove, "/remove"}} {
		whole := c.Endpoint
		whole.Path += e.path
		faults := len(b.faults)
		*e.to = b.endpoint(path, &whole, "application/json")
		if len(b.faults) > faults {
			return // each of the three would say the same
		}
	}
	s.resolver = f
}

// template checks a resource with instances, and returns nil for any other.
func (b *builder) template(path place, s *site, r *config.Resource) *template {
	if !r.Instances {
		if r.RegisterOnCreate || r.RemoveOnDelete {
			b.fault(path, "register_on_create and remove_on_delete are for a resource with instances")
		}
		return nil
	}
	name, err := route.ParseName(r.Name)
	switch {
	case err != nil:
		b.fault(path.member("name"), err.Error())
	case len(name.Variables()) == 0:
		b.fault(path.member("name"), "a resource with instances has a variable in its name, such as album-{id}")
	case len(r.Name) > maxValue:
		b.fault(path.member("name"), "is too long for the name of a resource with instances")
	case s.oauth:
		b.fault(path.member("instances"), "require: oauth_scopes registers no resources, so they have no instances")
	case r.ID != "":
		b.fault(path.member("id"), "each instance has an id of its own")
	}
	if s.resolver == nil {
		b.fault(path.member("instances"), "the site's instances must say where they are found")
		return nil
	}
	t := &template{name: r.Name, variables: name.Variables(), registerOnCreate: r.RegisterOnCreate, removeOnDelete: r.RemoveOnDelete}
	s.resolver.registersOnCreate = s.resolver.registersOnCreate || t.registerOnCreate
	s.resolver.onDeletes = s.resolver.onDeletes || t.removeOnDelete
	return t
}

// place finds the variables of a template in a path of one of its conditions.
func (t *template) place(path route.Template, fold bool) (*instancePath, string) {
	p := &instancePath{template: t, places: make([]route.Place, len(t.variables)), fold: fold}
	for i, variable := range t.variables {
		at, ok := path.Place(variable)
		if !ok {
			return nil, "the path must have {" + variable + "}, which the resource's name has, and no other variable in that segment"
		}
		p.places[i] = at
		p.last = max(p.last, at.Segment)
	}
	return p, ""
}
