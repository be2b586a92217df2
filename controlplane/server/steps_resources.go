package server

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/store"
)

// renewPAT gets a PAT when there is none or the one there is will expire soon,
// and tries it at the AS now and then: an AS can forget one.
func (w *worker) renewPAT(ctx context.Context) error {
	if !needsPAT(w.site, w.server) {
		w.dropPAT()
		return nil
	}
	source := w.source(ctx)
	current, ok := source.Current()
	w.mu.Lock()
	due := !ok || !time.Now().Before(w.renewAt)
	w.mu.Unlock()
	if !due {
		return w.probe(ctx, source)
	}
	w.enter(GettingPAT)
	_, err := source.Renew(ctx)
	if errors.Is(err, as.ErrClientRefused) {
		return w.clientRefused(ctx, err)
	}
	if err == nil && current.Value.IsZero() {
		w.logger.Info("PAT obtained")
	}
	w.probeAt = time.Now().Add(w.pace.Probe)
	return err
}

// dropPAT gives up a PAT from before the site stopped needing one: Envoys have no
// use for it, and it must not be waited for.
func (w *worker) dropPAT() {
	w.probeAt = time.Time{}
	w.mu.Lock()
	had := !w.pat.Value.IsZero()
	w.pat, w.renewAt = as.Token{}, time.Time{}
	if had {
		w.changed()
	}
	w.mu.Unlock()
}

// probe reads one of our resources, which renews a PAT that is refused.
func (w *worker) probe(ctx context.Context, source *as.PATSource) error {
	if time.Now().Before(w.probeAt) {
		return nil
	}
	w.probeAt = time.Now().Add(w.pace.Probe)
	// "umagate apply" may have registered some.
	if err := w.readIDs(ctx); err != nil {
		return err
	}
	if id := w.anyID(); id != "" {
		_, err := w.server.Protection(source).Read(ctx, id)
		if errors.Is(err, as.ErrNotFound) {
			w.syncAt = time.Time{}
			return nil
		}
		if err != nil {
			w.probeAt = time.Time{} // it fails until it is tried again with success
		}
		if errors.Is(err, as.ErrClientRefused) {
			return w.clientRefused(ctx, err)
		}
		return err
	}
	return nil
}

// anyID is the id of a resource that the PAT may read, if there is one.
func (w *worker) anyID() string {
	for _, id := range w.ids {
		return id
	}
	for i := range w.site.Resources {
		if id := w.site.Resources[i].ID; id != "" {
			return id
		}
	}
	return ""
}

// source gives the PAT source of the client in use.
func (w *worker) source(lifetime context.Context) *as.PATSource {
	if w.pats != nil {
		return w.pats
	}
	server, auth := w.server, w.auth
	fetch := func(ctx context.Context) (as.Token, error) {
		if w.byLogin() {
			return w.fetchByLogin(ctx, server, auth)
		}
		// The call outlives whoever began it, but not the worker.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(lifetime, cancel)()
		return server.PAT(ctx, auth)
	}
	changed := func(t as.Token) { w.patChanged(lifetime, auth.ClientID(), t) }
	w.pats = as.NewPATSource(w.pat, fetch, changed, nil)
	w.share(w.pats)
	return w.pats
}

// patChanged runs on the goroutine of the call that got the PAT.
func (w *worker) patChanged(ctx context.Context, id string, t as.Token) {
	err := w.store.PutPAT(context.WithoutCancel(ctx), w.key, store.PAT{
		Value: t.Value, ClientID: id, IssuedAt: t.IssuedAt, ExpiresAt: t.ExpiresAt,
	})
	if err != nil {
		w.logger.Error("PAT not stored; it is in use all the same", slog.Any("error", err))
	}
	w.mu.Lock()
	w.pat, w.renewAt = t, renewalTime(t)
	w.changed()
	w.mu.Unlock()
}

// renewalTime is between 70 and 80 percent of the PAT's life, so that many sites
// do not renew together and several attempts fit in before it expires.
func renewalTime(t as.Token) time.Time {
	tenth := max(0, t.ExpiresAt.Sub(t.IssuedAt)/10)
	return t.IssuedAt.Add(tenth*7 + rand.N(tenth+1)) //nolint:gosec // jitter, not a secret
}

func (w *worker) restorePAT(ctx context.Context) error {
	stored, err := w.store.PAT(ctx, w.key)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil
	case err != nil:
		return err
	case stored.ClientID != clientID(w.auth):
		return nil // of an earlier client
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pat = as.Token{Value: stored.Value, IssuedAt: stored.IssuedAt, ExpiresAt: stored.ExpiresAt}
	w.renewAt = renewalTime(w.pat)
	return nil
}
