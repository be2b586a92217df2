package decision_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/plugin/config"
	"github.com/umagate/umagate/plugin/decision"
)

// transition is one way from a state to the next. event is the code of a reason, or the
// words of the table.
type transition struct{ state, event, next string }

// stateTable reads the table in the package comment: one transition for each code of a row,
// or for its words where it has none.
func stateTable(t *testing.T) map[transition]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	require.NoError(t, err)
	codes := map[string]bool{}
	for r := range decision.Reasons {
		codes[r.String()] = true
	}
	columns, word := regexp.MustCompile(`^\t(.+?) {2,}(.+?) {2,}(.+)$`), regexp.MustCompile(`[a-z_]+`)
	table := map[transition]bool{}
	for line := range strings.Lines(file.Doc.Text()) {
		row := columns.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if row == nil || row[1] == "state" {
			continue
		}
		prose := true
		for _, w := range word.FindAllString(row[2], -1) {
			if codes[w] {
				prose = false
				table[transition{row[1], w, row[3]}] = true
			}
		}
		if prose {
			table[transition{row[1], row[2], row[3]}] = true
		}
	}
	require.NotEmpty(t, table)
	return table
}

// permits reports whether the table has a transition. A row in words stands for any code.
func permits(table map[transition]bool, is transition) bool {
	for row := range table {
		if row.state != is.state {
			continue
		}
		if row.next == "as from begin" && permits(table, transition{"begin", is.event, is.next}) {
			return true
		}
		if row.next == is.next && (row.event == is.event || strings.Contains(row.event, " ") || is.event == "") {
			return true
		}
	}
	return false
}

var callStates = [decision.Purposes]string{"introspecting", "ticketing", "evaluating", "looking up", "looking up", "looking up", "keying", "listing"}

// walked is the transition to a step; the code of one to a call is not known yet.
func walked(state string, x *decision.Exchange, step decision.Step) transition {
	switch code := x.Decision().Reason.String(); step.Kind {
	case decision.KindAllow:
		return transition{state, code, "Allow"}
	case decision.KindDeny:
		return transition{state, code, fmt.Sprintf("Deny %d", step.Deny.Status)}
	case decision.KindCall, decision.KindFetch:
		return transition{state, "", callStates[step.Call.Purpose]}
	case decision.KindRead:
		return transition{state, "", "reading"}
	}
	return transition{}
}

// TestStateTable takes every transition of the table, and has none that is not in it.
func TestStateTable(t *testing.T) {
	table := stateTable(t)
	open := map[transition]bool{}
	for row := range table {
		open[row] = true
	}
	for _, w := range walks() {
		name := w.state + "/" + w.event + "/" + w.next
		t.Run(name, func(t *testing.T) {
			require.True(t, table[w.transition], "the table has no row %q", name)
			delete(open, w.transition)
			h := newHarness(t, w.change...)
			if w.before != nil {
				w.before(h)
			}
			x, step := h.start(w.request)
			is := walked("begin", x, step)
			if w.meanwhile != nil {
				w.meanwhile(h)
			}
			for _, r := range w.answers {
				h.worker.Bound(1)
				if step.Kind == decision.KindRead {
					step = h.worker.Read(x, r.Body, false, h.now)
					is = walked(is.next, x, step)
					continue
				}
				state, outcomes := is.next, h.worker.Reply(step.Call.ID, r, h.now)
				is = transition{state, "", state} // until its turn comes
				for _, o := range outcomes {
					if o.Exchange == x {
						step = o.Step
						is = walked(state, x, step)
					}
				}
			}
			require.Equal(t, w.state, is.state)
			if w.next == "as from begin" {
				require.True(t, permits(table, transition{"begin", is.event, is.next}))
				return
			}
			require.Equal(t, w.next, is.next)
			if w.next == "ticketing" { // the answer has the code
				h.worker.Bound(1)
				outcomes := h.worker.Reply(step.Call.ID, answer(201, `{"ticket":"t"}`), h.now)
				require.Len(t, outcomes, 1)
				is.event = x.Decision().Reason.String()
			}
			if !strings.Contains(w.event, " ") {
				require.Equal(t, w.event, is.event)
			}
		})
	}
	require.Empty(t, open, "no walk takes these rows")
}

