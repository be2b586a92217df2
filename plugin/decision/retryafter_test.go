package decision_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

func busy(status int, retryAfter string) decision.Response {
	return decision.Response{Status: status, RetryAfter: retryAfter}
}

// TestRetryAfter: the AS is left alone as long as it wants, 10 minutes at most, and
// the client is told how long.
func TestRetryAfter(t *testing.T) {
	date := func(at time.Time) string { return at.UTC().Format(http.TimeFormat) }
	tests := []struct {
		name, header string
		status       int
		told         int // seconds, by the answer
		quiet        time.Duration
	}{
		{"seconds", "30", 429, 30, 30 * time.Second},
		{"503", "30", 503, 30, 30 * time.Second},
		{"a date", date(began.Add(90 * time.Second)), 429, 90, 90 * time.Second},
		{"a date in another year", date(began.AddDate(1, 2, 0)), 429, 600, 10 * time.Minute},
		{"a date that was", date(began.Add(-time.Second)), 429, 5, 0},
		{"a year", strconv.Itoa(365 * 24 * 3600), 429, 600, 10 * time.Minute},
		{"more than a number holds", "99999999999999999999999999", 429, 600, 10 * time.Minute},
		{"one second", "1", 429, 5, time.Second},
		{"none", "", 429, 5, 0},
		{"0", "0", 429, 5, 0},
		{"before now", "-1", 429, 5, 0},
		{"a fraction", "1.5", 429, 5, 0},
		{"a word", "later", 429, 5, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			x, step := h.start(ask("GET", "/albums/1", "token"))
			require.Equal(t, "call introspection", outcome(x, step))
			step = h.worker.Reply(step.Call.ID, busy(tt.status, tt.header), h.now)[0].Step
			require.Equal(t, "503 as_busy", outcome(x, step))
			require.Equal(t, strconv.Itoa(tt.told), value(t, step.Deny.Headers, "retry-after"))
			if tt.quiet > 0 {
				h.after(tt.quiet - time.Millisecond)
				x, step = h.start(ask("GET", "/albums/1", "another"))
				require.Equal(t, "503 as_busy", outcome(x, step), "the AS is left alone")
			}
			h.after(time.Millisecond)
			x, step = h.start(ask("GET", "/albums/1", "another"))
			require.Equal(t, "call introspection", outcome(x, step), "and asked again")
		})
	}
}

// TestRetryAfterAndAClockSetBack: the AS is left alone no longer than it can ask for,
// also when the clock of before was ahead by years.
func TestRetryAfterAndAClockSetBack(t *testing.T) {
	h := newHarness(t)
	_, step := h.start(ask("GET", "/albums/1", "token"))
	h.worker.Reply(step.Call.ID, busy(429, "60"), h.now)
	h.after(-time.Second)
	x, step := h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "503 as_busy", outcome(x, step))
	require.Equal(t, "61", value(t, step.Deny.Headers, "retry-after"))
	h.after(-10 * time.Minute)
	x, step = h.start(ask("GET", "/albums/1", "token"))
	require.Equal(t, "call introspection", outcome(x, step))
}

// TestRetryAfterDates compares the filter's reading of a date with net/http's, all
// over a century.
func TestRetryAfterDates(t *testing.T) {
	h := newHarness(t)
	for at := time.Date(2001, 1, 1, 0, 0, 1, 0, time.UTC); at.Year() < 2100; at = at.Add(73*time.Hour + 61*time.Second) {
		h.now = at
		x, step := h.start(ask("GET", "/albums/1", "token"))
		step = h.worker.Reply(step.Call.ID, busy(429, at.Add(100*time.Second).Format(http.TimeFormat)), h.now)[0].Step
		require.Equal(t, "503 as_busy", outcome(x, step))
		require.Equal(t, "100", value(t, step.Deny.Headers, "retry-after"), "%s", at)
	}
}

// TestRetryAfterOfOneEndpoint: what is asked of one endpoint says nothing of the
// other, and what is known is used meanwhile.
func TestRetryAfterOfOneEndpoint(t *testing.T) {
	h := newHarness(t, func(c *config.Config) { c.Sites[0].Token.MaxTTLMS = 300_000 })
	h.decide(ask("GET", "/albums/1", "known"), viewR1)

	_, step := h.start(ask("GET", "/albums/1", ""))
	require.Equal(t, decision.PurposeTicket, step.Call.Purpose)
	x := h.worker.Reply(step.Call.ID, busy(429, "60"), h.now)[0]
	require.Equal(t, "403 no_ticket", outcome(x.Exchange, x.Step))
	require.Equal(t, "60", value(t, x.Step.Deny.Headers, "retry-after"))
	require.NotEmpty(t, value(t, x.Step.Deny.Headers, "warning"))

	h.after(20*time.Second + time.Millisecond)
	y, step := h.start(ask("GET", "/albums/1", ""))
	require.Equal(t, "403 no_ticket", outcome(y, step), "no ticket is asked for")
	require.Equal(t, "40", value(t, step.Deny.Headers, "retry-after"))
	y, step = h.start(ask("GET", "/albums/1", "new"))
	require.Equal(t, "call introspection", outcome(y, step), "tokens are verified")
	last := h.worker.Reply(step.Call.ID, busy(429, "60"), h.now)[0].Step
	require.Equal(t, "503 as_busy", outcome(y, last))

	y, step = h.start(ask("GET", "/albums/1", "known"))
	require.Equal(t, "allow permitted", outcome(y, step))
	h.after(40 * time.Second)
	y, step = h.start(ask("PUT", "/albums/1", "known"))
	require.Equal(t, "call permission", outcome(y, step), "a lack of rights is believed, as the AS is not to be asked whether there are more")
	require.Empty(t, value(t, h.reply(step, 201, `{"ticket":"t1"}`).Deny.Headers, "retry-after"))
}
