package legacy

import (
	"context"
	"errors"
	"time"

	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// Kept counts what [Found.Keep] did.
type Kept struct {
	// RPs were brought over, with Resources; There were in the store already, and are
	// left as they are.
	RPs, Resources, There int
}

// Keep puts the RPs and their resources into the store, under the oxd_ids that they
// have. An RP whose OP umagate.yaml does not list is noted and left out. It may be
// done again: what is there stays.
func (f *Found) Keep(ctx context.Context, kept oxd.ImportStore, settings *site.OXD, now time.Time) (Kept, error) {
	var done Kept
	for i := range f.Entries {
		e := f.Entries[i]
		host := e.RP.OPHost
		if host == "" {
			host = settings.DefaultHost()
			e.RP.OPHost = host
		}
		p, ok := settings.Provider(whole(host))
		if !ok {
			f.note(e.RP.ID, "left out: op_host %q is not one of oxd.op_hosts", e.RP.OPHost)
			continue
		}
		e.RP.Issuer = p.IssuerOrURL()
		err := oxd.Import(ctx, kept, e.RP, e.Document, e.IDs, now)
		switch {
		case errors.Is(err, store.ErrChanged):
			done.There++
		case err != nil:
			return done, err
		default:
			done.RPs++
			done.Resources += len(e.IDs)
		}
	}
	return done, nil
}
