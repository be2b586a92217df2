package devas

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind string

// The kinds of fault. The first group answers in the endpoint's place, the
// second lets it work and then spoils the answer.
const (
	// FaultDown resets the connection without an answer.
	FaultDown FaultKind = "down"
	// FaultHang takes the request and never answers, until the client goes.
	FaultHang FaultKind = "hang"
	// FaultStatus answers with Status and a JSON body.
	FaultStatus FaultKind = "status"
	// FaultHTML answers with Status (200 when zero) and an HTML page.
	FaultHTML FaultKind = "html"
	// FaultEmpty answers with Status (200 when zero) and "{}".
	FaultEmpty FaultKind = "empty"
	// FaultRateLimit answers 429 with Retry-After.
	FaultRateLimit FaultKind = "rate_limit"
	// FaultBadToken answers as to an expired PAT or access token.
	FaultBadToken FaultKind = "bad_token"
	// FaultCollision answers 409 as Keycloak does to one of two writes at the same
	// moment that bring the same new scope: nothing was done, and no name is taken.
	FaultCollision FaultKind = "collision"

	// FaultSlow waits for Delay, then works.
	FaultSlow FaultKind = "slow"
	// FaultTruncated sends half of the body and closes the connection.
	FaultTruncated FaultKind = "truncated"
	// FaultOversized adds Size bytes of padding to the JSON (16 MiB when zero).
	FaultOversized FaultKind = "oversized"
	// FaultWrongTypes gives every member of the JSON another type.
	FaultWrongTypes FaultKind = "wrong_types"
	// FaultActiveString writes "active":"true" where active was true.
	FaultActiveString FaultKind = "active_string"
	// FaultAlwaysActive says active:true with nothing else of what was asked.
	FaultAlwaysActive FaultKind = "always_active"
	// FaultOtherResource names another resource in every permission.
	FaultOtherResource FaultKind = "other_resource"
	// FaultNoScopes empties the scopes of every permission.
	FaultNoScopes FaultKind = "no_scopes"
	// FaultOtherIssuer names another iss or issuer.
	FaultOtherIssuer FaultKind = "other_issuer"
	// FaultOtherAudience names another aud and client_id.
	FaultOtherAudience FaultKind = "other_audience"
	// FaultExpired puts every exp into the past, active or not.
	FaultExpired FaultKind = "expired"
)

// FaultKinds lists all of them.
func FaultKinds() []FaultKind {
	return []FaultKind{
		FaultDown, FaultHang, FaultStatus, FaultHTML, FaultEmpty, FaultRateLimit, FaultBadToken, FaultCollision, FaultSlow, FaultTruncated, FaultOversized,
		FaultWrongTypes, FaultActiveString, FaultAlwaysActive, FaultOtherResource, FaultNoScopes, FaultOtherIssuer, FaultOtherAudience, FaultExpired,
	}
}

// Fault is something that goes wrong at an endpoint.
type Fault struct {
	Endpoint Endpoint  `json:"endpoint"` // EndpointAny when empty
	Kind     FaultKind `json:"kind"`
	// Count is how many requests it spoils; zero is until it is cleared.
	Count int `json:"count,omitempty"`
	// Skip lets that many requests pass first.
	Skip int `json:"skip,omitempty"`
	// Delay is that of FaultSlow.
	Delay time.Duration `json:"-"`
	// Status is that of FaultStatus (500 when zero), FaultHTML and FaultEmpty.
	Status int `json:"status,omitempty"`
	// RetryAfter is told by FaultRateLimit, in whole seconds; 1 s when zero.
	RetryAfter time.Duration `json:"-"`
	// Size is the padding of FaultOversized, in bytes.
	Size int `json:"size,omitempty"`
}

// SetFault adds a fault. Of several at one endpoint the oldest that is not used
// up applies, except that a slow one lets the next apply, too.
func (s *Server) SetFault(f Fault) error {
	if f.Endpoint == "" {
		f.Endpoint = EndpointAny
	}
	if f.Endpoint != EndpointAny && !slices.Contains(Endpoints(), f.Endpoint) {
		return fmt.Errorf("fault: endpoint %q: want one of %v", f.Endpoint, Endpoints())
	}
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("fault: kind %q: want one of %v", f.Kind, FaultKinds())
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, f)
	return nil
}

// ClearFaults removes the faults of an endpoint; all of them with EndpointAny or
// "". Requests that hang or wait at that moment go on to.
func (s *Server) ClearFaults(e Endpoint) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = slices.DeleteFunc(s.faults.list, func(f Fault) bool {
		return e == "" || e == EndpointAny || f.Endpoint == e
	})
}

// Faults returns those in force, with the counts that are left.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return slices.Clone(s.faults.list)
}

// faultSet holds the faults in force. It is safe for concurrent use.
type faultSet struct {
	mu   sync.Mutex
	list []Fault
}

// take returns the faults for one request and counts them down.
func (f *faultSet) take(e Endpoint) []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	var taken []Fault
	spoiled := false
	f.list = slices.DeleteFunc(f.list, func(g Fault) bool { return g.Count < 0 })
	for i := range f.list {
		g := &f.list[i]
		if g.Endpoint != e && g.Endpoint != EndpointAny {
			continue
		}
		if g.Skip > 0 {
			g.Skip--
			continue
		}
		if spoiled && g.Kind != FaultSlow {
			continue
		}
		spoiled = spoiled || g.Kind != FaultSlow
		taken = append(taken, *g)
		if g.Count == 1 {
			g.Count = -1 // Used up.
		} else if g.Count > 1 {
			g.Count--
		}
	}
	f.list = slices.DeleteFunc(f.list, func(g Fault) bool { return g.Count < 0 })
	return taken
}

// around serves a request under the faults in force.
func (f *faultSet) around(e Endpoint, w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter)) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	for _, g := range f.take(e) {
		if g.Kind == FaultSlow {
			wait(r, g.Delay)
			continue
		}
		if g.replace(w, r) {
			return
		}
		serve = g.spoil(r, serve)
	}
	serve(w)
}

// wait returns after a time, or when the client or the server has gone.
func wait(r *http.Request, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// replace answers in the endpoint's place, if the fault is of that group.
func (f Fault) replace(w http.ResponseWriter, r *http.Request) bool {
	status := func(standard int) int {
		if f.Status != 0 {
			return f.Status
		}
		return standard
	}
	switch f.Kind { // The other kinds spoil the endpoint's own answer.
	case FaultDown:
		reset(w)
	case FaultHang:
		<-r.Context().Done()
		reset(w)
	case FaultStatus:
		newError(status(http.StatusInternalServerError), "server_error", "a fault that was asked for").write(w)
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status(http.StatusOK))
		_, _ = w.Write([]byte("<!doctype html><title>Maintenance</title><h1>We will be back</h1>"))
	case FaultEmpty:
		writeJSON(w, status(http.StatusOK), map[string]any{})
	case FaultRateLimit:
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(f.RetryAfter/time.Second))))
		newError(http.StatusTooManyRequests, "temporarily_unavailable", "a fault that was asked for").write(w)
	case FaultBadToken:
		bearerRefused("a fault that was asked for").write(w)
	case FaultCollision:
		newError(http.StatusConflict, "conflict", "Duplicate resource error").write(w)
	default:
		return false
	}
	return true
}

// reset closes the connection so that the client sees a reset, not an end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2, or a recorder: abort is the nearest.
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}
