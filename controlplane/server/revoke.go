package server

import (
	"context"
	"fmt"
	"strings"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/revoke"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
)

// newRevocations makes the list of what is revoked.
func newRevocations(
	options Options, kept *store.SQL, recorder audit.Recorder, envoys *xds.Server, sites *inForce, leadership *leadership, changes *changes,
) *revoke.List {
	return revoke.New(revoke.Options{
		Store: kept, Changes: kept.Changes, Sites: sites.revocation, Logger: options.Logger, Recorder: recorder,
		Changed: changes.add, Leads: leadership.leads, Every: options.Intervals.Standby,
		Acknowledged: func() []string {
			var versions []string
			for _, e := range envoys.Envoys() {
				if e.Connected {
					versions = append(versions, e.Types[xds.ECDS].Acknowledged)
				}
			}
			return versions
		},
	})
}

// revocation is what revocation needs to know of the sites in force.
func (f *inForce) revocation() []revoke.Site {
	workers := f.get().workers
	out := make([]revoke.Site, 0, len(workers))
	for _, w := range workers {
		out = append(out, w.revocation())
	}
	return out
}

func (w *worker) revocation() revoke.Site {
	now, settings := w.Snapshot(), w.site.Revocation
	out := revoke.Site{
		Name: w.site.Name, Keep: settings.Keep, Now: w.ASTime(), Leeway: w.site.Token.Leeway, NotBeforeEvery: settings.NotBeforeEvery,
		OwnClientID: now.Client.ID(), ClientIDs: append([]string{}, settings.ClientIDs...),
	}
	if out.OwnClientID != "" {
		out.ClientIDs = append(out.ClientIDs, out.OwnClientID)
	}
	server := now.Server
	if server == nil {
		return out
	}
	metadata := server.Metadata()
	out.Issuer, out.JWKS, out.Client = metadata.Issuer, metadata.JWKSURI, server.HTTPClient()
	out.Names = server.Names()
	if server.Dialect().Name == as.DialectKeycloak {
		out.NotBeforeURL = realmURL(metadata)
		out.NotBeforeRead = func(err error) { w.Set(health.NotBeforeUnknown, notBeforeUnknown(err)) }
	}
	if now.Client != nil && server.CanRevoke() {
		out.RevokeAtAS = func(ctx context.Context, token secret.Text) error { return server.Revoke(ctx, now.Client.Auth, token) }
	}
	return out
}

// realmURL is a Keycloak realm's own address as it is reached from here: that which
// its token endpoint is below. The issuer may be a name for browsers only.
func realmURL(m as.Metadata) string {
	if realm, ok := strings.CutSuffix(m.TokenEndpoint, "/protocol/openid-connect/token"); ok {
		return realm
	}
	return m.Issuer
}

// notBeforeUnknown says what follows from an err that keeps Keycloak's not-before from
// being read; nil for none.
func notBeforeUnknown(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("a not-before that is set in Keycloak is not known, and tokens that it revokes are still taken: %w; let umagate reach that address, or do without it by revocation.not_before_every: 0s", err)
}
