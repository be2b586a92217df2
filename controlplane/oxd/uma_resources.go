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
	"github.com/umagate/umagate/plugin/config"
)

// Records is where the resources of RPs are kept: a part of [store.SQL].
type Records interface {
	Protections
	reconcile.Records
	store.Locker

	PutDiscovery(ctx context.Context, key store.Key, d store.Discovery) error
	PutPAT(ctx context.Context, key store.Key, p store.PAT) error
}

// resources are what RPs protect: stored, registered at their ASs, and enforced by
// Envoys. It runs the commands of resource servers.
type resources struct {
	*rps

	records Records // nil for a server that keeps none
	origin  Origin
	notify  func(ctx context.Context) (enforced bool, err error) // nil where there is no Envoy
	revoked func() []config.Revocations                          // may be nil
	audit   audit.Recorder
}

// setProtection makes what edit returns the document of the RP: stored first, then
// registered, then enforced. A crash in between is made good by the site's worker, which
// brings what is stored in step. edit is given what is protected, nil for nothing yet.
func (s *resources) setProtection(ctx context.Context, c *Call, adopt bool, edit func(before *store.Protection) (protection.Document, error)) error {
	rc, err := s.umaClientOf(ctx, c.RP)
	if err != nil {
		return err
	}
	stored := false
	err = s.locked(ctx, keyOf(c.RP), func() error {
		next, err := s.storeProtection(ctx, c.RP.ID, edit)
		if err != nil {
			return err
		}
		stored = true
		return s.synchronize(ctx, rc, next, adopt)
	})
	if !stored {
		return err
	}
	// What it must deny now, Envoy is told also when the AS failed. Nobody else waits for
	// Envoys: the registrations are unlocked.
	return errors.Join(err, s.changed(ctx, c))
}

// storeProtection writes what edit makes of what is stored.
func (s *resources) storeProtection(ctx context.Context, oxdID string, edit func(before *store.Protection) (protection.Document, error)) (store.Protection, error) {
	next := store.Protection{OxdID: oxdID}
	if _, err := s.loadRP(ctx, oxdID); err != nil { // removed since the command came
		return next, err
	}
	var before *store.Protection
	switch kept, err := s.records.Protection(ctx, oxdID); {
	case err == nil:
		before, next.Settled = &kept, kept.Settled
	case !errors.Is(err, store.ErrNotFound):
		return next, err
	}
	document, err := edit(before)
	if err != nil {
		return next, err
	}
	if next.Document, err = document.Encode(); err != nil {
		return next, err
	}
	next.UpdatedAt = s.now()
	return next, s.records.PutProtection(ctx, next)
}

// synchronize brings the AS's registrations in step with what is stored. With adopt,
// resources of the same names that the client has already are taken over.
func (s *resources) synchronize(ctx context.Context, rc *rpClient, p store.Protection, adopt bool) error {
	ctx = audit.WithActor(ctx, audit.Actor{Kind: audit.KindOxd, Name: rc.rp.ID})
	made, err := siteOf(rc.rp, p, s.origin)
	if err != nil {
		return err
	}
	desired := siteResources(&made, adopt)
	if err := s.register(ctx, rc, desired); err != nil {
		return err
	}
	if err := s.keepFindings(ctx, rc); err != nil {
		return err
	}
	p.Settled = true
	if err := s.records.PutProtection(ctx, p); err != nil {
		return err
	}
	names := make([]string, 0, len(desired))
	for i := range desired {
		names = append(names, desired[i].Name)
	}
	s.logger.Info("an application's resources are protected", slog.String("oxd_id", rc.rp.ID), slog.Any("resources", names))
	return nil
}

// register brings the AS in step. A PAT may have ended at the AS before its time, which
// some tell as a bad request: then it is done once more, with a new one.
func (s *resources) register(ctx context.Context, rc *rpClient, desired []reconcile.Desired) error {
	err := s.reconcile(ctx, rc, desired)
	if patMayHaveEnded(err) {
		if _, err := rc.pats.Renew(ctx); err != nil {
			return opFailure(err, "the AS gives no PAT")
		}
		err = s.reconcile(ctx, rc, desired)
	}
	if err != nil {
		return protectFailure(err)
	}
	return nil
}

func (s *resources) reconcile(ctx context.Context, rc *rpClient, desired []reconcile.Desired) error {
	const attempts, base, longest = 2, 200 * time.Millisecond, 2 * time.Second
	r := &reconcile.Reconciler{
		AS: rc.server.Protection(rc.pats), Records: s.records, Key: keyOf(rc.rp), Now: s.now, Audit: s.audit,
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

// keepFindings stores what was found out of the AS, and the PAT: the site's worker begins
// with both, and so serves at once.
func (s *resources) keepFindings(ctx context.Context, rc *rpClient) error {
	metadata, err := json.Marshal(rc.server.Metadata())
	if err != nil {
		return err
	}
	key := keyOf(rc.rp)
	if err := s.records.PutDiscovery(ctx, key, store.Discovery{Metadata: metadata, FoundAt: s.now()}); err != nil {
		return err
	}
	pat, ok := rc.pats.Current()
	if !ok {
		return nil
	}
	return s.records.PutPAT(ctx, key, store.PAT{Value: pat.Value, ClientID: rc.rp.ClientID, IssuedAt: pat.IssuedAt, ExpiresAt: pat.ExpiresAt})
}

// forget deletes the RP and what it protects. The registrations stay at the AS, as with
// oxd; under the lock, none of them is recorded anew.
func (s *resources) forget(ctx context.Context, rp *RP) error {
	remove := func() error { return s.store.DeleteRP(ctx, rp.ID, keyOf(rp)) }
	if s.records == nil {
		return remove()
	}
	return s.locked(ctx, keyOf(rp), remove)
}

// umaClientOf is clientOf, for an AS that has what a resource server needs.
func (s *resources) umaClientOf(ctx context.Context, rp *RP) (*rpClient, error) {
	if s.records == nil {
		return nil, fail(CodeUnsupportedOperation, "this server keeps no resources")
	}
	rc, err := s.clientOf(ctx, rp)
	if err != nil {
		return nil, err
	}
	if m := rc.server.Metadata(); m.ResourceRegistrationEndpoint == "" || m.PermissionEndpoint == "" || m.IntrospectionEndpoint == "" {
		return nil, fail(CodeNoUMADiscovery, "op_host names no UMA endpoints (/.well-known/uma2-configuration)")
	}
	return rc, nil
}

// locked runs f while nobody else changes the registrations of key.
func (s *resources) locked(ctx context.Context, key store.Key, f func() error) (err error) {
	unlock, err := store.Lock(ctx, s.records, key, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return f()
}

// changed has Envoys enforce what is protected now.
func (s *resources) changed(ctx context.Context, c *Call) error {
	if s.notify == nil {
		return nil
	}
	enforced, err := s.notify(ctx)
	if err == nil && !enforced {
		c.warn("some Envoys enforce what was before: umagate status names them")
	}
	return err
}

func keyOf(rp *RP) store.Key {
	return store.Key{Site: protection.SiteName(rp.ID), Issuer: rp.Issuer}
}
