package decision

import (
	"time"

	"github.com/umagate/umagate/plugin/config"
)

// bucket is a token bucket for permission requests.
type bucket struct {
	level  float64
	filled instant
}

// take takes one, and tells whether there was one.
func (b *bucket) take(now time.Time, l config.Limits) bool {
	burst := float64(l.TicketBurst)
	if b.filled == 0 {
		b.level = burst
	} else if passed := since(b.filled, now).Seconds(); passed > 0 {
		b.level = min(burst, b.level+passed*float64(l.TicketsPerSecond))
	}
	b.filled = at(now)
	if b.level < 1 {
		return false
	}
	b.level--
	return true
}

// tokenBudgets are buckets that tokens share by their hash: each has one, and their
// number is bounded. Only tokens that the AS has called good take from them, so that
// nobody chooses with whom to share.
type tokenBudgets []bucket

const tokenBuckets = 512

func (b *tokenBudgets) take(token string, now time.Time, l config.Limits) bool {
	if *b == nil {
		*b = make(tokenBudgets, tokenBuckets)
	}
	return (*b)[hashOf(token)%tokenBuckets].take(now, l)
}

// hashOf is FNV-1a.
func hashOf(s string) uint32 {
	hash := uint32(2166136261)
	for i := range len(s) {
		hash = (hash ^ uint32(s[i])) * 16777619
	}
	return hash
}

// appendForm appends one field of application/x-www-form-urlencoded.
func appendForm(dst []byte, name, value string) []byte {
	if len(dst) > 0 {
		dst = append(dst, '&')
	}
	dst = append(dst, name...)
	dst = append(dst, '=')
	for i := range len(value) {
		c := value[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9', c == '-', c == '.', c == '_', c == '~':
			dst = append(dst, c)
		default:
			dst = appendPercent(dst, c)
		}
	}
	return dst
}

// appendPercent appends one byte in percent-encoding (RFC 3986 section 2.1).
func appendPercent(dst []byte, c byte) []byte {
	const hex = "0123456789ABCDEF"
	return append(dst, '%', hex[c>>4], hex[c&15])
}
