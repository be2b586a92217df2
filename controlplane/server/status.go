package server

import (
	"cmp"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/kept"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/xds"
)

// Status is the answer of GET /v1/status, which `umagate status` prints. It
// holds no secret.
type Status struct {
	// OK: there are no Conditions.
	OK bool `json:"ok"`
	// Conditions is what is the matter, by site and name.
	Conditions []health.Condition `json:"conditions"`

	Version   string    `json:"version,omitempty"`
	StartedAt time.Time `json:"started_at"`
	// Leader: this replica is the one that registers, renews and synchronises.
	Leader bool `json:"leader"`
	// Replica is the name of the one that answers, LeaderName that of the one that
	// leads, or led last, as the store has it.
	Replica     string    `json:"replica"`
	LeaderName  string    `json:"leader_name,omitempty"`
	LeaderSince time.Time `json:"leader_since,omitzero"`
	// Revision is that of all sites together, as last published. Pushed are the xDS
	// versions of the one group there is; empty where the file declares groups.
	Revision    string              `json:"revision,omitempty"`
	PublishedAt time.Time           `json:"published_at,omitzero"`
	Pushed      map[xds.Type]string `json:"pushed"`
	// Groups are the parts of the fleet, in the order of the file.
	Groups []GroupStatus `json:"groups"`
	Sites  []SiteStatus  `json:"sites"`
	Envoys []xds.Envoy   `json:"envoys"`
	// Agents are those beside Envoys, which keep what is good. They are no Envoys, and
	// nothing waits for them.
	Agents []xds.Envoy `json:"agents,omitempty"`
	// TurnedAway are the Envoys that no group has and that go on trying.
	TurnedAway []xds.Rejected `json:"turned_away"`
	// NotLetIn are who connects to listen.xds in vain: one side does not take the other's
	// certificate.
	NotLetIn []xds.Rejected `json:"not_let_in,omitempty"`
}

// GroupStatus is one group's part of [Status].
type GroupStatus struct {
	Name     string              `json:"name"`
	Sites    []string            `json:"sites"`
	Revision string              `json:"revision"`
	Pushed   map[xds.Type]string `json:"pushed"`
	// Connected Envoys, those that have accepted all that was pushed, and those that
	// refuse something of it.
	Connected int `json:"connected"`
	Current   int `json:"current"`
	Refusing  int `json:"refusing"`
}

// SiteStatus is one site's part of [Status].
type SiteStatus struct {
	Name    string             `json:"name"`
	Issuer  string             `json:"issuer"`
	Dialect string             `json:"dialect,omitempty"`
	Phase   registration.Phase `json:"phase"`
	// ClientID is empty before there is a client; Registered says that umagate
	// registered it.
	ClientID   string `json:"client_id,omitempty"`
	Registered bool   `json:"registered"`
	// AuthMethod is how the client authenticates.
	AuthMethod string `json:"token_endpoint_auth_method,omitempty"`
	// SecretExpiresAt is zero for a secret that does not expire.
	SecretExpiresAt time.Time `json:"client_secret_expires_at,omitzero"`
	// KeyID is the kid of the key that umagate made and uses.
	KeyID string `json:"kid,omitempty"`
	// Conditions is what is the matter with the site.
	Conditions   []health.Condition `json:"conditions,omitempty"`
	PATExpiresAt time.Time          `json:"pat_expires_at,omitzero"`
	PATRenewsAt  time.Time          `json:"pat_renews_at,omitzero"`
	Resources    ResourceStatus     `json:"resources"`
	// Kept is what is known of resources that the AS keeps (resources_at_as).
	Kept    *KeptStatus    `json:"kept,omitempty"`
	Failure *FailureStatus `json:"failure,omitempty"`
}

// ResourceStatus counts the resources that the site's AS has to have.
type ResourceStatus struct {
	Declared   int `json:"declared"`
	Registered int `json:"registered"`
	// Withheld are no longer declared, and more than are deleted unasked.
	Withheld int       `json:"deletions_withheld,omitempty"`
	SyncedAt time.Time `json:"synced_at,omitzero"`
	// Instances counts those of resources whose name has variables.
	Instances []instance.Counts `json:"instances,omitempty"`
}

// KeptStatus is what is in force of the resources that a site's AS keeps.
type KeptStatus struct {
	// ReadAt is when they were read last, zero before the first time.
	ReadAt    time.Time `json:"read_at,omitzero"`
	Resources int       `json:"resources"`
	Paths     int       `json:"paths"`
	// Withheld are gone at the AS and stay as they were.
	Withheld int `json:"removals_withheld,omitempty"`
	// Withdrawn are paths that were protected once, and that no resource has any more.
	Withdrawn []string `json:"withdrawn,omitempty"`
	// Notes are what is narrower than at Keycloak's policy enforcer.
	Notes []kept.Note `json:"notes,omitempty"`
}

func keptStatus(k *registration.Kept) *KeptStatus {
	out := &KeptStatus{}
	if k == nil {
		return out
	}
	out.ReadAt, out.Resources, out.Withheld, out.Withdrawn = k.ReadAt, len(k.Reading.Resources), len(k.Reading.Withheld), k.Reading.Withdrawn
	for i := range k.Reading.Resources {
		out.Paths += len(k.Reading.Resources[i].URIs)
	}
	for _, n := range k.Notes {
		const most = 50
		if n.Narrowed && len(out.Notes) < most {
			out.Notes = append(out.Notes, n)
		}
	}
	return out
}

