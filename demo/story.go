package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// story is what the scenes hand on to each other.
type story struct {
	*teller

	alice, bob string // their login's tokens
	ticket     string // the last one
	rpt        string // bob's, for viewing album 1
	unseen     string // one of alice's, that the gateway has never seen
}

// tell tells the story, scene by scene. The error is that something was not as
// told, or could not be done at all.
func tell(ctx context.Context, w *world, p *printer) error {
	s := &story{teller: newTeller(w, p)}
	var err error
	if s.alice, err = s.login(ctx, "alice"); err != nil {
		return err
	}
	if s.bob, err = s.login(ctx, "bob"); err != nil {
		return err
	}
	for _, scene := range []func(context.Context) error{
		s.public, s.noToken, s.notShared, s.share, s.granted, s.permitted,
		s.wrongScope, s.otherAlbum, s.forged, s.tricks, s.outage, s.back,
	} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	return s.end()
}

func (s *story) public(ctx context.Context) error {
	s.print.scene("Some things are public.", "The configuration says so of this path, and of no other.")
	x, err := s.ask(ctx, "anyone", http.MethodGet, "/healthz", "")
	s.expectStatus(x, http.StatusOK)
	return err
}

func (s *story) noToken(ctx context.Context) error {
	s.print.scene("Bob asks for Alice's album, without a token.",
		"The gateway gets a permission ticket for exactly this from the AS, and tells Bob's application where to go with it.")
	x, err := s.ask(ctx, "bob", http.MethodGet, "/albums/1", "")
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusUnauthorized)
	params := s.challenge(x)
	s.expect(params["error"] == "", "no token: error %q", params["error"])
	s.ticket = params["ticket"]
	return nil
}

func (s *story) notShared(ctx context.Context) error {
	s.print.scene("Bob's application trades the ticket. Alice has not shared the album.",
		"The AS gives no token. It has asked Alice.")
	x, err := s.trade(ctx, "bob", s.ticket, s.bob)
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusForbidden)
	s.expect(x.answered("error") == "request_submitted", "the AS says %q", x.answered("error"))
	if next := x.answered("ticket"); next != "" {
		s.ticket = next
	}
	return nil
}

func (s *story) share(context.Context) error {
	s.print.scene("Alice shares album 1 with Bob, for viewing.", "She does it at the AS. Neither the API nor the gateway takes part.")
	waiting := s.world.as.Requests()
	if len(waiting) != 1 {
		s.expect(false, "%d requests wait for alice", len(waiting))
		return nil
	}
	r := waiting[0]
	s.expect(r.Owner == "alice" && r.Subject == "bob" && strings.Join(r.Scopes, " ") == "view", "what waits for alice: %+v", r)
	if err := s.world.as.Answer(r.ID, true); err != nil {
		return fmt.Errorf("alice's answer: %w", err)
	}
	s.print.act("alice → AS", "approves: bob may view album-1")
	return nil
}

func (s *story) granted(ctx context.Context) error {
	s.print.scene("Bob's application trades its ticket again, and gets a token.",
		"An RPT, a requesting party token: it stands for what Bob may do with what Alice shared.")
	x, err := s.trade(ctx, "bob", s.ticket, s.bob)
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusOK)
	s.rpt = x.answered("access_token")
	s.expect(s.rpt != "", "no RPT")
	return nil
}

func (s *story) permitted(ctx context.Context) error {
	s.print.scene("With the RPT, Bob sees the album.",
		"The gateway asks the AS about the token once, and remembers the answer. The API gets to know who asks, in headers that only the gateway can set.")
	before := s.world.as.Count("introspection")
	for range 2 {
		x, err := s.ask(ctx, "bob", http.MethodGet, "/albums/1", s.rpt)
		if err != nil {
			return err
		}
		s.expectStatus(x, http.StatusOK)
		s.expect(x.sawHeader("x-uma-subject") == "bob", "x-uma-subject: %q", x.sawHeader("x-uma-subject"))
		s.expect(x.sawHeader("x-uma-scopes") == "view", "x-uma-scopes: %q", x.sawHeader("x-uma-scopes"))
		s.expect(strings.Contains(string(x.body), "Lofoten"), "the album: %.100s", x.body)
	}
	s.expect(s.world.as.Count("introspection") == before+1, "introspections for two requests: %d", s.world.as.Count("introspection")-before)
	return nil
}

func (s *story) wrongScope(ctx context.Context) error {
	s.print.scene("Bob tries to delete the album. He may only view it.",
		"The answer has a new ticket, for the right that is missing: with it, Bob could ask Alice.")
	x, err := s.ask(ctx, "bob", http.MethodDelete, "/albums/1", s.rpt)
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusUnauthorized)
	s.expect(s.challenge(x)["error"] == "insufficient_scope", "a token for viewing deletes: %q", s.challenge(x)["error"])
	return nil
}

func (s *story) otherAlbum(ctx context.Context) error {
	s.print.scene("Nor is the token good for Alice's other album.", "A permission is for one resource.")
	x, err := s.ask(ctx, "bob", http.MethodGet, "/albums/2", s.rpt)
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusUnauthorized)
	s.challenge(x)
	return nil
}

