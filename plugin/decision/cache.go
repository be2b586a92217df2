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

	checked    *revoked // what it was compared with last
	status     revocationStatus
	reason     Reason  // of a no to an evaluation, see Worker.rememberNo
	later      instant // when the AS wants to be asked again for it
	complete   bool    // the AS has said all that it has to say of it
	evaluated  bool    // the AS has evaluated it, see evaluation
	mixed      bool    // and it has permissions that are no answer to that
	refreshing bool    // see Worker.refresh
	refreshAt  instant

	// area is where the token has chosen the state's site last. Elsewhere, or under another
	// policy, it may choose another one.
	area *area

	signed *signedToken // for the API, nil for none

	value string // the token itself
	state *siteState
	node[*entry]
}

// tokenCache lists entries, bounded in number and bytes.
type tokenCache struct {
	list[*entry]
	maxEntries, maxBytes int
}

func (c *tokenCache) bound(entries, bytes int) {
	c.maxEntries, c.maxBytes = entries, bytes
	c.shrink()
}

func (c *tokenCache) shrink() {
	for c.entries > 0 && (c.entries > c.maxEntries || c.bytes > c.maxBytes) {
		c.last().drop()
	}
}

// drop takes an entry out of its list and its site.
func (e *entry) drop() {
	e.unlink()
	delete(e.state.tokens, e.value)
}

// active returns the entry of a token that is active, nil of another.
func (e *entry) active() *entry {
	if e.token.Active {
		return e
	}
	return nil
}

// freshness says what the age of an entry leaves it good for.
type freshness uint8

const (
	tooOld freshness = iota
	stale            // believed while the AS cannot be asked
	fresh            // believed
)

// freshness returns that of an entry, for a site as it is configured now.
func (e *entry) freshness(s *site, now time.Time) freshness {
	age := since(e.fetched, now)
	end := min(e.expires, e.fetched+instant(s.ttl(e.token.Active)))
	switch {
	case age < 0:
		// A clock that was set back would make it live longer: its age is not known.
		return tooOld
	case before(now, end):
		return fresh
	case e.token.Active && before(now, end+instant(s.stale)):
		return stale
	}
	return tooOld
}

// lookUp returns what is known of a token, nil when nothing is or it has become
// too old for the site as it is configured now.
func (w *Worker) lookUp(m *siteState, s *site, token string, now time.Time) (*entry, freshness) {
	e := m.tokens[token]
	if e == nil {
		return nil, tooOld
	}
	f := e.freshness(s, now)
	if f == tooOld {
		e.drop()
		return nil, tooOld
	}
	e.touch()
	if e.checked != m.revoked {
		e.checked, e.status = m.revoked, m.revoked.names(e.value, e.token, now.Unix())
	}
	return e, f
}

// remember keeps what the AS said, as long as the site allows and the token
// lives. Active and inactive tokens are bounded apart, so that a flood of bad
// tokens pushes out no good one.
func (w *Worker) remember(c *introspection, now time.Time) {
	token := c.result
	if old := c.state.tokens[c.token]; old != nil {
		old.drop()
	}
	e := &entry{token: token, fetched: at(now), complete: c.complete(), value: c.token, state: c.state}
	if c.evaluation != nil {
		e.evaluated, e.mixed = true, c.evaluation.mixed
	}
	if c.about != nil {
		e.evaluated, e.mixed = c.about.evaluated, c.about.mixed
	}
	switch { // its permissions are as old as that
	case !token.Active:
	case c.about != nil:
		e.fetched = c.about.fetched
	case c.evaluation != nil:
		e.fetched = c.evaluation.since
	}
	expires := now.Add(c.site.ttl(token.Active) - since(e.fetched, now))
	refreshAt := c.refreshAt(at(expires))
	if token.Expires != 0 {
		if end := time.Unix(token.Expires+c.site.leeway, 0); end.Before(expires) {
			expires, refreshAt = end, 0 // it is over then, whatever the AS says
		}
	}
	e.expires, e.refreshAt = at(expires), refreshAt
	w.put(c.state, c.site, e, now)
}

// put enters what is known of a token, or of a no, unless it is over.
func (w *Worker) put(m *siteState, s *site, e *entry, now time.Time) {
	cache, kept := &w.inactive, e.expires
	if e.token.Active {
		cache, kept = &w.active, kept+instant(s.stale)
	}
	// A call of an older policy must not fill a state that is no longer looked at.
	if !before(now, kept) || w.states[s.key] != m {
		return
	}
	bytes := size(e.value, e.token)
	if bytes > cache.maxBytes { // it would push out all others and then itself
		return
	}
	m.tokens[e.value] = e
	cache.push(e, &e.node, bytes)
	cache.shrink()
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
	const perEntry, perString, perPermission = 376, 16, 64
	n := perEntry + len(value) + len(t.Subject) + len(t.Issuer) + len(t.ClientID) + len(t.JWTID) + len(t.SessionID) + len(t.ACR)
	for _, s := range t.Audience {
		n += perString + len(s)
	}
	for _, s := range t.Scopes {
		n += perString + len(s)
	}
	const perList = 24
	for _, claims := range [...][][]string{t.Claims, t.Own} {
		for _, claim := range claims {
			n += perList
			for _, s := range claim {
				n += perString + len(s)
			}
		}
	}
	for _, list := range [...][]uma.Permission{t.Permissions, t.Asked} {
		for i := range list {
			n += perPermission + len(list[i].ResourceID)
			for _, s := range list[i].Scopes {
				n += perString + len(s)
			}
		}
	}
	return n
}
