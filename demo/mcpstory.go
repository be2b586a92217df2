package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// alicesAlbums is the resource that the story is about.
const alicesAlbums = "alice's albums"

// agentStory is the story of an agent: what its scenes hand on to each other.
type agentStory struct {
	*teller

	agent    *agent
	waits    string    // the request that waits for alice's word
	approved time.Time // when she approved
	events   [][3]string
}

// tellMCP tells the story of an agent that asks for tools, and of the owner who decides.
func tellMCP(ctx context.Context, w *world, p *printer) error {
	bob, err := newPerson("bob")
	if err != nil {
		return err
	}
	s := &agentStory{teller: newTeller(w, p), agent: &agent{user: bob, wire: &wire{gateway: w.gateway.address(), as: w.as.Address()}}}
	defer func() {
		if s.agent.session != nil {
			_ = s.agent.session.Close()
		}
	}()
	for _, scene := range []func(context.Context) error{s.discover, s.refused, s.approve, s.stillRefused, s.takeBack} {
		if err := scene(ctx); err != nil {
			return err
		}
	}
	p.told("What happened", s.events)
	return s.end()
}

// discover: the agent has a URL, and ends with a session and a list of tools.
func (s *agentStory) discover(ctx context.Context) error {
	s.print.scene("Bob gives his agent one URL, "+s.world.url()+".",
		"The agent speaks OAuth, as every MCP client does. It finds the authorization server by the challenge (RFC 9728), registers there, and sends Bob to log in. His login says who he is, and no more.")
	if err := s.agent.connect(ctx, s.world.url()); err != nil {
		return err
	}
	list, err := s.agent.session.ListTools(ctx, nil)
	if err != nil {
		return fmt.Errorf("the agent lists the tools: %w", err)
	}
	messages := s.agent.wire.take()
	for _, m := range messages {
		if m.what != http.MethodGet+" "+mcpPath { // the stream of events, which comes when it comes
			s.print.message(m)
		}
	}
	s.count += len(messages)
	s.expect(len(messages) > 0 && messages[0].status == http.StatusUnauthorized, "the first request is let pass")
	s.expect(s.agent.logins == 1, "bob logs in %d times", s.agent.logins)
	s.expect(len(list.Tools) == 2, "the server shows %d tools", len(list.Tools))
	s.print.line("")
	s.print.act("agent", "sees two tools, "+getAlbum+" and "+deleteAlbum)
	return nil
}

// refused: the tool is alice's to allow, and she is asked.
func (s *agentStory) refused(ctx context.Context) error {
	s.print.scene("It calls a tool. The albums are Alice's, and she has not been asked yet.",
		"OAuth would ask Bob, once, for everything. Here the authorization server asks Alice, for this.")
	if err := s.asksOwner(ctx, getAlbum); err != nil {
		return err
	}
	s.events = append(s.events, [3]string{"bob's agent", "asked for " + getAlbum, "refused, and alice was asked"})
	s.waits = s.waiting("view")
	return nil
}

// waiting looks for what waits for alice, and returns its id.
func (s *agentStory) waiting(scope string) string {
	for _, r := range s.world.as.Requests() {
		if strings.Join(r.Scopes, " ") == scope {
			s.expect(r.Owner == "alice" && r.Subject == "bob", "what waits for alice: %+v", r)
			s.print.act("waits for alice", fmt.Sprintf("may %s %s %s?", r.Subject, scope, alicesAlbums))
			return r.ID
		}
	}
	s.expect(false, "nobody asks alice for %q", scope)
	return ""
}

// approve: alice says yes, and the next call passes with the token that was refused.
func (s *agentStory) approve(ctx context.Context) error {
	s.print.scene("Alice approves, at the authorization server. The same call passes.",
		"Nobody logs in again, and the agent's token is the same. Neither the agent nor the MCP server takes part.")
	if s.waits == "" {
		return nil
	}
	s.approved = time.Now()
	if err := s.world.as.Answer(s.waits, true); err != nil {
		return fmt.Errorf("alice's answer: %w", err)
	}
	s.print.act("alice → AS", "approves: bob may view "+alicesAlbums)
	text, err := s.until(ctx, getAlbum, func(refusal string) bool { return refusal == "" })
	if err != nil {
		return err
	}
	took := time.Since(s.approved)
	s.print.act("", fmt.Sprintf("%.2f s after she approved: %q", took.Seconds(), text))
	s.expect(strings.HasSuffix(text, "(for bob)"), "the tool says %q", text)
	s.expect(s.agent.logins == 1, "bob logs in %d times", s.agent.logins)
	s.events = append(s.events, [3]string{"alice", "approved: bob may view", fmt.Sprintf("the call passed %.2f s later", took.Seconds())})
	return nil
}

// stillRefused: what alice approved is one right.
func (s *agentStory) stillRefused(ctx context.Context) error {
	s.print.scene("It calls another tool. Alice has not approved that one.",
		"To view is one right, and to delete another. The MCP server sees nothing of the call.")
	if err := s.asksOwner(ctx, deleteAlbum); err != nil {
		return err
	}
	if id := s.waiting("delete"); id != "" {
		if err := s.world.as.Answer(id, false); err != nil {
			return fmt.Errorf("alice's answer: %w", err)
		}
		s.print.act("alice → AS", "says no")
	}
	s.events = append(s.events, [3]string{"bob's agent", "asked for " + deleteAlbum, "refused; alice was asked, and said no"})
	return nil
}

