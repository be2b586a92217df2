package registration

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// patStore keeps the PAT, and the login of the person whose it is.
type patStore interface {
	PAT(ctx context.Context, key store.Key) (store.PAT, error)
	PutPAT(ctx context.Context, key store.Key, p store.PAT) error
	Login(ctx context.Context, key store.Key) (store.Login, error)
	PutLogin(ctx context.Context, key store.Key, l store.Login) error
	RenewLogin(ctx context.Context, key store.Key, l store.Login) error
}

// pat owns the PAT of the client in use: it is renewed before it ends, and tried at
// the AS now and then, for an AS can forget one.
type pat struct {
	*account

	store    patStore
	current  *as.PATSource // nil for none
	of       *Client       // whose PAT current gives
	probeDue time.Time
	// doubted: a new one is to be had now, to see whether the AS takes the client.
	doubted bool
}

func (p *pat) due() time.Time { return earliest(p.board.read().PATRenewsAt, p.probeDue) }

// step gets a PAT when there is none or the one there is will expire soon. It
// returns what gives the PAT; nil where the site needs none. What it starts ends
// with ctx.
func (p *pat) step(ctx context.Context, server *as.Server, client *Client) (*as.PATSource, error) {
	if !needsPAT(p.site, server) {
		p.drop()
		return nil, nil //nolint:nilnil // none is an answer
	}
	source := p.source(ctx, server, client)
	before, ok := source.Current()
	if ok && !p.doubted && time.Now().Before(p.board.read().PATRenewsAt) {
		return source, nil
	}
	p.enter(GettingPAT)
	_, err := source.Renew(ctx)
	if errors.Is(err, as.ErrClientRefused) {
		return nil, err
	}
	if err == nil && before.Value.IsZero() {
		p.logger.Info("PAT obtained")
	}
	p.doubted = err != nil
	p.probeDue = time.Now().Add(p.intervals.Probe)
	return source, err
}

// probe reads one of our resources when that is due, which renews a PAT that is
// refused. sample returns the id of one, empty for none.
func (p *pat) probe(ctx context.Context, protection *as.Protection, sample func(context.Context) (string, error)) error {
	if time.Now().Before(p.probeDue) {
		return nil
	}
	p.probeDue = time.Now().Add(p.intervals.Probe)
	id, err := sample(ctx)
	if err != nil || id == "" {
		return err
	}
	if _, err = protection.Read(ctx, id); err != nil && !errors.Is(err, as.ErrNotFound) {
		p.probeDue = time.Time{} // it fails until it is tried again with success
	}
	return err
}

// source returns the PAT source of a client. Calls that it makes end with lifetime.
func (p *pat) source(lifetime context.Context, server *as.Server, client *Client) *as.PATSource {
	if p.current != nil && p.of == client {
		return p.current
	}
	p.stop() // before another PAT than the new client's can come of it
	fetch := func(ctx context.Context) (as.Token, error) {
		if p.byLogin() {
			return p.fetchByLogin(ctx, server, client.Auth)
		}
		// The call outlives whoever began it, but not the worker.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(lifetime, cancel)()
		return server.PAT(ctx, client.Auth)
	}
	changed := func(t as.Token) { p.changed(lifetime, client, t) }
	source := as.NewPATSource(p.board.read().PAT, fetch, changed, nil)
	p.current, p.of = source, client
	p.board.update(func(s *Snapshot) bool {
		s.source = source
		return false
	})
	return source
}

// changed runs on the goroutine of the call that got the PAT.
func (p *pat) changed(ctx context.Context, client *Client, t as.Token) {
	err := p.store.PutPAT(context.WithoutCancel(ctx), p.key, store.PAT{
		Value: t.Value, ClientID: client.ID(), IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt,
	})
	if err != nil {
		p.logger.Error("PAT not stored; it is in use all the same", slog.Any("error", err))
	}
	p.show(client, t)
}

// show has Envoys get a PAT, unless its client has been replaced meanwhile.
func (p *pat) show(client *Client, t as.Token) {
	p.board.update(func(s *Snapshot) bool {
		if s.Client.ID() != client.ID() {
			return false
		}
		s.PAT, s.PATRenewsAt = t, renewalTime(t)
		return true
	})
}

// renewalTime is between 70 and 80 percent of the PAT's life, so that many sites
// do not renew together and several attempts fit in before it expires.
func renewalTime(t as.Token) time.Time {
	tenth := max(0, t.ExpiresAt.Sub(t.IssuedAt)/10)
	return t.IssuedAt.Add(tenth*7 + rand.N(tenth+1)) //nolint:gosec // jitter, not a secret
}

// drop gives up a PAT from before the site stopped needing one: Envoys have no use
// for it, and it must not be waited for.
func (p *pat) drop() {
	p.stop()
	p.probeDue = time.Time{}
	p.board.update(func(s *Snapshot) bool {
		had := !s.PAT.Value.IsZero()
		s.PAT, s.PATRenewsAt = as.Token{}, time.Time{}
		return had
	})
}

// stop waits for the call under way.
func (p *pat) stop() {
	if p.current == nil {
		return
	}
	p.current.Wait()
	p.current, p.of = nil, nil
	p.board.update(func(s *Snapshot) bool {
		s.source = nil
		return false
	})
}

// restore uses the PAT of the store, if it is the client's.
func (p *pat) restore(ctx context.Context, client *Client) error {
	stored, err := p.store.PAT(ctx, p.key)
	if errors.Is(err, store.ErrNotFound) || err == nil && stored.ClientID != client.ID() {
		return nil
	}
	if err != nil {
		return err
	}
	p.show(client, as.Token{Value: stored.Value, IssuedAt: stored.IssuedAt, ExpiresAt: stored.ExpiresAt})
	return nil
}
