package decision

import (
	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/uma"
)

// revoked is what is revoked of one site's tokens: by the list of every site and
// by its own. It is replaced when one of them changes, so that a cached token is
// looked at once after each change, when it is used.
type revoked [2]*config.Revocations

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
func (w *Worker) revoke(p *Policy, m *memory) {
	none := &config.Revocations{}
	r := &revoked{none, none}
	for i := range p.revocations {
		switch list := &p.revocations[i]; list.Site {
		case "":
			r[0] = list
		case m.site:
			r[1] = list
		}
	}
	switch {
	case r[0] == none && r[1] == none:
		m.revoked = nil
	case m.revoked == nil || *m.revoked[0] != *r[0] || *m.revoked[1] != *r[1]:
		m.revoked = r
	}
}

// namesToken tells that a token is revoked by itself. Nothing need be known of it.
func (r *revoked) namesToken(token string, now int64) bool {
	if r == nil {
		return false
	}
	signed := config.Signed(token)
	for i := range r {
		if found, ok := r[i].Tokens.Find(signed); ok && now < found.Ends {
			return true
		}
	}
	return false
}

// names tells that a token is revoked, by itself or by what the AS says of it.
// What the AS does not say is looked for in the token, if it is a JWT: it is
// active, so that is its payload. A token that does not say when it was issued
// was issued too early.
func (r *revoked) names(token string, t *uma.Token, now int64) bool {
	if r == nil || !t.Active {
		return false
	}
	if r.namesToken(token, now) {
		return true
	}
	subject, client, session, issued := t.Subject, t.ClientID, t.SessionID, t.IssuedAt
	if subject == "" || client == "" || session == "" || issued == 0 {
		if own, err := uma.ParseJWT(token); err == nil {
			subject, client, session = firstOf(subject, own.Subject), firstOf(client, own.ClientID), firstOf(session, own.SessionID)
			if issued == 0 {
				issued = own.IssuedAt
			}
		}
	}
	for i := range r {
		l := r[i]
		if l.IssuedBefore != 0 && now < l.IssuedBeforeEnds && issued < l.IssuedBefore {
			return true
		}
		for _, by := range [...]struct {
			set   config.Digests
			value string
		}{{l.Sessions, session}, {l.Subjects, subject}, {l.ClientIDs, client}} {
			if by.value == "" {
				continue
			}
			if found, ok := by.set.Find(by.value); ok && now < found.Ends && (found.IssuedBefore == 0 || issued < found.IssuedBefore) {
				return true
			}
		}
	}
	return false
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
