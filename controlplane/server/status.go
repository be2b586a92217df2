package server

import (
	"errors"
	"fmt"
	"time"

	"github.com/umagate/umagate/controlplane/site/link"
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
	// Revision is the filter configuration last published, Pushed its xDS versions.
	Revision    string              `json:"revision,omitempty"`
	PublishedAt time.Time           `json:"published_at,omitzero"`
	Pushed      map[xds.Type]string `json:"pushed"`
	// PublishError and ReloadError: why the last attempt had no effect.
	PublishError string       `json:"publish_error,omitempty"`
	ReloadError  string       `json:"reload_error,omitempty"`
	Sites        []SiteStatus `json:"sites"`
	Envoys       []xds.Envoy  `json:"envoys"`
}

// SiteStatus is one site's part of [Status].
type SiteStatus struct {
	Name    string `json:"name"`
	Issuer  string `json:"issuer"`
	Dialect string `json:"dialect,omitempty"`
	Phase   Phase  `json:"phase"`
	// ClientID is empty before there is a client; Registered says that umagate
	// registered it.
	ClientID     string         `json:"client_id,omitempty"`
	Registered   bool           `json:"registered"`
	PATExpiresAt time.Time      `json:"pat_expires_at,omitzero"`
	PATRenewsAt  time.Time      `json:"pat_renews_at,omitzero"`
	Resources    ResourceStatus `json:"resources"`
	Failure      *FailureStatus `json:"failure,omitempty"`
}

// ResourceStatus counts the resources that the site's AS has to have.
type ResourceStatus struct {
	Declared   int       `json:"declared"`
	Registered int       `json:"registered"`
	SyncedAt   time.Time `json:"synced_at,omitzero"`
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
	w.mu.Lock()
	defer w.mu.Unlock()
	out := SiteStatus{
		Name: w.site.Name, Issuer: w.site.AuthorizationServer.Issuer, Phase: w.phase,
		ClientID: clientID(w.auth), Registered: w.ownedID, PATExpiresAt: w.pat.ExpiresAt, PATRenewsAt: w.renewAt,
		Resources: ResourceStatus{SyncedAt: w.synced},
	}
	if w.server != nil {
		out.Dialect = string(w.server.Dialect().Name)
	}
	for _, d := range link.Desired(w.site) {
		out.Resources.Declared++
		if w.ids[d.Name] != "" {
			out.Resources.Registered++
		}
	}
	if f := w.failure; f != nil {
		out.Failure = &FailureStatus{
			Message: f.err.Error(), Remedy: remedy(f.err), Since: f.since, Attempts: f.attempts, NextRetry: f.nextRetry,
		}
	}
	return out
}

// status puts everything together.
func (s *serving) status() Status {
	published := s.publisher.state()
	out := Status{
		Problems: []string{}, Version: s.options.Version, StartedAt: s.started, Leader: s.leads(), Revision: published.revision, PublishedAt: published.at,
		Pushed: s.xds.Versions(), Sites: []SiteStatus{}, Envoys: s.xds.Envoys(),
	}
	problem := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	switch {
	case published.err != nil:
		out.PublishError = published.err.Error()
		problem("the configuration cannot be published: %v", published.err)
	case published.behind:
		problem("a change is being published")
	}
	if err := s.reloader.lastError(); err != nil {
		out.ReloadError = err.Error()
		problem("%s was not taken over: %v", s.options.Path, err)
	}
	_, workers := s.current()
	for _, w := range workers {
		site := w.status()
		out.Sites = append(out.Sites, site)
		switch {
		case site.Failure != nil:
			problem("site %s: %s: %s", site.Name, site.Phase, site.Failure.Message)
		case site.Phase == Following:
			if !w.known() {
				problem("site %s: the replica that leads has not got it ready yet", site.Name)
			}
		case site.Phase != Serving:
			problem("site %s: still %s", site.Name, site.Phase)
		}
	}
	for _, e := range out.Envoys {
		if !e.Connected {
			continue
		}
		for _, kind := range xds.Types() {
			state := e.Types[kind]
			switch {
			case state.Refused != "":
				problem("envoy %s refused %s %s: %s", e.NodeID, kind, state.Refused, state.Words)
			case state.Sent != "" && state.Acknowledged != state.Sent:
				problem("envoy %s has not acknowledged %s %s yet", e.NodeID, kind, state.Sent)
			}
		}
	}
	out.OK = len(out.Problems) == 0
	return out
}

// ready: everything known has been published, so an Envoy that connects gets it.
func (s *serving) ready() error {
	if published := s.publisher.state(); published.revision == "" {
		return errors.Join(errors.New("nothing is published yet"), published.err)
	}
	return nil
}
