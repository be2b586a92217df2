package decision

import (
	"strings"
	"time"
)

// instances is what a worker remembers of the instances of one site: those that
// are registered, and, bounded apart, those that are not.
type instances struct {
	known          map[string]*instance
	found, missing ring
}

// instance is what the control plane said of one instance.
type instance struct {
	_          incomparable
	key        string
	id         string // its resource_id; empty when it is not registered
	asked      instant
	until      instant // then it is asked for again
	of         *ring
	prev, next *instance
}

// ring lists instances, the one used last first.
type ring struct {
	head *instance // sentinel, made with the first entry
	size int
}

func (r *ring) push(e *instance) {
	if r.head == nil {
		r.head = &instance{}
		r.head.prev, r.head.next = r.head, r.head
	}
	e.of, e.prev, e.next = r, r.head, r.head.next
	e.prev.next, e.next.prev = e, e
	r.size++
}

func (e *instance) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.of.size--
	e.prev, e.next, e.of = nil, nil, nil
}

func (e *instance) touch() {
	head := e.of.head
	if head.next == e {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = head, head.next
	e.prev.next, e.next.prev = e, e
}

// keep remembers what was said of an instance.
func (m *instances) keep(key, id string, now, until time.Time, f *finder) {
	m.forget(key)
	list, most := &m.found, f.entries
	if id == "" {
		list, most = &m.missing, f.negativeEntries
	}
	if m.known == nil {
		m.known = make(map[string]*instance)
	}
	e := &instance{key: key, id: id, asked: at(now), until: at(until)}
	m.known[key] = e
	list.push(e)
	for list.size > most {
		m.drop(list.head.prev)
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
func (e *instance) usable(now time.Time, f *finder) bool {
	return e != nil && e.id != "" && !before(now, e.asked) && since(e.asked, now) < f.ttl+f.stale
}

// maxRemoved bounds, in bytes, the ended registrations that are looked for one by
// one. More are rare, and then all are forgotten.
const maxRemoved = 4 << 10

// remove forgets the registrations that have ended since it was last told; to forget
// one too many does no harm. A lookup under way may have been answered before: it
// serves those who wait for it, and is not remembered.
func (m *memory) remove(told string) {
	if told == m.removals {
		return
	}
	fresh, more := strings.CutPrefix(told, m.removals)
	m.removals = told
	for _, e := range m.instances.known {
		if e.id != "" && (!more || len(fresh) > maxRemoved || strings.Contains(fresh, e.id)) {
			m.instances.drop(e)
		}
	}
	for key, c := range m.lookups {
		if c.report == nil {
			delete(m.lookups, key)
		}
	}
}
