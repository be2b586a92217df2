package oxd

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/store"
)

// Records is where the resources of RPs are kept: a part of store.Store.
type Records interface {
	store.Protections
	reconcile.Records

	PutDiscovery(ctx context.Context, key store.Key, d store.Discovery) error
	PutPAT(ctx context.Context, key store.Key, p store.PAT) error
	TryLock(ctx context.Context, key store.Key) (unlock func() error, err error)
}

type protectParams struct {
	SiteParams

	Overwrite bool                `json:"overwrite"`
	Resources protection.Document `json:"resources"`
}

type protectResult struct {
	OxdID string `json:"oxd_id"`
}

// protect registers the resources at the AS and lets Envoy enforce them.
func (s *Server) protect(ctx context.Context, c *Call, p protectParams) (protectResult, error) {
	if err := p.Resources.Validate(); err != nil {
		return protectResult{}, documentFailure(err)
	}
	if err := s.setProtection(ctx, c, p.Resources, p.Overwrite, nil); err != nil {
		return protectResult{}, err
	}
	return protectResult{OxdID: c.RP.ID}, nil
}

type modifyParams struct {
	SiteParams

	Path       string                 `json:"path"`
	HTTPMethod string                 `json:"http_method"`
	Scopes     Strings                `json:"scopes"`
	Expression *protection.Expression `json:"scope_expression"`
}

func (p modifyParams) checkFirst() error {
	return accessParams{Path: p.Path, HTTPMethod: p.HTTPMethod}.checkFirst()
}

// modify changes what one condition asks for.
func (s *Server) modify(ctx context.Context, c *Call, p modifyParams) (protectResult, error) {
	if !p.Scopes.given() && p.Expression == nil {
		return protectResult{}, fail(CodeInvalidUMARequest, "neither scopes nor scope_expression is there")
	}
	change := func(d protection.Document) (protection.Document, error) {
		condition, ok := d.Find(p.Path, p.HTTPMethod)
		if !ok {
			return nil, notProtected()
		}
		condition.Scopes, condition.TicketScopes, condition.Expression = p.Scopes.clean(), nil, p.Expression
		if err := d.Validate(); err != nil {
			return nil, documentFailure(err)
		}
		return d, nil
	}
	if err := s.setProtection(ctx, c, nil, true, change); err != nil {
		return protectResult{}, err
	}
	return protectResult{OxdID: c.RP.ID}, nil
}

// documentFailure gives the code of a document's fault.
func documentFailure(err error) *Error {
	code := CodeInvalidUMARequest
	for _, row := range []struct {
		kind error
		code Code
	}{
		{protection.ErrMethodNotUnique, CodeMethodNotUnique},
		{protection.ErrExpression, CodeInvalidScopeExpression},
		{protection.ErrMethod, CodeInvalidHTTPMethod},
		{protection.ErrPath, CodeInvalidPath},
		{protection.ErrScopes, CodeInvalidScope},
	} {
		if errors.Is(err, row.kind) {
			code = row.code
		}
	}
	return &Error{Code: code, Description: err.Error()}
}

// setProtection makes d what the RP protects: stored first, then registered, then
// pushed. A crash in between is made good by the site's worker, which brings what
// is stored in step. With change, d is what it makes of what is stored.
func (s *Server) setProtection(ctx context.Context, c *Call, d protection.Document, overwrite bool, change func(protection.Document) (protection.Document, error)) error {
	stored, err := s.registerProtection(ctx, c.RP, d, overwrite, change)
	if stored {
		// What it must deny now, Envoy is told also when the AS failed. Nobody else waits
		// for Envoys: the registrations are unlocked.
		err = errors.Join(err, s.changed(ctx, c))
	}
	return err
}

// registerProtection is setProtection without Envoys. stored says that there is something new
// to enforce, whatever the error.
func (s *Server) registerProtection(ctx context.Context, rp *RP, d protection.Document, overwrite bool, change func(protection.Document) (protection.Document, error)) (stored bool, err error) {
	l, err := s.umaLink(ctx, rp)
	if err != nil {
		return false, err
	}
	key := keyOf(rp)
	unlock, err := s.lock(ctx, key)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := s.loadRP(ctx, rp.ID); err != nil { // removed since the command came
		return false, err
	}
	before, err := s.config.Records.Protection(ctx, rp.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, err
	}
	known := err == nil
	switch {
	case change != nil && !known:
		return false, notProtected()
	case change != nil:
		kept, err := protection.Parse(before.Document)
		if err != nil {
			return false, err
		}
		if d, err = change(kept); err != nil {
			return false, err
		}
	case before.Settled && !overwrite:
		return false, fail(CodeUMAProtectionExists, "this oxd_id protects resources already: send overwrite with true to replace them")
	}
	document, err := d.Encode()
	if err != nil {
		return false, err
	}
	next := store.Protection{OxdID: rp.ID, Document: document, Settled: before.Settled, UpdatedAt: s.now()}
	if err := s.config.Records.PutProtection(ctx, next); err != nil {
		return false, err
	}
	if err := s.settle(ctx, l, key, next, overwrite); err != nil {
		return true, err
	}
	next.Settled = true
	if err := s.config.Records.PutProtection(ctx, next); err != nil {
		return true, err
	}
	s.config.Logger.Info("an application's resources are protected", slog.String("oxd_id", rp.ID), slog.String("resources", d.String()))
	return true, nil
}

