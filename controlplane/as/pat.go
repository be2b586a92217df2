package as

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/umagate/umagate/controlplane/secret"
)

// minRenewAge keeps a PAT that the AS refuses although it is new from being
// asked for in a circle.
const minRenewAge = time.Second

// PATSource holds the PAT of one client and renews it. Callers that want a new
// one at the same time share one call to the AS. It is safe for concurrent use;
// renewal before expiry is the owner's to schedule (see [PATSource.Renew]).
type PATSource struct {
	fetch   func(ctx context.Context) (Token, error)
	changed func(Token)
	now     func() time.Time

	group singleflight.Group

	mu      sync.Mutex
	current Token
}

// NewPATSource holds known, which may be empty, until fetch gives a newer one.
// changed is called, one call at a time, with each new PAT; it may be nil. now
// is the clock; time.Now when nil.
func NewPATSource(known Token, fetch func(ctx context.Context) (Token, error), changed func(Token), now func() time.Time) *PATSource {
	if now == nil {
		now = time.Now
	}
	if changed == nil {
		changed = func(Token) {}
	}
	return &PATSource{current: known, fetch: fetch, changed: changed, now: now}
}

// Current is the PAT held, and whether there is one that has not expired.
func (p *PATSource) Current() (Token, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current, !p.current.Value.IsZero() && p.now().Before(p.current.ExpiresAt)
}

// Token returns a PAT that has not expired, getting one when there is none.
func (p *PATSource) Token(ctx context.Context) (Token, error) {
	current, ok := p.Current()
	if ok {
		return current, nil
	}
	return p.renew(ctx, current)
}

// Renew gets a new PAT in place of one that will expire soon.
func (p *PATSource) Renew(ctx context.Context) (Token, error) {
	current, _ := p.Current()
	return p.renew(ctx, current)
}

// Refused returns the PAT to use instead of one that the AS has refused: the
// current one if it is another already, else a new one.
func (p *PATSource) Refused(ctx context.Context, refused secret.Text) (Token, error) {
	current, ok := p.Current()
	if ok && !current.Value.Equal(refused) {
		return current, nil
	}
	if ok && p.now().Sub(current.IssuedAt) < minRenewAge {
		return Token{}, fmt.Errorf("as: a PAT issued %s ago: %w", p.now().Sub(current.IssuedAt).Round(time.Millisecond), ErrPATRefused)
	}
	return p.renew(ctx, current)
}

// Wait returns when no call to the AS is under way. The owner calls it last.
func (p *PATSource) Wait() {
	// Joins the call under way; without one, there is nothing to wait for.
	_, _, _ = p.group.Do("", func() (any, error) { return Token{}, ErrUnavailable })
}

// renew gets a new PAT in place of old, which the caller has looked at.
func (p *PATSource) renew(ctx context.Context, old Token) (Token, error) {
	// The call outlives the caller that began it, for the sake of the others; the
	// HTTP timeout bounds it.
	result := p.group.DoChan("", func() (any, error) {
		if current, ok := p.Current(); ok && !current.Value.Equal(old.Value) {
			return current, nil // another call has ended since
		}
		token, err := p.fetch(context.WithoutCancel(ctx))
		if err != nil {
			return Token{}, err
		}
		p.mu.Lock()
		p.current = token
		p.mu.Unlock()
		p.changed(token)
		return token, nil
	})
	select {
	case <-ctx.Done():
		return Token{}, ctx.Err()
	case r := <-result:
		token, _ := r.Val.(Token)
		return token, r.Err
	}
}
