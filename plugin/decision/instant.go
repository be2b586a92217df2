package decision

import "time"

// instant is a moment in what a worker keeps, in nanoseconds since 1970; zero is
// none. A time.Time there would link all of its texts and time zones into the
// filter, as whatever an interface leads to, and every Envoy would compile them.
type instant int64

func at(t time.Time) instant { return instant(t.UnixNano()) }

// since is how long ago an instant was.
func since(i instant, now time.Time) time.Duration { return time.Duration(at(now) - i) }

// before reports whether an instant is still to come.
func before(now time.Time, i instant) bool { return at(now) < i }
