package oxd

import (
	"context"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/clientauth"
)

// rpClient is an RP as a client of its OP: what a command about an RP calls.
type rpClient struct {
	*provider

	rp   *RP
	auth clientauth.Auth
	pats *as.PATSource
	now  func() time.Time
}

// rpClients keep the PAT of each RP across commands.
type rpClients struct {
	mu    sync.Mutex
	known map[string]*rpClient
}

// clientOf joins the RP with its OP and its credential. It is kept as long as the RP does not change.
func (s *rps) clientOf(ctx context.Context, rp *RP) (*rpClient, error) {
	p, err := s.provider(ctx, rp.OPHost, rp.DiscoveryPath)
	if err != nil {
		return nil, err
	}
	if known := s.clients.get(rp.ID); known != nil && known.provider == p && known.rp.version == rp.version {
		return known, nil
	}
	auth, err := s.clientAuth(rp)
	if err != nil {
		return nil, err
	}
	rc := &rpClient{provider: p, rp: rp, auth: auth, now: s.now}
	rc.pats = as.NewPATSource(as.Token{}, func(ctx context.Context) (as.Token, error) { return p.server.PAT(ctx, auth) }, nil, s.now)
	s.clients.put(rc)
	return rc, nil
}

func (k *rpClients) get(id string) *rpClient {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known[id]
}

func (k *rpClients) put(rc *rpClient) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil {
		k.known = map[string]*rpClient{}
	}
	k.known[rc.rp.ID] = rc
}

func (k *rpClients) forget(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, id)
}
