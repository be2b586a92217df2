package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/uma"
)

// entry is what the AS said of one token.
type entry struct {
	_       incomparable
	token   *uma.Token
	fetched instant
	expires instant

	checked *revoked // what it was compared with last
	told    told     // and the result
	whole   bool     // the AS has said all that it has to say of it

	value      string // the token itself
	memory     *memory
	owner      *lru
	size       int
	prev, next *entry
}

// lru is a list of entries, the most recently used first, bounded in number and
// bytes.
type lru struct {
	head                 entry // sentinel
	entries, bytes       int
	maxEntries, maxBytes int
}

func (l *lru) init() { l.head.next, l.head.prev = &l.head, &l.head }

func (l *lru) bound(entries, bytes int) {
	l.maxEntries, l.maxBytes = entries, bytes
	l.shrink()
}

func (l *lru) push(e *entry) {
	e.owner, e.prev, e.next = l, &l.head, l.head.next
	e.prev.next, e.next.prev = e, e
	l.entries++
	l.bytes += e.size
	l.shrink()
}

func (l *lru) shrink() {
	for l.entries > 0 && (l.entries > l.maxEntries || l.bytes > l.maxBytes) {
		l.head.prev.drop()
	}
}

func (l *lru) remove(e *entry) {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
	l.entries--
	l.bytes -= e.size
}

func (l *lru) touch(e *entry) {
	if l.head.next == e {
		return
	}
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = &l.head, l.head.next
	e.prev.next, e.next.prev = e, e
}

// drop takes an entry out of its list and its memory.
func (e *entry) drop() {
	e.owner.remove(e)
	delete(e.memory.tokens, e.value)
}

// lookUp returns what is known of a token, nil when nothing is or it has become
// too old for the site as it is configured now.
func (w *Worker) lookUp(m *memory, s *site, token string, now time.Time) *entry {
	e := m.tokens[token]
	if e == nil {
		return nil
	}
	// A clock that was set back would make it live longer: its age is not known.
	age := since(e.fetched, now)
	if !before(now, e.expires) || age < 0 || age >= s.ttl(e.token.Active) {
		e.drop()
		return nil
	}
	e.owner.touch(e)
	if e.checked != m.revoked {
		e.checked, e.told = m.revoked, m.revoked.names(e.value, e.token, now.Unix())
	}
	return e
}

// remember keeps what the AS said, as long as the site allows and the token
// lives. Active and inactive tokens are bounded apart, so that a flood of bad
// tokens pushes out no good one.
func (w *Worker) remember(c *call, token *uma.Token, now time.Time) {
	list := &w.active
	if !token.Active {
		list = &w.inactive
	}
	if old := c.memory.tokens[c.token]; old != nil {
		old.drop()
	}
	fetched := at(now)
	if c.about != nil && token.Active {
		fetched = c.about.fetched // its permissions are as old as that
	}
	expires := now.Add(c.site.ttl(token.Active) - since(fetched, now))
	if token.Expires != 0 {
		if end := time.Unix(token.Expires+c.site.leeway, 0); end.Before(expires) {
			expires = end
		}
	}
	// A call of an older policy must not fill a memory that is no longer looked at.
	if !now.Before(expires) || w.memories[c.site.key] != c.memory {
		return
	}
	e := &entry{token: token, fetched: fetched, expires: at(expires), whole: c.whole(), value: c.token, memory: c.memory, size: size(c.token, token)}
	if e.size > list.maxBytes { // it would push out all others and then itself
		return
	}
	c.memory.tokens[c.token] = e
	list.push(e)
}

// ttl is how long what the AS said of a token is believed.
func (s *site) ttl(active bool) time.Duration {
	if active {
		return s.maxTTL
	}
	return s.negativeTTL
}

// size estimates the bytes an entry takes.
func size(value string, t *uma.Token) int {
	const perEntry, perString, perPermission = 336, 16, 64
	n := perEntry + len(value) + len(t.Subject) + len(t.Issuer) + len(t.ClientID) + len(t.JWTID) + len(t.SessionID)
	for _, s := range t.Audience {
		n += perString + len(s)
	}
	for _, s := range t.Scopes {
		n += perString + len(s)
	}
	for i := range t.Permissions {
		n += perPermission + len(t.Permissions[i].ResourceID)
		for _, s := range t.Permissions[i].Scopes {
			n += perString + len(s)
		}
	}
	return n
}
