package decision

import "time"

// CallOutcome is how a call to the AS ended.
type CallOutcome uint8

// The outcomes.
const (
	CallOK           CallOutcome = iota
	CallRefused                  // the host could not send it
	CallUnreachable              // no answer
	CallUnauthorized             // 401 or 403: the credential is not accepted
	CallError                    // another status
	CallBadAnswer                // not what the spec says
	CallBusy                     // 429, or 503 with Retry-After: later

	// CallOutcomes is how many there are.
	CallOutcomes
)

// String returns the outcome as metrics name it.
func (o CallOutcome) String() string {
	return [...]string{"ok", "not_sent", "unreachable", "unauthorized", "error", "bad_answer", "busy", ""}[o&7]
}

// failure is why a token could not be verified.
func (o CallOutcome) failure() Reason {
	switch o {
	case CallOK, CallBadAnswer:
		return ReasonASBadAnswer
	case CallUnauthorized:
		return ReasonASRefused
	case CallError:
		return ReasonASError
	case CallBusy:
		return ReasonASBusy
	case CallRefused, CallUnreachable, CallOutcomes:
	}
	return ReasonASUnreachable
}

// unanswered reports whether a call has ended so that nobody knows what the AS would
// say, but for its status nothing: it could not be sent, has no answer, or one that is
// none (5xx, 429). What the AS refuses or what cannot be read is an answer.
func (o CallOutcome) unanswered(status int) bool {
	switch o {
	case CallRefused, CallUnreachable, CallBusy:
		return true
	case CallError:
		return status >= 500
	case CallOK, CallUnauthorized, CallBadAnswer, CallOutcomes:
	}
	return false
}

// SiteStats counts what happened at one site since they were last drained.
type SiteStats struct {
	Decisions   [Effects][Reasons]uint64
	CacheHits   uint64
	CacheMisses uint64
	// CacheStale were answered by what was known, as the AS could not be asked.
	CacheStale  uint64
	CallsShared uint64
	// StreamsEnded were let through, and ended since.
	StreamsEnded [Reasons]uint64
	// InstanceHits were known, InstanceMisses had to be asked for, and of those
	// InstanceStale were used as they were known before.
	InstanceHits, InstanceMisses, InstanceStale uint64
	// NoOwner and NoInstance count answers of 201 that registered nothing: the
	// request had no subject, or no resource with instances has the Location.
	// ReportsLost counts creations and removals that the control plane did not hear
	// of, or refused.
	NoOwner, NoInstance, ReportsLost uint64
	Calls                            [Purposes][CallOutcomes]uint64
	// Messages are those to MCP servers; nil before the first one.
	Messages map[MessageStats]uint64
	// Withheld are those that the host had, and that nobody could judge.
	Withheld [Withhelds]uint64
	// Latencies are those of the calls answered, at most maxLatencies between two
	// drains.
	Latencies [Purposes][]time.Duration
}

const maxLatencies = 4096

func (s *SiteStats) observe(p Purpose, d time.Duration) {
	if len(s.Latencies[p]) < maxLatencies {
		s.Latencies[p] = append(s.Latencies[p], d)
	}
}

func (v *Evaluator) count(m *siteState, d Decision) {
	s := &v.worker.unknown
	if m != nil {
		s = &m.stats
	}
	s.Decisions[d.Effect][d.Reason]++
	if d.MCP == nil {
		return
	}
	if s.Messages == nil {
		s.Messages = make(map[MessageStats]uint64)
	}
	s.Messages[MessageStats{d.MCP.label[0], d.MCP.label[1], d.Effect}]++
}

// MessageStats are messages to an MCP server that are counted together: there are as many as
// the configuration names, whatever clients send.
type MessageStats struct {
	// Method is one that the configuration names or that the protocol begins with,
	// "response", "notification" or "other".
	Method string
	// Name is the configuration's, a pattern where that has matched, or "other"; "-" where
	// the method alone says what is asked for.
	Name   string
	Effect Effect
}

// Drain calls visit with the counts of each site since the last Drain, and then
// sets them to zero. Requests that belong to no site come under the name "-".
func (w *Worker) Drain(visit func(site string, s *SiteStats)) {
	drain := func(name string, s *SiteStats) {
		visit(name, s)
		latencies, messages := s.Latencies, s.Messages
		clear(messages)
		*s = SiteStats{Messages: messages}
		for p := range latencies {
			s.Latencies[p] = latencies[p][:0]
		}
	}
	drain("-", &w.unknown)
	for _, m := range w.states {
		drain(m.site, &m.stats)
	}
}

// Cached is what the caches hold now.
func (w *Worker) Cached() (entries, bytes int) {
	return w.active.entries + w.inactive.entries, w.active.bytes + w.inactive.bytes
}
