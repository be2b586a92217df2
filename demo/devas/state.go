package devas

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// state is everything the server remembers. What its maps hold is never changed
// in place: a change stores a new value, so that a pointer taken under the lock
// stays good after it.
type state struct {
	mu sync.Mutex

	users     map[string]*User   // by name
	clients   map[string]*Client // by client_id
	initial   map[string]*int    // uses left of initial access tokens; nil is no bound
	tokens    map[string]*token  // by value: access tokens and RPTs
	refresh   map[string]*refreshToken
	codes     map[string]*code
	tickets   map[string]*ticket
	pcts      map[string]*pct
	resources map[string]*Resource // by _id
	order     []string             // of resources, as registered
	policies  map[string]*Policy   // by id
	// governing is the policies again, by what they name as resource.
	governing map[string]map[string]*Policy
	requests  map[string]*AccessRequest
	sessions  map[string]*session
	dialogs   map[string]*dialog
	jtis      map[string]time.Time // of client assertions, until they expire
	issued    int
}

func newState() *state {
	return &state{
		users:     map[string]*User{},
		clients:   map[string]*Client{},
		initial:   map[string]*int{},
		tokens:    map[string]*token{},
		refresh:   map[string]*refreshToken{},
		codes:     map[string]*code{},
		tickets:   map[string]*ticket{},
		pcts:      map[string]*pct{},
		resources: map[string]*Resource{},
		policies:  map[string]*Policy{},
		governing: map[string]map[string]*Policy{},
		requests:  map[string]*AccessRequest{},
		sessions:  map[string]*session{},
		dialogs:   map[string]*dialog{},
		jtis:      map[string]time.Time{},
	}
}

// token is an access token or an RPT.
type token struct {
	value     string
	jti       string
	rpt       bool
	clientID  string
	user      string // name of the person; empty for a client's own token
	subject   string // the sub claim
	scopes    []string
	audience  []string
	session   string
	family    string // of the refresh token that goes with it
	issued    time.Time
	notBefore time.Time
	expires   time.Time
	// permissions and resourceServer are those of an RPT.
	permissions    []permission
	resourceServer string
	// pat reports whether the protection API accepts the token.
	pat bool
}

// permission is one entry of a ticket or of an RPT.
type permission struct {
	resourceID string
	name       string // of the resource when it was granted
	scopes     []string
	issued     time.Time
	expires    time.Time
}

type refreshToken struct {
	value    string
	family   string
	clientID string
	user     string
	scopes   []string
	audience []string
	session  string
	authTime time.Time
	nonce    string
	expires  time.Time
	used     bool
	// of an RPT, whose permissions a refresh carries over.
	rpt *token
}

type code struct {
	value       string
	clientID    string
	user        string
	redirectURI string
	scopes      []string
	nonce       string
	challenge   string
	session     string
	acr         string
	authTime    time.Time
	expires     time.Time
	// family is the tokens that came of it, which a second use revokes (RFC 6749
	// section 4.1.2).
	family string
	used   bool
}

type ticket struct {
	value          string
	resourceServer string // client_id of the resource server
	permissions    []permission
	expires        time.Time
	// clientID binds the ticket to the client that has used it or sent its
	// requesting party to the claims interaction endpoint.
	clientID string
	// user is who was identified by claims interaction.
	user string
	// requestID is the AccessRequest a request_submitted stands for.
	requestID string
}

// pct is a persisted claims token: who the requesting party of a client is.
type pct struct {
	clientID string
	user     string
	expires  time.Time
}

// put stores a token and now and then forgets those that have expired.
func (st *state) put(t *token, now time.Time) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.tokens[t.value] = t
	st.issued++
	if st.issued%1000 == 0 {
		st.sweep(now)
	}
}

// sweep forgets what has expired. The caller holds the lock.
func (st *state) sweep(now time.Time) {
	expire(st.tokens, func(t *token) bool { return now.After(t.expires) })
	expire(st.refresh, func(t *refreshToken) bool { return now.After(t.expires) })
	expire(st.codes, func(c *code) bool { return now.After(c.expires) })
	expire(st.tickets, func(t *ticket) bool { return now.After(t.expires) })
	expire(st.pcts, func(p *pct) bool { return now.After(p.expires) })
	expire(st.sessions, func(s *session) bool { return now.After(s.expires) })
	expire(st.dialogs, func(d *dialog) bool { return now.After(d.expires) })
	expire(st.jtis, now.After)
}

func expire[V any](m map[string]V, expired func(V) bool) {
	for k, v := range m {
		if expired(v) {
			delete(m, k)
		}
	}
}

// activeToken returns a token that is known and in its time.
func (st *state) activeToken(value string, now time.Time) (*token, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	t, ok := st.tokens[value]
	if !ok || !now.Before(t.expires) || now.Before(t.notBefore) {
		return nil, false
	}
	return t, true
}

// dropTokens forgets every access token, RPT and refresh token that matches.
func (st *state) dropTokens(match func(clientID, user, family, session string) bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	expire(st.tokens, func(t *token) bool { return match(t.clientID, t.user, t.family, t.session) })
	expire(st.refresh, func(t *refreshToken) bool { return match(t.clientID, t.user, t.family, t.session) })
}

func (st *state) client(id string) (*Client, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	c, ok := st.clients[id]
	return c, ok
}

func (st *state) user(name string) (*User, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	u, ok := st.users[name]
	return u, ok
}

// userBySubject finds a user by the sub claim.
func (st *state) userBySubject(sub string) (*User, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, u := range st.users {
		if u.ID == sub {
			return u, true
		}
	}
	return nil, false
}

func (st *state) resource(id string) (*Resource, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	r, ok := st.resources[id]
	return r, ok
}

// dropClient forgets a client and all it holds. The caller holds the lock.
func (st *state) dropClient(id string) {
	delete(st.clients, id)
	expire(st.tokens, func(t *token) bool { return t.clientID == id })
	expire(st.refresh, func(t *refreshToken) bool { return t.clientID == id })
	expire(st.codes, func(c *code) bool { return c.clientID == id })
	expire(st.tickets, func(t *ticket) bool { return t.resourceServer == id || t.clientID == id })
	expire(st.resources, func(r *Resource) bool { return r.ResourceServer == id })
	st.order = slices.DeleteFunc(st.order, func(r string) bool { return st.resources[r] == nil })
}

// scopeList splits a space-separated scope parameter, without repetition.
func scopeList(text string) []string {
	var list []string
	for s := range strings.FieldsSeq(text) {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}
