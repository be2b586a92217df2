package oxd

import (
	"context"
	"slices"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/oxd/protection"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/sync"
)

// clientKey is locked by whoever changes resources that a client may share: two
// sites of one client must not take over the same one.
func clientKey(rp *RP) store.Key {
	return store.Key{Site: "client " + rp.ClientID, Issuer: rp.Issuer}
}

// foreign gives the ids of the resources that other sites have at the AS of rp, as
// far as its client may see them.
func (s *Server) foreign(ctx context.Context, rp *RP) (map[string]bool, error) {
	all, err := s.config.Store.RPs(ctx)
	if err != nil {
		return nil, err
	}
	var keys []store.Key
	if s.config.Keys != nil {
		keys = s.config.Keys()
	}
	for _, other := range all {
		if other.ID != rp.ID && other.ClientID == rp.ClientID {
			keys = append(keys, store.Key{Site: protection.SiteName(other.ID), Issuer: other.Issuer})
		}
	}
	out := map[string]bool{}
	for _, other := range keys {
		if other.Issuer != rp.Issuer {
			continue
		}
		records, err := s.config.Records.Resources(ctx, other)
		if err != nil {
			return nil, err
		}
		for _, r := range records {
			if r.ID != "" {
				out[r.ID] = true
			}
		}
	}
	return out, nil
}

// apart is an AS on which a site neither finds nor deletes what other sites have.
type apart struct {
	sync.AS

	foreign map[string]bool
}

// FindByName implements [sync.AS].
func (a apart) FindByName(ctx context.Context, name string) ([]as.Resource, error) {
	found, err := a.AS.FindByName(ctx, name)
	return a.own(found), err
}

// Survey implements [sync.AS].
func (a apart) Survey(ctx context.Context) (as.Survey, error) {
	survey, err := a.AS.Survey(ctx)
	survey.Resources = a.own(survey.Resources)
	return survey, err
}

// Delete implements [sync.AS]: what another site has stays, and is this one's no more.
func (a apart) Delete(ctx context.Context, id string) error {
	if a.foreign[id] {
		return nil
	}
	return a.AS.Delete(ctx, id)
}

func (a apart) own(found []as.Resource) []as.Resource {
	return slices.DeleteFunc(found, func(r as.Resource) bool { return a.foreign[r.ID] })
}
