package decision

import (
	"strings"
	"time"
)

// instances is what a worker remembers of the instances of one site: those that
// are registered, and, bounded apart, those that are not.
type instances struct {
	known          map[string]*instance
	found, missing list[*instance]
}

// instance is what the control plane said of one instance.
type instance struct {
	_     incomparable
	key   string
	id    string // its resource_id; empty when it is not registered
	asked instant
	until instant // then it is asked for again
	node[*instance]
}

// keep remembers what was said of an instance.
func (m *instances) keep(key, id string, now, until time.Time, f *resolver) {
	m.forget(key)
	l, most := &m.found, f.entries
	if id == "" {
		l, most = &m.missing, f.negativeEntries
	}
	if m.known == nil {
		m.known = make(map[string]*instance)
	}
	e := &instance{key: key, id: id, asked: at(now), until: at(until)}
	m.known[key] = e
	l.push(e, &e.node, 0)
	for l.entries > most {
		m.drop(l.last())
	}
}

func (m *instances) forget(key string) {
	if e := m.known[key]; e != nil {
		m.drop(e)
	}
}

func (m *instances) drop(e *instance) {
	e.unlink()
	delete(m.known, e.key)
}

// fresh tells that what is known of an instance need not be asked for.
func (e *instance) fresh(now time.Time) bool {
	return before(now, e.until) && !before(now, e.asked) // a clock that was set back hides its age
}

// usable tells that an instance that was found once may be used although the
// control plane does not answer.
func (e *instance) usable(now time.Time, f *resolver) bool {
	return e != nil && e.id != "" && !before(now, e.asked) && since(e.asked, now) < f.ttl+f.stale
}

// maxRemoved bounds, in bytes, the ended registrations that are looked for one by
// one. More are rare, and then all are forgotten.
const maxRemoved = 4 << 10

// forgetRemoved forgets the registrations that have ended, as a policy lists them, since
// the last one; to forget one too many does no harm. A lookup under way may have been
// answered before: it serves those who wait for it, and is not remembered.
func (m *siteState) forgetRemoved(removals string) {
	if removals == m.removals {
		return
	}
	fresh, more := strings.CutPrefix(removals, m.removals)
	m.removals = removals
	for _, e := range m.instances.known {
		if e.id != "" && (!more || len(fresh) > maxRemoved || strings.Contains(fresh, e.id)) {
			m.instances.drop(e)
		}
	}
	for key, c := range m.lookups {
		if c.notification == nil {
			delete(m.lookups, key)
		}
	}
}