// TestStateTableHasAll makes requests and answers at random, and looks for a transition
// that the table has not.
func TestStateTableHasAll(t *testing.T) {
	table, random := stateTable(t), rand.New(rand.NewPCG(1, 2))
	configurations := [][]func(*config.Config){
		{owned()},
		{owned(), hinted},
		{owned(), revoke(config.Revocations{Subjects: digests("eve", hour, 0)})},
		{owned(), hinted, revoke(config.Revocations{Subjects: digests("eve", hour, 0), Tokens: digests("t2", hour, 0)})},
		{scopesOnly},
		{owned(), unknownAS},
		{owned(authenticatedPaths)},
		{owned(narrow)},
		{owned(), hinted, briefly, revoke(config.Revocations{Subjects: digests("eve", hour, 0)})},
		{owned(narrow), briefly},
		{owned(), evaluating},
		{owned(narrow), hinted, evaluating, briefly},
		{owned(), hinted, evaluating, revoke(config.Revocations{Subjects: digests("eve", hour, 0)})},
		{owned(authenticatedPaths), hinted, evaluating, bearerChallenge},
		{owned(), byTicket},
		{owned(narrow), apart, briefly, bearerChallenge},
		{owned(), hinted, asking, bearerChallenge},
		{owned(), hinted, byTicket, revoke(config.Revocations{Subjects: digests("eve", hour, 0)})},
	}
	paths := []string{"/albums/1", "/boxes/7", "/boxes/8", "/boxes/" + strings.Repeat("x", 200), "/reports/1", "/drafts", "/healthz", "/nothing", "/a/../b", "/watched/1", "/guests"}
	answers := []decision.Response{
		{},
		busy(429, "30"), answer(500, ""), answer(401, ""), answer(404, ""), answer(200, viewR1), answer(200, unknown), answer(200, whose), answer(200, anonymous),
		answer(200, `{"active":true,"exp":1}`), answer(200, `{"active":true,"scope":"view"}`), answer(201, `{"ticket":"t"}`), answer(200, `{"resource_id":"r1"}`), answer(200, "{"),
		answer(200, granted), answer(200, "[]"), answer(403, notAuthorized), answer(403, submitted), answer(403, `{"error":"need_info"}`), answer(400, badToken), answer(400, noResource),
		answer(200, issuedRPT), answer(200, bobs), answer(200, inspected), answer(403, `{"error":"request_submitted","ticket":"t2","interval":1}`),
	}
	for range 300 {
		h := newHarness(t, configurations[random.IntN(len(configurations))]...)
		type waiting struct {
			x    *decision.Exchange
			from transition
			step decision.Step
		}
		var waits []waiting
		next := func(x *decision.Exchange, from transition, step decision.Step) {
			is := walked(from.next, x, step)
			if is.next == "Allow" && !x.Decision().Reason.Allows() {
				return // monitor
			}
			require.True(t, permits(table, is), "the table has no row %q", is)
			if step.Kind == decision.KindCall {
				waits = append(waits, waiting{x, is, step})
			} else if from.next == "ticketing" && step.Deny.Status == 401 {
				from.event = x.Decision().Reason.String()
				require.True(t, permits(table, from), "the table has no row %q", from)
			}
		}
		for range 30 {
			if len(waits) == 0 || random.IntN(3) > 0 {
				x, step := h.start(ask([]string{"GET", "PUT", "DELETE", "CONNECT"}[min(3, random.IntN(20)/6)], paths[random.IntN(len(paths))], []string{"", "t1", "t2", jwt(`{"sub":"bob","authorization":{}}`)}[random.IntN(4)]))
				next(x, transition{next: "begin"}, step)
				continue
			}
			i := random.IntN(len(waits))
			outcomes := h.worker.Reply(waits[i].step.Call.ID, answers[random.IntN(len(answers))], h.now)
			for _, o := range outcomes {
				for j, w := range waits {
					if w.x == o.Exchange {
						waits = append(waits[:j:j], waits[j+1:]...)
						next(o.Exchange, w.from, o.Step)
						break
					}
				}
			}
			h.after(time.Duration(random.IntN(2000)) * time.Millisecond)
		}
	}
}

func scopesOnly(c *config.Config) {
	c.Sites[0].Require, c.Sites[0].AuthorizationServer.Permission = config.RequireOAuthScopes, nil
}

func unknownAS(c *config.Config) {
	c.Sites[0].AuthorizationServer = config.AuthorizationServer{Unknown: true}
}

func authenticatedPaths(s *config.Site) { s.Unmatched = config.UnmatchedAuthenticated }

// briefly believes a token for a moment, and longer in an outage.
func briefly(c *config.Config) { c.Sites[0].Token.MaxTTLMS, c.Sites[0].Token.StaleMS = 500, 5_000 }

// narrow has room for little.
func narrow(s *config.Site) {
	s.Limits.CallsInFlight, s.Limits.TicketsPerSecond, s.Limits.TicketBurst, s.Limits.WaitingRequests = 2, 1, 1, 3
	s.Instances.LookupsInFlight = 1
}