// takeBack: alice ends what she allowed, while the agent is at work.
func (s *agentStory) takeBack(ctx context.Context) error {
	s.print.scene("The agent is at work, a call every tenth of a second. Alice takes it back.",
		"The agent still has its token, and the token is still good. What ends is the permission.")
	if s.waits == "" {
		return nil
	}
	if _, err := s.until(ctx, getAlbum, func(refusal string) bool { return refusal == "" }); err != nil {
		return err
	}
	for _, policy := range s.world.as.Policies() {
		if strings.Join(policy.Scopes, " ") == "view" {
			s.world.as.Forbid(policy.ID)
		}
	}
	took := time.Now()
	s.print.act("alice → AS", "takes it back")
	before := s.world.tools.called(getAlbum)
	if _, err := s.until(ctx, getAlbum, func(refusal string) bool { return refusal != "" }); err != nil {
		return err
	}
	ended := time.Since(took)
	s.print.act("", fmt.Sprintf("%.2f s after she took it back, and after %d more calls: refused.", ended.Seconds(), s.world.tools.called(getAlbum)-before))
	s.expect(s.world.tools.called(deleteAlbum) == 0, "the MCP server was called to delete")
	s.events = append(s.events, [3]string{"alice", "took it back", fmt.Sprintf("the calls were refused %.2f s later", ended.Seconds())})
	return nil
}

// asksOwner calls a tool once, which is to be refused, and its owner asked.
func (s *agentStory) asksOwner(ctx context.Context, tool string) error {
	calls := s.world.tools.called(tool)
	_, refusal, err := s.agent.call(ctx, tool)
	if err != nil {
		return err
	}
	s.show(refusal)
	s.expect(strings.HasPrefix(refusal, "request_submitted:"), "%s: %q", tool, refusal)
	s.expect(s.world.tools.called(tool) == calls, "%s: the MCP server was called", tool)
	return nil
}

// until calls a tool ten times a second until what the agent is told is enough.
func (s *agentStory) until(ctx context.Context, tool string, enough func(refusal string) bool) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New(tool+" is answered as before"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		text, refusal, err := s.agent.call(ctx, tool)
		if err != nil {
			return "", errors.Join(err, context.Cause(ctx))
		}
		if enough(refusal) {
			s.show(refusal)
			return text, nil
		}
		s.agent.wire.take()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// show prints the last exchange, and what the agent was told.
func (s *agentStory) show(refusal string) {
	messages := s.agent.wire.take()
	for _, m := range slices.Backward(messages) {
		if strings.Contains(m.what, "tools/call") {
			s.count++
			s.print.message(m)
			break
		}
	}
	if refusal != "" {
		s.print.header("the agent is told", refusal)
		s.print.line(indent + s.print.in(dim, "the MCP server saw nothing of it"))
		s.print.line("")
	}
}

// message prints what went over the wire, in a line, with what matters of it.
func (p *printer) message(m message) {
	if m.status == 0 {
		p.line("    " + p.in(cyan, fmt.Sprintf("%-18s", m.who+" → "+m.to)) + m.what)
		return
	}
	method, rest, _ := strings.Cut(m.what, " ")
	p.line("    " + p.in(cyan, fmt.Sprintf("%-18s", m.who+" → "+m.to)) + p.in(bold, method) +
		fmt.Sprintf(" %-*s", width-42-len(method), rest) + p.in(cyan, "← ") + p.status(m.status))
	for _, value := range m.answer.Values("WWW-Authenticate") {
		value, metadata, found := strings.Cut(value, "resource_metadata=")
		p.header("WWW-Authenticate", strings.TrimRight(value, " "))
		if found { // whole, as it is the way to go
			p.line(strings.Repeat(" ", 16) + "resource_metadata=" + metadata)
		}
	}
	var document struct {
		Servers []string `json:"authorization_servers"`
	}
	if json.Unmarshal(m.body, &document) == nil && len(document.Servers) > 0 {
		p.header("authorization_servers", strings.Join(document.Servers, " "))
	}
}

// told prints who did what, and what came of it.
func (p *printer) told(title string, events [][3]string) {
	p.line(p.in(dim, strings.Repeat("─", width)))
	p.line(p.in(bold, "    "+title))
	p.line("")
	for _, e := range events {
		p.line("    " + p.in(cyan, fmt.Sprintf("%-14s", e[0])) + fmt.Sprintf("%-30s", e[1]) + e[2])
	}
	p.line("")
	for _, text := range []string{
		"Bob logged in once, and his agent had one token all the time. What it could do with that was Alice's to say, for one right on what is hers, and hers to end. The agent and the MCP server are as published: neither knows UMA.",
		"The times are settings: here the gateway believes the authorization server for a second (token.max_ttl, token.negative_ttl). Where that is too long, umagate revoke ends a token everywhere at once.",
	} {
		for _, line := range wrap(text, width-4, " ") {
			p.line("    " + line)
		}
		p.line("")
	}
}