// FailureStatus is what keeps a site from serving as declared.
type FailureStatus struct {
	Message   string    `json:"message"`
	Remedy    string    `json:"remedy,omitempty"`
	Since     time.Time `json:"since"`
	Attempts  int       `json:"attempts"`
	NextRetry time.Time `json:"next_retry"`
}

func (w *worker) status() SiteStatus {
	instances := w.countInstances()
	now := w.Snapshot()
	out := SiteStatus{
		Name: w.site.Name, Issuer: w.site.AuthorizationServer.Issuer, Phase: now.Phase,
		Conditions: w.Conditions(&now), ClientID: now.Client.ID(), PATExpiresAt: now.PAT.ExpiresAt, PATRenewsAt: now.PATRenewsAt,
		Resources: ResourceStatus{SyncedAt: now.SyncedAt, Withheld: now.Withheld, Instances: instances},
	}
	out.Resources.Declared, out.Resources.Registered = w.Declared(now)
	if w.site.ResourcesAtAS != nil {
		out.Kept = keptStatus(now.Kept)
	}
	if c := now.Client; c != nil {
		out.Registered, out.AuthMethod, out.SecretExpiresAt, out.KeyID = c.Registered, string(c.Auth.Method()), c.SecretExpiresAt, now.KeyID
	}
	if now.Server != nil {
		out.Dialect = string(now.Server.Dialect().Name)
	}
	if f := now.Failure; f != nil {
		out.Failure = &FailureStatus{
			Message: f.Err.Error(), Remedy: registration.Remedy(f.Err), Since: f.Since, Attempts: f.Attempts, NextRetry: f.NextRetry,
		}
	}
	return out
}

// settled returns what was published and what look sees, both of one moment: it
// looks again when something has changed meanwhile. What changes all the time is
// behind, and says so.
func settled[T any](state func() publication, look func() T) (publication, T) {
	const tries = 3
	for n := 1; ; n++ {
		before := state()
		seen := look()
		after := state()
		if after.changes == before.changes {
			return after, seen
		}
		if n == tries {
			after.behind = true
			return after, seen
		}
	}
}

// outcome is what status shows of sites and of what Envoys are given.
type outcome struct {
	sites    []SiteStatus
	versions map[string]map[xds.Type]string
}

func (s *controlPlane) outcome() outcome {
	_, workers := s.current()
	out := outcome{sites: make([]SiteStatus, 0, len(workers))}
	for _, w := range workers {
		out.sites = append(out.sites, w.status())
	}
	out.versions = s.xds.Versions()
	return out
}

// status puts everything together.
func (s *controlPlane) status() Status {
	published, now := settled(s.publisher.state, s.outcome)
	out := Status{
		Version: s.options.Version, StartedAt: s.started, Leader: s.leads(), Revision: published.revision, PublishedAt: published.at,
		Sites: now.sites, Envoys: s.xds.Envoys(), Agents: s.xds.Agents(), TurnedAway: []xds.Rejected{},
	}
	for _, r := range s.xds.Rejected() {
		if r.Reason != "" {
			out.NotLetIn = append(out.NotLetIn, r)
		} else {
			out.TurnedAway = append(out.TurnedAway, r)
		}
	}
	out.group(published.groups, now.versions)
	leader := s.leadership.known()
	out.Replica, out.LeaderName, out.LeaderSince = s.options.Name, leader.Name, leader.Since
	out.Conditions = s.conditions(&out, published, time.Now())
	out.OK = len(out.Conditions) == 0
	return out
}

// group fills in what the groups have.
func (s *Status) group(groups []publishedGroup, versions map[string]map[xds.Type]string) {
	s.Groups, s.Pushed = []GroupStatus{}, versions[xds.Default]
	if s.Pushed == nil {
		s.Pushed = map[xds.Type]string{}
	}
	for _, g := range groups {
		out := GroupStatus{Name: g.name, Sites: g.sites, Revision: g.revision, Pushed: versions[g.name]}
		for i := range s.Envoys {
			e := &s.Envoys[i]
			if !e.Connected || e.Group != g.name {
				continue
			}
			out.Connected++
			refuses, current := false, true
			for kind, version := range out.Pushed {
				refuses = refuses || e.Types[kind].Refused != ""
				// What it has not asked for, it does not need.
				current = current && (e.Types[kind].Acknowledged == version || e.Types[kind].Sent == "" && kind != xds.ECDS)
			}
			if refuses {
				out.Refusing++
			} else if current {
				out.Current++
			}
		}
		s.Groups = append(s.Groups, out)
	}
}

// siteStatuses lists the sites by name.
func (s *controlPlane) siteStatuses() []SiteStatus {
	_, workers := s.current()
	out := make([]SiteStatus, 0, len(workers))
	for _, w := range workers {
		out = append(out, w.status())
	}
	slices.SortFunc(out, func(a, b SiteStatus) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
