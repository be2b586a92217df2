package revoke

import (
	"time"

	"github.com/umagate/umagate/controlplane/store"
)

// spare is how long a revocation reaches beyond the end of its tokens where clocks may be
// wrong: in an Envoy that has not heard that it ended, and here where the AS does not say
// what time it is.
const spare = 24 * time.Hour

// clock says what time it is, in a way that a clock which is put ahead or back re-admits
// no token. Tokens begin and end by the AS's clock, so of two clocks that one counts by
// which a revocation begins later or ends later.
type clock struct {
	now func() time.Time
	// uptime is how long this process runs, whatever is done to the host's clock.
	uptime  func() time.Duration
	started time.Time
}

func newClock(now func() time.Time, uptime func() time.Duration) clock {
	if uptime == nil {
		began := time.Now()
		uptime = func() time.Duration { return time.Since(began) }
	}
	// Go compares two times by a clock that nobody touches, if both have its reading.
	wall := func() time.Time { return now().Round(0) }
	return clock{now: wall, uptime: uptime, started: wall().Add(-uptime())}
}

// steady is the time by a clock that nobody has touched since this process began.
func (c clock) steady() time.Time { return c.started.Add(c.uptime()) }

// atAS is what time it is at the AS of a site, as far as that is known.
func (c clock) atAS(s Site) time.Time {
	if s.Now.IsZero() {
		return c.now()
	}
	return s.Now
}

// atLatest is the later of two clocks: what is revoked now is revoked by both.
func (c clock) atLatest(s Site) time.Time {
	other := s.Now
	if other.IsZero() {
		other = c.steady()
	}
	if now := c.now(); now.After(other) {
		return now
	}
	return other
}

// atEarliest is the earlier of two clocks: what has ended has ended by both.
func (c clock) atEarliest(s Site) time.Time {
	if s.Now.IsZero() {
		return earlier(c.now(), c.steady()).Add(-spare)
	}
	return earlier(c.now(), s.Now)
}

// ends says of each site, and of every site by the empty name, what time it is there at
// the earliest.
type ends struct {
	bySite    map[string]time.Time
	elsewhere time.Time // for a site that is gone
}

func (c clock) ends(sites []Site) ends {
	e := ends{bySite: make(map[string]time.Time, len(sites)+1), elsewhere: c.atEarliest(Site{})}
	every := c.now()
	for i := range sites {
		at := c.atEarliest(sites[i])
		e.bySite[sites[i].Name], every = at, earlier(every, at)
	}
	e.bySite[""] = every
	return e
}

// ended reports whether a revocation ended so long ago.
func (e ends) ended(r *store.Revocation, ago time.Duration) bool {
	at, ok := e.bySite[r.Site]
	if !ok {
		at = e.elsewhere
	}
	return !r.ExpiresAt.Add(ago).After(at)
}

// forgetting is the time by which the store forgets, a day later: the earliest of all.
func (c clock) forgetting(sites []Site) time.Time {
	at := earlier(c.now(), c.steady())
	for i := range sites {
		if s := sites[i].Now; !s.IsZero() {
			at = earlier(at, s)
		}
	}
	return at
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
