// Package loadtest asks an API again and again while a test changes what is around it,
// and compares every answer with what it may be at that moment.
package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for an answer. It is for a machine that is ten times slower
// than the one that a test was written on.
const patience = 2 * time.Minute

// Request is one kind of request, which is sent again and again.
type Request struct {
	Method, URL, Host string
	// Token is shown as a bearer token, unless it is empty.
	Token string
}

// kind is a request with the answers that it may have now.
type kind struct {
	request  Request
	may      []int
	counts   map[int]int
	last     int
	sequence int // of the answer that was last
	removed  bool
}

// surprise is an answer that must not have been.
type surprise struct {
	phase, name string
	status      int
	count       int
	said        string // the first of them
}

// Load sends requests until the end of the test.
type Load struct {
	t      testing.TB
	client *http.Client

	mu        sync.Mutex
	kinds     map[string]*kind
	phase     string
	surprises []surprise
	total     int
}

// Start begins to send nothing: see [Load.Add]. At the end of the test it fails if an
// answer was one that it must not be, or if none came at all.
func Start(t testing.TB) *Load {
	t.Helper()
	transport := &http.Transport{DisableCompression: true}
	l := &Load{t: t, client: &http.Client{Transport: transport}, kinds: map[string]*kind{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		transport.CloseIdleConnections()
		l.report()
	})
	return l
}

// run asks every kind in turn, a hundred times a second at most.
func (l *Load) run(ctx context.Context) {
	idle := time.NewTicker(10 * time.Millisecond) // each asks the authorization server for something
	defer idle.Stop()
	for ctx.Err() == nil {
		for _, name := range l.names() {
			l.ask(ctx, name)
		}
		select {
		case <-ctx.Done():
		case <-idle.C:
		}
	}
}

// names are the kinds that are sent.
func (l *Load) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := slices.Sorted(maps.Keys(l.kinds))
	return slices.DeleteFunc(names, func(name string) bool { return l.kinds[name].removed })
}

func (l *Load) ask(ctx context.Context, name string) {
	l.mu.Lock()
	k := l.kinds[name]
	may, phase, request := k.may, l.phase, k.request
	l.mu.Unlock()
	status, body, err := l.send(ctx, request)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	k.counts[status]++
	k.last, k.sequence = status, k.sequence+1
	l.total++
	// What may be has changed meanwhile: the answer may be of before, or of after.
	if slices.Contains(may, status) || slices.Contains(k.may, status) {
		return
	}
	same := slices.IndexFunc(l.surprises, func(s surprise) bool { return s.phase == phase && s.name == name && s.status == status })
	if same >= 0 {
		l.surprises[same].count++
		return
	}
	said := fmt.Sprintf("may be %v: %s", k.may, strings.TrimSpace(body))
	if err != nil {
		said += err.Error()
	}
	l.surprises = append(l.surprises, surprise{phase: phase, name: name, status: status, count: 1, said: said})
}

// send returns the status, or 0 where there was no answer.
func (l *Load) send(ctx context.Context, r Request) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	request.Host = r.Host
	if r.Token != "" {
		request.Header.Set("Authorization", "Bearer "+r.Token)
	}
	response, err := l.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 1000))
	return response.StatusCode, string(text), errors.Join(err, response.Body.Close())
}

// Add begins to send a kind of request, whose answers may have these statuses.
func (l *Load) Add(name string, r Request, may ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	l.kinds[name] = &kind{request: r, may: may, counts: map[int]int{}}
}

// Remove sends a kind of request no more.
func (l *Load) Remove(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[name].removed = true
}

// Phase names what the test does now, for the report.
func (l *Load) Phase(name string) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = name
	l.t.Log(name)
}

// May says what a kind may be answered from now on, as long as a change is under way.
func (l *Load) May(name string, statuses ...int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kinds[name].may = statuses
}

// Becomes waits until a kind is answered with a status; from then on it may be nothing
// else.
func (l *Load) Becomes(name string, status int) {
	l.t.Helper()
	began := time.Now()
	l.until(name, func(k *kind) bool { return k.last == status }, fmt.Sprintf("is not answered %d", status))
	l.t.Logf("%s: %d after %s", name, status, time.Since(began).Round(time.Millisecond))
	l.May(name, status)
}

// More waits until every kind was asked so many times more.
func (l *Load) More(count int) {
	l.t.Helper()
	for _, name := range l.names() {
		l.mu.Lock()
		want := l.kinds[name].sequence + count
		l.mu.Unlock()
		l.until(name, func(k *kind) bool { return k.sequence >= want }, "is not answered")
	}
}

func (l *Load) until(name string, ok func(*kind) bool, otherwise string) {
	l.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		reached, last := ok(l.kinds[name]), l.kinds[name].last
		l.mu.Unlock()
		if reached {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			l.t.Fatalf("%s %s, but %d, after %s", name, otherwise, last, patience)
		}
	}
}

func (l *Load) report() {
	for _, name := range slices.Sorted(maps.Keys(l.kinds)) {
		l.t.Logf("%s: %v", name, l.kinds[name].counts)
	}
	if l.total == 0 {
		l.t.Error("no request was answered")
	}
	for _, s := range l.surprises {
		l.t.Errorf("%s: %s was answered %d, %d times, and %s", s.phase, s.name, s.status, s.count, s.said)
	}
}