func (s *story) forged(ctx context.Context) error {
	s.print.scene("Bob says that he is Alice.", "Whatever a client sends under x-uma- is removed, however it is spelled, on public paths, too.")
	x, err := s.ask(ctx, "bob", http.MethodGet, "/albums/1", s.rpt, [2]string{"x-uma-subject", "alice"}, [2]string{"X_Uma_Subject", "alice"})
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusOK)
	s.expect(x.sawHeader("x-uma-subject") == "bob" && x.sawHeader("X_Uma_Subject") == "", "x-uma-subject: %q", x.sawHeader("x-uma-subject"))
	x, err = s.ask(ctx, "anyone", http.MethodGet, "/healthz", "", [2]string{"x-uma-subject", "alice"})
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusOK)
	s.expect(x.sawHeader("x-uma-subject") == "", "on a public path, x-uma-subject: %q", x.sawHeader("x-uma-subject"))
	return nil
}

func (s *story) tricks(ctx context.Context) error {
	s.print.scene("Bob tries paths that two programs may read differently.",
		"With his RPT for album 1. A gateway that is easily fooled would judge album 1, and the API would serve album 2. Here, what is ambiguous is refused, and the API sees none of it.")
	for _, target := range []string{"/albums/1/..;/2", "/albums/1/../2", "/albums/1/%2e%2e/2", "/albums/1%2f..%2f2", "/albums//1", `/albums/1\..\2`} {
		x, err := s.do(ctx, request{
			who: "bob", to: toGateway, method: http.MethodGet, target: target, brief: true,
			header: [][2]string{{"Authorization", "Bearer " + s.rpt}},
		})
		if err != nil {
			return err
		}
		s.expectStatus(x, http.StatusBadRequest)
	}
	s.print.line("")
	return nil
}

func (s *story) outage(ctx context.Context) error {
	// Alice's application gets a token for her own album, and does not use it yet.
	var err error
	if s.unseen, err = s.quietRPT(ctx, "alice", s.alice, "/albums/1"); err != nil {
		return err
	}
	s.print.scene("The authorization server goes down.",
		"Who was recognised a moment ago still is. A token that the gateway has never seen cannot be verified: 503. Without a token there is no ticket to be had: 403, with the Warning that UMA asks for. Nothing passes by accident.")
	s.world.stopAS()
	s.print.act("AS", "is gone")
	for _, step := range []struct {
		who, token string
		status     int
	}{{"bob", s.rpt, http.StatusOK}, {"alice", s.unseen, http.StatusServiceUnavailable}, {"bob", "", http.StatusForbidden}} {
		x, err := s.ask(ctx, step.who, http.MethodGet, "/albums/1", step.token)
		if err != nil {
			return err
		}
		s.expectStatus(x, step.status)
		if step.status == http.StatusForbidden {
			s.expect(strings.HasPrefix(x.answer.Get("Warning"), "199 - "), "Warning: %q", x.answer.Get("Warning"))
		}
	}
	return nil
}

func (s *story) back(ctx context.Context) error {
	s.print.scene("It comes back, and everything goes on.", "Alice's token, refused a moment ago, is asked about again: a failure is never remembered.")
	stop, err := s.world.as.Start(ctx)
	if err != nil {
		return err
	}
	s.world.stopAS = stop
	if err := s.untilBack(ctx); err != nil {
		return err
	}
	s.print.act("AS", "is back")
	x, err := s.ask(ctx, "alice", http.MethodGet, "/albums/1", s.unseen)
	if err != nil {
		return err
	}
	s.expectStatus(x, http.StatusOK)
	s.expect(x.sawHeader("x-uma-subject") == "alice", "x-uma-subject: %q", x.sawHeader("x-uma-subject"))
	if x, err = s.ask(ctx, "bob", http.MethodGet, "/albums/2", ""); err != nil {
		return err
	}
	s.expectStatus(x, http.StatusUnauthorized)
	s.challenge(x)
	return nil
}

// untilBack waits until the gateway reaches the AS again: it may find out only with
// a call that a connection of before is gone.
func (s *story) untilBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("the gateway does not reach the AS again"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := s.quietTicket(ctx, "/albums/1"); err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// quietTicket asks without a token, and prints nothing.
func (s *story) quietTicket(ctx context.Context, target string) (string, error) {
	quiet := &teller{world: s.world, print: newPrinter(discard{}), http: s.http}
	x, err := quiet.ask(ctx, "", http.MethodGet, target, "")
	if err != nil {
		return "", err
	}
	ticket := quiet.challenge(x)["ticket"]
	if ticket == "" {
		return "", fmt.Errorf("GET %s: %d: %w", target, x.status, ErrNotAsTold)
	}
	return ticket, nil
}

// quietRPT gets an RPT, and prints nothing.
func (s *story) quietRPT(ctx context.Context, who, token, target string) (string, error) {
	ticket, err := s.quietTicket(ctx, target)
	if err != nil {
		return "", err
	}
	quiet := &teller{world: s.world, print: newPrinter(discard{}), http: s.http}
	x, err := quiet.trade(ctx, who, ticket, token)
	if err != nil {
		return "", err
	}
	if rpt := x.answered("access_token"); rpt != "" {
		return rpt, nil
	}
	return "", fmt.Errorf("an RPT for %s: %d %s: %w", who, x.status, x.body, ErrNotAsTold)
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
