package oxd

import (
	"context"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
)

// link is an RP with its OP and its credential: what a command about an RP calls.
type link struct {
	*provider

	rp   *RP
	auth clientauth.Auth
	pats *as.PATSource
	now  func() time.Time
}

// links keep the PAT of each RP across commands.
type links struct {
	mu    sync.Mutex
	known map[string]*link
}

// link joins the RP with its OP. It is kept as long as the RP does not change.
func (s *rps) link(ctx context.Context, rp *RP) (*link, error) {
	p, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return nil, err
	}
	if known := s.links.get(rp.ID); known != nil && known.provider == p && known.rp.version == rp.version {
		return known, nil
	}
	auth, err := s.clientAuth(rp)
	if err != nil {
		return nil, err
	}
	l := &link{provider: p, rp: rp, auth: auth, now: s.now}
	l.pats = as.NewPATSource(as.Token{}, func(ctx context.Context) (as.Token, error) { return p.server.PAT(ctx, auth) }, nil, s.now)
	s.links.put(l)
	return l, nil
}

func (k *links) get(id string) *link {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[id]
}

func (k *links) put(l *link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]*link{}
	}
	k.known[l.rp.ID] = l
}

func (k *links) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, id)
}
