package registration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/plugin/config"
)

// discoveryStore keeps the AS's metadata.
type discoveryStore interface {
	Discovery(ctx context.Context, key store.Key) (store.Discovery, error)
	PutDiscovery(ctx context.Context, key store.Key, d store.Discovery) error
}

// discovery owns what is known of the AS itself.
type discovery struct {
	*account

	store  discoveryStore
	client *as.Client
	server *as.Server // nil before the first reading
	due    time.Time
}

// step reads the metadata when it is due. Where an earlier reading exists, a failure
// is logged and the earlier one stays in use.
func (d *discovery) step(ctx context.Context) (*as.Server, error) {
	if d.server != nil && time.Now().Before(d.due) {
		return d.server, nil
	}
	if d.server == nil {
		d.enter(Discovering)
	}
	found, err := d.client.Discover(ctx)
	if err == nil {
		err = checkEndpoints(d.site, found.Metadata())
	}
	if err == nil {
		err = d.endpointsWork(ctx, found)
	}
	if err != nil {
		if d.server == nil || ctx.Err() != nil {
			return nil, err
		}
		d.due = time.Now().Add(d.intervals.RetryMax)
		d.logger.Warn("discovery failed; the endpoints known so far stay in use", slog.Any("error", err), slog.String("remedy", Remedy(err)))
		return d.server, nil
	}
	metadata, err := json.Marshal(found.Metadata())
	if err != nil {
		return nil, fmt.Errorf("encode the metadata: %w", err)
	}
	if err := d.store.PutDiscovery(ctx, d.key, store.Discovery{Metadata: metadata, FoundAt: time.Now()}); err != nil {
		return nil, err
	}
	d.use(found)
	d.due = time.Now().Add(d.intervals.Discover)
	return found, nil
}

func (d *discovery) use(found *as.Server) {
	d.server = found
	d.board.update(func(s *Snapshot) bool {
		s.Server = found
		return true
	})
}

// restore uses the reading that is in the store.
func (d *discovery) restore(ctx context.Context) error {
	stored, err := d.store.Discovery(ctx, d.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var metadata as.Metadata
	if err := json.Unmarshal(stored.Metadata, &metadata); err != nil {
		return fmt.Errorf("site %s: stored metadata: %w", d.site.Name, err)
	}
	known, err := d.client.Known(metadata)
	if err == nil {
		err = checkEndpoints(d.site, known.Metadata())
	}
	if err != nil {
		// The file has changed since; a new discovery decides.
		d.logger.Warn("stored metadata does not fit the file any more", slog.Any("error", err))
		return nil
	}
	d.use(known)
	return nil
}

// checkEndpoints names the endpoint that a site cannot do without and the AS
// does not name.
func checkEndpoints(s *site.Site, m as.Metadata) error {
	uma := s.Require != config.RequireOAuthScopes
	for _, e := range []struct {
		name, value string
		needed      bool
	}{
		{"introspection_endpoint", m.IntrospectionEndpoint, true},
		{"permission_endpoint", m.PermissionEndpoint, uma},
		{"resource_registration_endpoint", m.ResourceRegistrationEndpoint, len(reconcile.Declared(s)) > 0 || s.HasInstances() || s.ResourcesAtAS != nil},
		{"registration_endpoint", m.RegistrationEndpoint, s.AuthorizationServer.Client.Register != nil},
	} {
		if e.needed && e.value == "" {
			return &as.Error{Op: "read the authorization server's metadata", Kind: as.ErrMissingEndpoint, Description: e.name}
		}
	}
	return nil
}

// introspectionCredential is what Envoy introspects with.
func introspectionCredential(s *site.Site, server *as.Server) as.Credential {
	if c := s.AuthorizationServer.Introspection.Credential; c != "" {
		return c
	}
	return server.Dialect().Introspection
}

// needsPAT: UMA needs one, and so may introspection.
func needsPAT(s *site.Site, server *as.Server) bool {
	return s.Require != config.RequireOAuthScopes || introspectionCredential(s, server) == as.CredentialPAT
}
