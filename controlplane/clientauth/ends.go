package clientauth

import (
	"crypto/x509"
	"time"
)

const (
	// soonest is the longest time before its end in which a certificate ends soon, and
	// lastPart one part of its life in so many, for one that is renewed each day.
	soonest  = 7 * 24 * time.Hour
	lastPart = 10
)

// EndsSoon returns when the first certificate of a chain ends, and whether that is so soon
// that it should have been renewed: since is from when on it was.
func EndsSoon(chain []*x509.Certificate, now time.Time) (ends, since time.Time, soon bool) {
	for _, c := range chain {
		if ends.IsZero() || c.NotAfter.Before(ends) {
			ends = c.NotAfter
			since = ends.Add(-min(soonest, ends.Sub(c.NotBefore)/lastPart))
		}
	}
	return ends, since, !ends.IsZero() && now.After(since)
}
