package devas

import (
	"fmt"
	"slices"
)

// Policy lets some people or clients do something with a resource. It names
// nobody in its zero value.
type Policy struct {
	// ID is given by [Server.Permit] when empty.
	ID string `json:"id,omitempty"`
	// Resource is an _id or a name; "*" is every resource.
	Resource string `json:"resource"`
	// Scopes it covers; all when empty.
	Scopes []string `json:"scopes,omitempty"`
	// Subjects are names of people; "*" is everybody who is identified.
	Subjects []string `json:"subjects,omitempty"`
	// Clients, when not empty, are the client_ids it is bound to. With clients and
	// no subjects, whoever uses the client may.
	Clients []string `json:"clients,omitempty"`
}

// party is who asks: a client, and the person who uses it if that is known.
type party struct {
	clientID string
	user     string
}

// Permit stores a policy, or replaces the one of its id, and returns the id.
func (s *Server) Permit(p Policy) (string, error) {
	if p.Resource == "" {
		return "", fmt.Errorf("policy %q: a resource is needed (\"*\" for all)", p.ID)
	}
	if len(p.Subjects) == 0 && len(p.Clients) == 0 {
		return "", fmt.Errorf("policy %q: subjects or clients are needed", p.ID)
	}
	if p.ID == "" {
		p.ID = randomID()
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.dropPolicy(p.ID)
	s.state.policies[p.ID] = &p
	if s.state.governing[p.Resource] == nil {
		s.state.governing[p.Resource] = map[string]*Policy{}
	}
	s.state.governing[p.Resource][p.ID] = &p
	return p.ID, nil
}

// dropPolicy removes a policy. The caller holds the lock.
func (st *state) dropPolicy(id string) bool {
	p, ok := st.policies[id]
	if !ok {
		return false
	}
	delete(st.policies, id)
	delete(st.governing[p.Resource], id)
	if len(st.governing[p.Resource]) == 0 {
		delete(st.governing, p.Resource)
	}
	return true
}

// Forbid removes a policy. It tells whether there was one.
func (s *Server) Forbid(id string) bool {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	return s.state.dropPolicy(id)
}

// ForbidAll removes every policy.
func (s *Server) ForbidAll() {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	clear(s.state.policies)
	clear(s.state.governing)
}

// Policies returns them all, by id.
func (s *Server) Policies() []Policy {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	list := []Policy{}
	for _, p := range s.state.policies {
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b Policy) int { return compare(a.ID, b.ID) })
	return list
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// permits reports whether a policy, or ownership, grants one scope to the party.
// The empty scope stands for access with no scope in particular.
func (s *Server) permits(res *Resource, scope string, who party) bool {
	if who.user != "" && res.Owner == who.user {
		return true
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	for _, name := range []string{res.ID, res.Name, "*"} {
		for _, p := range s.state.governing[name] {
			if p.covers(scope) && p.admits(who) {
				return true
			}
		}
	}
	return false
}

func (p *Policy) covers(scope string) bool {
	return len(p.Scopes) == 0 || slices.Contains(p.Scopes, scope)
}

func (p *Policy) admits(who party) bool {
	if len(p.Clients) > 0 && !slices.Contains(p.Clients, who.clientID) {
		return false
	}
	if len(p.Subjects) == 0 {
		return len(p.Clients) > 0
	}
	return who.user != "" && (slices.Contains(p.Subjects, "*") || slices.Contains(p.Subjects, who.user))
}

// Resources returns every registered resource, in the order of registration.
func (s *Server) Resources() []Resource {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	list := []Resource{}
	for _, id := range s.state.order {
		list = append(list, *s.state.resources[id])
	}
	return list
}

// SetOwner hands a resource, named by _id or name, to a person; back to its
// resource server when owner is empty. With askOwner, who has no permission is
// told that the owner is asked.
func (s *Server) SetOwner(resource, owner string, askOwner bool) error {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	if _, ok := s.state.users[owner]; !ok && owner != "" {
		return fmt.Errorf("owner of %q: no user %q", resource, owner)
	}
	found := false
	for id, r := range s.state.resources {
		if id == resource || r.Name == resource {
			next := *r
			next.Owner, next.AskOwner = owner, askOwner
			s.state.resources[id] = &next
			found = true
		}
	}
	if !found {
		return fmt.Errorf("owner of %q: no such resource", resource)
	}
	return nil
}

// DeleteResource removes a resource behind its resource server's back, as an
// administrator does. It tells whether there was one.
func (s *Server) DeleteResource(id string) bool {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	_, ok := s.state.resources[id]
	delete(s.state.resources, id)
	s.state.order = slices.DeleteFunc(s.state.order, func(r string) bool { return r == id })
	return ok
}

// AccessRequest is what a request_submitted stands for: a party waits for the
// owner's word.
type AccessRequest struct {
	ID       string   `json:"id"`
	Resource string   `json:"resource_id"`
	Owner    string   `json:"owner,omitempty"`
	Scopes   []string `json:"resource_scopes"`
	Subject  string   `json:"subject"`
	Client   string   `json:"client_id"`
}

// Requests returns what waits for an owner's word.
func (s *Server) Requests() []AccessRequest {
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	list := []AccessRequest{}
	for _, r := range s.state.requests {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b AccessRequest) int { return compare(a.ID, b.ID) })
	return list
}

// Answer ends an access request: approved, it becomes a policy for that person,
// resource and scopes.
func (s *Server) Answer(id string, approve bool) error {
	s.state.mu.Lock()
	r, ok := s.state.requests[id]
	delete(s.state.requests, id)
	s.state.mu.Unlock()
	if !ok {
		return fmt.Errorf("access request %q: not known", id)
	}
	if !approve {
		return nil
	}
	_, err := s.Permit(Policy{Resource: r.Resource, Scopes: r.Scopes, Subjects: []string{r.Subject}})
	return err
}
