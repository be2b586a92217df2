package decision

import (
	"slices"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// revoked is what is revoked of one site's tokens: by the list of every site and
// by its own. It is replaced when one of them changes, so that a cached token is
// looked at once after each change, when it is used.
type revoked struct {
	lists [2]*config.Revocations
	// latest covers the sessions, subjects and clients of each. It is made when the first
	// token comes of which they are not known.
	latest [2][3]struct{ ends, before int64 }
}

// revocationStatus says whether a token is revoked, as far as that is known.
type revocationStatus uint8

const (
	notRevoked     revocationStatus = iota
	sessionUnknown                  // unless by its session, which is not known
	ownerUnknown                    // who it is of is not known, and somebody is revoked
	isRevoked
)

// needsMore reports whether the AS should be asked for more about the token.
func (s revocationStatus) needsMore() bool { return s == sessionUnknown || s == ownerUnknown }

// final is the answer when the AS has nothing more to say. A token without a session
// belongs to none, such as that of a client for itself. But each is somebody's.
func (s revocationStatus) final() revocationStatus {
	if s == sessionUnknown {
		return notRevoked
	}
	return s
}

// revocations checks the lists.
func (b *builder) revocations(lists []config.Revocations) {
	seen := make(map[string]bool, len(lists))
	for i := range lists {
		r := &lists[i]
		at := (&place{}).element("revocations", i)
		if seen[r.Site] {
			b.fault(at.member("site"), "another list is for this site already")
		}
		seen[r.Site] = true
		for _, d := range [...]struct {
			name string
			set  config.Digests
		}{{"tokens", r.Tokens}, {"sessions", r.Sessions}, {"subjects", r.Subjects}, {"client_ids", r.ClientIDs}} {
			if !d.set.Valid() {
				b.fault(at.member(d.name), "must be records of a digest and two times, in ascending order")
			}
		}
	}
	b.policy.revocations = lists
}

// revoke puts the policy's revocations in force, also for calls of requests that
// began under an older one.
func (w *Worker) revoke(p *Policy, m *siteState) {
	none := &config.Revocations{}
	r := &revoked{lists: [2]*config.Revocations{none, none}}
	for i := range p.revocations {
		switch list := &p.revocations[i]; list.Site {
		case "":
			r.lists[0] = list
		case m.site:
			r.lists[1] = list
		}
	}
	switch {
	case r.lists[0] == none && r.lists[1] == none:
		m.revoked = nil
	case m.revoked == nil || *m.revoked.lists[0] != *r.lists[0] || *m.revoked.lists[1] != *r.lists[1]:
		m.revoked = r
	}
}

// namesToken tells that a token is revoked by itself. Nothing need be known of it.
func (r *revoked) namesToken(token string, now int64) bool {
	if r == nil {
		return false
	}
	signed := config.Signed(token)
	for _, l := range r.lists {
		if found, ok := l.Tokens.Find(signed); ok && now < found.Ends {
			return true
		}
	}
	return false
}

// names reports whether a token is revoked, by itself or by what the AS says of it.
// What the AS does not say is looked for in the token, if it is a JWT: it is
// active, so that is its payload. A token that does not say when it was issued
// was issued too early.
func (r *revoked) names(token string, t *uma.Token, now int64) revocationStatus {
	if r == nil || !t.Active {
		return notRevoked
	}
	if r.namesToken(token, now) {
		return isRevoked
	}
	values, issued := [...]string{t.SessionID, t.Subject, t.ClientID}, t.IssuedAt
	if slices.Contains(values[:], "") || issued == 0 {
		if own, err := uma.ParseJWT(token); err == nil {
			for i, s := range [...]string{own.SessionID, own.Subject, own.ClientID} {
				values[i] = firstOf(values[i], s)
			}
			if issued == 0 {
				issued = own.IssuedAt
			}
		}
	}
	status := notRevoked
	for i, l := range r.lists {
		if l.IssuedBefore != 0 && now < l.IssuedBeforeEnds && issued < l.IssuedBefore {
			return isRevoked
		}
		for j, set := range [...]config.Digests{l.Sessions, l.Subjects, l.ClientIDs} {
			if values[j] != "" {
				if found, ok := set.Find(values[j]); ok && now < found.Ends && (found.IssuedBefore == 0 || issued < found.IssuedBefore) {
					return isRevoked
				}
				continue
			}
			latest := &r.latest[i][j]
			if latest.ends == 0 {
				latest.ends, latest.before = set.Latest()
			}
			if now < latest.ends && issued < latest.before {
				status = max(status, sessionUnknown)
				if j > 0 {
					status = ownerUnknown
				}
			}
		}
	}
	return status
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
