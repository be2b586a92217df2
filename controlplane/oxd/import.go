package oxd

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// ImportStore is where [Import] puts what another server kept.
type ImportStore interface {
	RPs
	Protections

	PutResource(ctx context.Context, key store.Key, r store.Resource) error
}

// Import keeps an RP of another server as if it had been registered here: its
// oxd_id, its client, what it protects, and the ids of its resources by name.
// store.ErrChanged: that oxd_id is there already, and nothing was changed.
func Import(ctx context.Context, kept ImportStore, rp RP, d protection.Document, ids map[string]string, now time.Time) error {
	rp.version = 0
	if _, err := kept.RP(ctx, rp.ID); err == nil {
		return store.ErrChanged
	}
	if len(d) > 0 {
		if err := importProtection(ctx, kept, &rp, d, ids, now); err != nil {
			return err
		}
	}
	// The RP comes last: a process killed before it is begun anew.
	return (&rps{ops: &ops{now: func() time.Time { return now }}, store: kept}).saveRP(ctx, &rp)
}

func importProtection(ctx context.Context, kept ImportStore, rp *RP, d protection.Document, ids map[string]string, now time.Time) error {
	document, err := d.Encode()
	if err != nil {
		return err
	}
	p := store.Protection{OxdID: rp.ID, Document: document, Settled: true, UpdatedAt: now}
	made, err := siteOf(rp, p, func(string) site.AuthorizationServer { return site.New().AuthorizationServer })
	if err != nil {
		return err
	}
	for _, desired := range siteResources(&made, false) {
		id := ids[desired.Name]
		if id == "" {
			continue // it is registered when the site is brought in step
		}
		desired.Scopes = slices.Sorted(slices.Values(desired.Scopes))
		spec, err := json.Marshal(desired)
		if err != nil {
			return fmt.Errorf("oxd: encode resource %q: %w", desired.Name, err)
		}
		record := store.Resource{Name: desired.Name, State: store.ResourceRegistered, ID: id, Spec: spec, UpdatedAt: now}
		if err := kept.PutResource(ctx, keyOf(rp), record); err != nil {
			return err
		}
	}
	return kept.PutProtection(ctx, p)
}