// settle brings the AS's registrations in step. A PAT may have ended at the AS
// before its time, which some tell as a bad request: then it is done once more,
// with a new one. With adopt, resources of the same names that the client has
// already are taken over.
func (s *Server) settle(ctx context.Context, l *link, key store.Key, p store.Protection, adopt bool) error {
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.KindOxd, Name: l.rp.ID})
	made, err := siteOf(l.rp, p, s.config.Origin)
	if err != nil {
		return err
	}
	desired := siteResources(&made, adopt)
	for attempt := 0; ; attempt++ {
		err := s.reconcile(ctx, l, key, desired)
		if err == nil {
			break
		}
		if attempt > 0 || !patMayHaveEnded(err) {
			return protectFailure(err)
		}
		if _, renewErr := l.pats.Renew(ctx); renewErr != nil {
			return opFailure(renewErr, "the AS gives no PAT")
		}
	}
	// The site's worker begins with these: then it serves at once.
	metadata, err := json.Marshal(l.server.Metadata())
	if err == nil {
		err = s.config.Records.PutDiscovery(ctx, key, store.Discovery{Metadata: metadata, FoundAt: s.now()})
	}
	if pat, ok := l.pats.Current(); ok && err == nil {
		err = s.config.Records.PutPAT(ctx, key, store.PAT{Value: pat.Value, ClientID: l.rp.ClientID, IssuedAt: pat.IssuedAt, ExpiresAt: pat.ExpiresAt})
	}
	return err
}

func (s *Server) reconcile(ctx context.Context, l *link, key store.Key, desired []reconcile.Desired) error {
	const attempts, base, longest = 2, 200 * time.Millisecond, 2 * time.Second
	r := &reconcile.Reconciler{
		AS: l.server.Protection(l.pats), Records: s.config.Records, Key: key, Now: s.config.Now, Audit: s.config.Audit,
		Retry: reconcile.Retry{Attempts: attempts, Base: base, Max: longest},
	}
	plan, err := r.Plan(ctx, desired)
	if err != nil {
		return err
	}
	_, err = r.Apply(ctx, plan)
	return err
}

func patMayHaveEnded(err error) bool {
	e, ok := errors.AsType[*as.Error](err)
	return ok && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnauthorized)
}

func protectFailure(err error) *Error {
	if errors.Is(err, reconcile.ErrOtherSite) {
		return fail(CodeUMAProtectionExists, "another oxd_id, or a site, of the same client has resources of these names at the AS, which stay with it until it is removed: use that one, or another client").because(err)
	}
	if errors.Is(err, reconcile.ErrConflict) || errors.Is(err, reconcile.ErrAmbiguous) || errors.Is(err, as.ErrConflict) {
		return fail(CodeUMAProtectionExists, "the client has resources of these names at the AS that were not registered here: send overwrite with true to take them over").because(err)
	}
	return opFailure(err, "the AS does not register the resources")
}

// umaLink is link, for an AS that has what a resource server needs.
func (s *Server) umaLink(ctx context.Context, rp *RP) (*link, error) {
	if s.config.Records == nil {
		return nil, fail(CodeUnsupportedOperation, "this server keeps no resources")
	}
	l, err := s.link(ctx, rp)
	if err != nil {
		return nil, err
	}
	if m := l.server.Metadata(); m.ResourceRegistrationEndpoint == "" || m.PermissionEndpoint == "" || m.IntrospectionEndpoint == "" {
		return nil, fail(CodeNoUMADiscovery, "op_host names no UMA endpoints (/.well-known/uma2-configuration)")
	}
	return l, nil
}

// lockPoll is how often a lock that another holds is asked for again.
const lockPoll = 50 * time.Millisecond

// lock waits until nobody else changes the registrations of key.
func (s *Server) lock(ctx context.Context, key store.Key) (unlock func() error, err error) {
	ticker := time.NewTicker(lockPoll)
	defer ticker.Stop()
	for {
		unlock, err := s.config.Records.TryLock(ctx, key)
		if !errors.Is(err, store.ErrLocked) {
			return unlock, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-ticker.C:
		}
	}
}

// changed has Envoys enforce what is protected now.
func (s *Server) changed(ctx context.Context, c *Call) error {
	if s.config.Changed == nil {
		return nil
	}
	enforced, err := s.config.Changed(ctx)
	if err == nil && !enforced {
		c.warn("some Envoys enforce what was before: umagate status names them")
	}
	return err
}

func keyOf(rp *RP) store.Key {
	return store.Key{Site: protection.SiteName(rp.ID), Issuer: rp.Issuer}
}
