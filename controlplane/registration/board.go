package registration

import (
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/controlplane/site"
)

// Phase is what a site's worker is doing.
type Phase string

// The phases, in their order.
const (
	Discovering Phase = "discovering"
	Registering Phase = "registering"
	GettingPAT  Phase = "pat"
	Syncing     Phase = "syncing"
	Serving     Phase = "serving"
	// Standby: another replica does the work, and this one serves what it wrote.
	Standby Phase = "following"
	// Deregistered: nothing is done for the site any more, by request.
	Deregistered Phase = "deregistered"
)

// Phases lists them in their order.
func Phases() []Phase {
	return []Phase{Discovering, Registering, GettingPAT, Syncing, Serving, Standby, Deregistered}
}

// Snapshot is what is known of a site at one moment. What it points to does not
// change.
type Snapshot struct {
	Phase      Phase
	PhaseSince time.Time
	Failure    *Failure // nil when all is well

	Server *as.Server // nil before the first discovery
	Client *Client    // nil for none

	// JWKS is the public part of the keys that umagate made for the client; nil for
	// none. KeyID is the one in use.
	JWKS  json.RawMessage
	KeyID string

	PAT         as.Token
	PATRenewsAt time.Time
	source      *as.PATSource // renews it; nil where this process does not

	ResourceIDs map[string]string // by name
	Kept        *Kept             // nil for none, or before the first look
	SyncedAt    time.Time
	// Withheld is how many deletions wait for somebody to ask for them.
	Withheld int
}

// enter reports whether the phase is another than before.
func (s *Snapshot) enter(p Phase) bool {
	if s.Phase == p {
		return false
	}
	s.Phase, s.PhaseSince = p, time.Now()
	return true
}

// known reports whether the site can be served with what is known.
func (s *Snapshot) known(of *site.Site) bool {
	return s.Server != nil && s.Client != nil && (of.ResourcesAtAS == nil || s.Kept != nil) && (!needsPAT(of, s.Server) || !s.PAT.Value.IsZero())
}

// Failure is what keeps a worker from its next phase.
type Failure struct {
	Err       error
	Since     time.Time
	Attempts  int
	NextRetry time.Time
}

// Facts returns what Envoy's configuration is made of.
func (s *Snapshot) Facts() (site.Facts, envoyconf.Credentials) {
	var credentials envoyconf.Credentials
	if s.Client != nil {
		credentials = s.Client.credentials
	}
	credentials.PAT = envoyconf.Bearer(s.PAT.Value)
	if s.Server == nil {
		return site.Facts{}, credentials // not known yet: the site denies
	}
	facts := site.FactsOf(s.Server, s.ResourceIDs)
	if s.Kept != nil {
		facts.Kept = &s.Kept.Kept
	}
	facts.ClientCertificate = !credentials.Certificate.IsZero()
	if s.Client != nil {
		facts.Audience = s.Client.ID()
	}
	if s.Client != nil && s.Client.method.UsesTLS() {
		facts.ClientID = s.Client.ID()
	}
	return facts, credentials
}

// board has the latest snapshot. The owners write it; who publishes and who asks for
// the status read it.
type board struct {
	// changed is called with mu held when there is something new to publish: nobody
	// may see the change before it is counted.
	changed func()

	mu  sync.Mutex
	now Snapshot
}

func (b *board) read() Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// update changes the snapshot. set reports whether there is something new to publish.
func (b *board) update(set func(*Snapshot) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if set(&b.now) {
		b.changed()
	}
}

func (a *account) enter(p Phase) {
	a.board.update(func(s *Snapshot) bool {
		if s.enter(p) {
			a.logger.Debug("site enters a phase", slog.String("phase", string(p)))
		}
		return false
	})
}
