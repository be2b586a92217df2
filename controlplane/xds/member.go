package xds

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// member is an Envoy of the fleet with its streams. Its users hold the fleet's lock.
type member struct {
	Envoy

	// key is its name in the cache.
	key string
	// agent: it is no Envoy, but the agent beside one.
	agent   bool
	streams []*stream
	offered offer
	// connection is the one that it reports on; nil when it is gone, and of an agent.
	connection *connection
	reports    reports
}

func (m *member) copy(now time.Time) Envoy {
	e := m.Envoy
	e.ReportedAt, e.Failing, e.Stale = m.reports.at, m.reports.failing(now), m.reports.stales(now)
	e.Clock, e.Trapped, e.Module = m.reports.differs(now), m.reports.trapped(now), m.reports.module
	e.Withheld = m.reports.withholds(now)
	e.Types = maps.Clone(m.Types)
	e.Certificate = slices.Clone(m.Certificate)
	return e
}

// each calls yield for the streams that subscribe to a type, until it returns false.
func (m *member) each(kind Type, yield func(*stream, sent) bool) {
	for _, s := range m.streams {
		if state, ok := s.sent[typeURLs[kind]]; ok && !s.moved && !yield(s, state) {
			return
		}
	}
}

func (m *member) subscribes(kind Type) (yes bool) {
	m.each(kind, func(*stream, sent) bool {
		yes = true
		return false
	})
	return yes
}

// stated returns the version that the Envoy says it has.
func (m *member) stated(kind Type) (version string) {
	m.each(kind, func(_ *stream, at sent) bool {
		version = at.has
		return false
	})
	return version
}

// answered reports whether the Envoy has taken or refused a content on every stream
// that subscribes to its type.
func (m *member) answered(kind Type, c *content) bool {
	yes, version := true, c.version()
	m.each(kind, func(s *stream, at sent) bool {
		// By incremental xDS, nothing is sent to an Envoy whose own part has not changed.
		yes = !at.open && (s.delta || at.version == version || at.has == version)
		return yes
	})
	return yes
}

// has reports whether a content is in force, as all streams say that subscribe to its
// type; not if there is none.
func (m *member) has(kind Type, c *content) bool {
	yes, version := false, c.version()
	m.each(kind, func(s *stream, at sent) bool {
		yes = at.has == version || s.delta && at.version == ""
		return yes
	})
	return yes
}

// hosts says where the Envoy's routes lead, given those of its group: their version
// tells whether others lead to the same.
func (m *member) hosts(group *content) hosts {
	var out hosts
	m.each(RDS, func(_ *stream, at sent) bool {
		digest, _, _ := strings.Cut(group.version(), "-")
		switch {
		case at.in != nil:
			out = out.with(at.in.hosts)
		case at.has == "":
		case strings.HasPrefix(at.has, digest+"-"):
			out = out.with(group.hosts)
		default:
			out = out.with(unknown())
		}
		return true
	})
	return out
}
