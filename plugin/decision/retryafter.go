package decision

import (
	"strings"
	"time"
)

// maxRetryAfter bounds how long an AS is left alone because it asks for it, in seconds.
const maxRetryAfter = 600

// noteRetryAfter notes how long the AS wants no call for this purpose. Calls for the other go
// on: who makes it run out of tickets must not keep tokens from being verified.
func (c *call) noteRetryAfter(r Response, now int64) {
	if c.purpose.ToAS() && (r.Status == 429 || r.Status == 503) {
		until := &c.state.retryAt[c.purpose]
		*until = max(*until, now+retryAfter(r.RetryAfter, now))
	}
}

// retryLater reports whether no call for a purpose may be made now. x.pause is how
// many seconds, which the client is told.
func (x *Exchange) retryLater(p Purpose, now time.Time) bool {
	x.pause = x.state.pause(p, now)
	return x.pause > 0
}

// pause is how many seconds no call for a purpose may be made. More than an AS can ask
// for is of a clock that was set back, and nothing.
func (m *siteState) pause(p Purpose, now time.Time) int64 {
	if pause := m.retryAt[p] - now.Unix(); pause <= maxRetryAfter {
		return pause
	}
	return 0
}

// retryAfter reads a Retry-After, seconds or a date (RFC 9110 section 10.2.3), as
// seconds; what it cannot read is 0.
func retryAfter(s string, now int64) int64 {
	if at := parseDate(s); at != 0 {
		return min(max(at-now, 0), maxRetryAfter)
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0
		}
		n = min(n*10+int64(s[i]-'0'), maxRetryAfter)
	}
	return n
}

// parseDate reads an IMF-fixdate of this century, "Sun, 06 Nov 2044 08:49:37 GMT". A
// text of another length is no date; another wrong text gives some date, which is
// bounded as any is. Package time would cost 10 KB more for Envoy to compile.
func parseDate(s string) int64 {
	const months = "MarAprMayJunJulAugSepOctNovDecJanFeb" // a leap day comes last
	if len(s) != len("Sun, 06 Nov 2044 08:49:37 GMT") || s[12:14] != "20" {
		return 0
	}
	month, year := int64(strings.Index(months, s[8:11])/3), digits(s[14:])
	if month >= 10 {
		year--
	}
	days := 365*year + year/4 + (153*month+2)/5 + digits(s[5:]) + march2000
	return ((days*24+digits(s[17:]))*60+digits(s[20:]))*60 + digits(s[23:])
}

// march2000 is how many days 29 February 2000 is after 1970 began.
const march2000 = 11016

func digits(s string) int64 { return int64(s[0]-'0')*10 + int64(s[1]-'0') }
