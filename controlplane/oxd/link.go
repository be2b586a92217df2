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
func (s *Server) link(ctx context.Context, rp *RP) (*link, error) {
	p, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return nil, err
	}
	s.links.mu.Lock()
	known := s.links.known[rp.ID]
	s.links.mu.Unlock()
	if known != nil && known.provider == p && known.rp.version == rp.version {
		return known, nil
	}
	auth, err := s.clientAuth(rp)
	if err != nil {
		return nil, err
	}
	l := &link{provider: p, rp: rp, auth: auth, now: s.config.Now}
	l.pats = as.NewPATSource(as.Token{}, func(ctx context.Context) (as.Token, error) { return p.server.PAT(ctx, auth) }, nil, s.config.Now)
	s.links.mu.Lock()
	defer s.links.mu.Unlock()
	if s.links.known == nil {
		s.links.known = map[string]*link{}
	}
	s.links.known[rp.ID] = l
	return l, nil
}

func (k *links) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, id)
}
