package server

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/instance"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/xds"
)

// Status is the answer of GET /v1/status, which `umagate status` prints. It
// holds no secret.
type Status struct {
	// OK: nothing is listed in Problems.
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`

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
	// PublishError and ReloadError: why the last attempt had no effect.
	PublishError string       `json:"publish_error,omitempty"`
	ReloadError  string       `json:"reload_error,omitempty"`
	Sites        []SiteStatus `json:"sites"`
	Envoys       []xds.Envoy  `json:"envoys"`
	// TurnedAway are the Envoys that no group has and that go on trying.
	TurnedAway []xds.Rejected `json:"turned_away"`
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
	// Attention lists what stops nothing, and should be looked at.
	Attention    []WarningStatus `json:"attention,omitempty"`
	PATExpiresAt time.Time       `json:"pat_expires_at,omitzero"`
	PATRenewsAt  time.Time       `json:"pat_renews_at,omitzero"`
	Resources    ResourceStatus  `json:"resources"`
	Failure      *FailureStatus  `json:"failure,omitempty"`

	// waits: this replica follows, and the one that leads has not got it ready.
	waits bool
}

// WarningStatus is something that a person should look at.
type WarningStatus struct {
	Topic   string    `json:"topic"`
	Message string    `json:"message"`
	Remedy  string    `json:"remedy,omitempty"`
	Since   time.Time `json:"since"`
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
		ClientID: now.Client.ID(), PATExpiresAt: now.PAT.ExpiresAt, PATRenewsAt: now.PATRenewsAt,
		Resources: ResourceStatus{SyncedAt: now.SyncedAt, Withheld: now.Withheld, Instances: instances},
	}
	out.Resources.Declared, out.Resources.Registered = w.Declared(now)
	if c := now.Client; c != nil {
		out.Registered, out.AuthMethod, out.SecretExpiresAt, out.KeyID = c.Registered, string(c.Auth.Method()), c.SecretExpiresAt, now.KeyID
	}
	for _, a := range w.Warnings() {
		out.Attention = append(out.Attention, WarningStatus{Topic: string(a.Topic), Message: a.Err.Error(), Remedy: registration.Remedy(a.Err), Since: a.Since})
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
		site := w.status()
		site.waits = site.Phase == registration.Standby && !w.Known()
		out.sites = append(out.sites, site)
	}
	out.versions = s.xds.Versions()
	return out
}

// status puts everything together.
func (s *controlPlane) status() Status {
	published, now := settled(s.publisher.state, s.outcome)
	out := Status{
		Problems: []string{}, Version: s.options.Version, StartedAt: s.started, Leader: s.leads(), Revision: published.revision, PublishedAt: published.at,
		Sites: now.sites, Envoys: s.xds.Envoys(), TurnedAway: s.xds.Rejected(),
	}
	problem := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	out.group(published.groups, now.versions)
	if s.envoyTLS != nil {
		if err := s.envoyTLS.Failed(); err != nil {
			problem("listen.xds_tls was not taken over, the certificate before stays: %v", err)
		}
	}
	switch {
	case published.err != nil:
		out.PublishError = published.err.Error()
		problem("the configuration cannot be published: %v", published.err)
	case published.behind:
		problem("a change is being published")
	}
	if err := s.reloader.failed.get(); err != nil {
		out.ReloadError = err.Error()
		problem("%s was not taken over: %v", s.options.Path, err)
	}
	leader := s.leadership.known()
	out.Replica, out.LeaderName, out.LeaderSince = s.options.Name, leader.Name, leader.Since
	for _, o := range s.inForce.get().orphaned() {
		problem("%s", o)
	}
	for _, site := range now.sites {
		for _, a := range site.Attention {
			problem("site %s: %s: %s", site.Name, a.Topic, a.Message)
		}
		switch {
		case site.Failure != nil:
			problem("site %s: %s: %s", site.Name, site.Phase, site.Failure.Message)
		case site.Phase == registration.Standby:
			if site.waits {
				problem("site %s: the replica that leads has not got it ready yet", site.Name)
			}
		case site.Phase != registration.Serving:
			problem("site %s: still %s", site.Name, site.Phase)
		}
	}
	out.Problems = append(out.Problems, envoyProblems(out.Envoys, out.TurnedAway)...)
	out.OK = len(out.Problems) == 0
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

// maxEnvoyProblems bounds how many are listed: a thousand Envoys have the same.
const maxEnvoyProblems = 20

// envoyProblems lists what keeps Envoys from having what they were given.
func envoyProblems(envoys []xds.Envoy, away []xds.Rejected) []string {
	var out []string
	for _, t := range away {
		out = append(out, fmt.Sprintf("envoy %s is turned away: no group has it (cluster %q, certificate %q)", t.NodeID, t.Cluster, t.Certificate))
	}
	for _, e := range envoys {
		if !e.Connected {
			continue
		}
		for _, kind := range xds.Types() {
			switch state := e.Types[kind]; {
			case state.Refused != "":
				out = append(out, fmt.Sprintf("envoy %s refused %s %s: %s", e.NodeID, kind, state.Refused, state.ErrorMessage))
			case state.Sent != "" && state.Acknowledged != state.Sent:
				out = append(out, fmt.Sprintf("envoy %s has not acknowledged %s %s yet", e.NodeID, kind, state.Sent))
			}
		}
	}
	if more := len(out) - maxEnvoyProblems; more > 0 {
		out = append(out[:maxEnvoyProblems], fmt.Sprintf("and %d more of Envoys", more))
	}
	return out
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
