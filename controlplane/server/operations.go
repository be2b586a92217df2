package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/reconcile"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/store"
	"github.com/umagate/umagate/controlplane/xds"
)

const (
	// planTimeout bounds a plan: the answer has to be written within writeTimeout.
	planTimeout = 20 * time.Second
	// plansAtOnce bounds the plans under way: each asks much of an AS.
	plansAtOnce = 2
)

// SitePath names a site in a path.
type SitePath struct {
	Site string `path:"site" minLength:"1" maxLength:"63" doc:"the site's name"`
}

// SitePlan is the answer of GET /v1/sites/{site}/plan.
type SitePlan struct {
	Site string `json:"site"`
	// RegisterClient is the client_name that would be registered first.
	RegisterClient string `json:"register_client,omitempty"`
	// InStep: there is nothing to be done.
	InStep  bool            `json:"in_step"`
	Changes []PlannedChange `json:"changes"`
}

// PlannedChange is one change of a [SitePlan].
type PlannedChange struct {
	reconcile.Change

	// Conflict says why it cannot be done.
	Conflict string `json:"conflict,omitempty"`
}

// SyncRequested is the answer of POST /v1/sites/{site}/sync: what comes of it is in
// the site's resources.synced_at, and its failure.
type SyncRequested struct {
	Site        string    `json:"site"`
	RequestedAt time.Time `json:"requested_at"`
}

func (s *controlPlane) siteOperations() []api.Operation {
	return []api.Operation{{
		ID: "listSites", Method: http.MethodGet, Path: "/v1/sites", Tag: "sites", Role: api.Read, ETag: true,
		Summary: "Every site: its state, authorization server, client, PAT's end and resources, by name",
		Handler: api.Handle(func(_ context.Context, in struct{ api.Paging }) (api.Page[SiteStatus], error) {
			return api.Paginate(in.Paging, s.siteStatuses(), func(s SiteStatus) string { return s.Name }) //nolint:contextcheck // its count has a bound of its own
		}),
	}, {
		ID: "getSite", Method: http.MethodGet, Path: "/v1/sites/{site}", Tag: "sites", Role: api.Read, ETag: true,
		Summary: "One site",
		Handler: api.Handle(func(_ context.Context, in SitePath) (SiteStatus, error) {
			w, err := s.worker(in.Site)
			if err != nil {
				return SiteStatus{}, err
			}
			return w.status(), nil //nolint:contextcheck // its count has a bound of its own
		}),
	}, {
		ID: "planSite", Method: http.MethodGet, Path: "/v1/sites/{site}/plan", Tag: "sites", Role: api.Read,
		Summary:     "What would change at the authorization server",
		Description: "Asks the authorization server for what is registered there, and changes nothing. At most two are under way at once.",
		Codes:       []api.Code{api.CodeAuthorizationServer, api.CodeTooManyRequests, api.CodeUnavailable, api.CodeConflict},
		Handler:     api.Handle(s.plan),
	}, {
		ID: "syncSite", Method: http.MethodPost, Path: "/v1/sites/{site}/sync", Tag: "sites", Role: api.Write, Status: http.StatusAccepted,
		Summary: "Bring the site's resources in step now",
		Description: "Does not wait for it: the site's resources.synced_at, and its failure, tell what came of it. " +
			"Where they are kept at the authorization server (resources_at_as), they are read, and nothing is changed there: see kept.read_at.",
		Action: audit.SiteSync, Codes: []api.Code{api.CodeNotLeader},
		Handler: api.Handle(func(_ context.Context, in struct {
			SitePath

			AcceptRemovals bool `query:"accept_removals" doc:"with resources_at_as: resources that are gone there are, however many"`
		},
		) (SyncRequested, error) {
			w, err := s.worker(in.Site)
			switch {
			case err != nil:
				return SyncRequested{}, err
			case !s.leads():
				return SyncRequested{}, store.ErrNotLeader
			case in.AcceptRemovals && w.site.ResourcesAtAS == nil:
				return SyncRequested{}, api.Conflict("the site's resources are not kept at its authorization server")
			case in.AcceptRemovals:
				w.AcceptRemovals()
			default:
				w.SyncNow()
			}
			return SyncRequested{Site: in.Site, RequestedAt: time.Now()}, nil
		}),
	}, {
		ID: "acknowledgeLoss", Method: http.MethodDelete, Path: "/v1/sites/{site}/lost/{name}", Tag: "sites", Role: api.Write,
		Summary:     "Say that a registration that the authorization server lost has been looked after",
		Description: "The conditions PoliciesLost and InstanceGone name them, and end for this one within seconds.",
		Action:      audit.LossAcknowledge, Codes: []api.Code{api.CodeUnavailable},
		Handler: api.Handle(s.acknowledge),
	}}
}

// LostPath names a registration that the AS lost in a path.
type LostPath struct {
	SitePath

	Name string `path:"name" minLength:"1" maxLength:"1024" doc:"the name of the resource or instance"`
}

// acknowledge forgets that the AS lost a registration.
func (s *controlPlane) acknowledge(ctx context.Context, in LostPath) (api.None, error) {
	w, err := s.worker(in.Site)
	if err != nil {
		return api.None{}, err
	}
	err = s.store.DeleteLost(ctx, store.Key{Site: w.site.Name, Issuer: w.site.AuthorizationServer.Issuer}, in.Name)
	if errors.Is(err, store.ErrNotFound) {
		return api.None{}, api.NotFound("lost registration", in.Name)
	}
	return api.None{}, err
}

func (s *controlPlane) envoyOperations() []api.Operation {
	return []api.Operation{{
		ID: "listEnvoys", Method: http.MethodGet, Path: "/v1/envoys", Tag: "envoys", Role: api.Read, ETag: true,
		Summary: "Every Envoy that has connected: what it was sent, accepted and refused, by node id",
		Handler: api.Handle(func(_ context.Context, in struct{ api.Paging }) (api.Page[xds.Envoy], error) {
			return api.Paginate(in.Paging, s.xds.Envoys(), func(e xds.Envoy) string { return e.NodeID })
		}),
	}, {
		ID: "getEnvoy", Method: http.MethodGet, Path: "/v1/envoys/{node_id}", Tag: "envoys", Role: api.Read, ETag: true,
		Summary: "One Envoy",
		Handler: api.Handle(func(_ context.Context, in struct {
			NodeID string `path:"node_id" minLength:"1" maxLength:"1024" doc:"the node.id that it tells"`
		},
		) (xds.Envoy, error) {
			for _, e := range s.xds.Envoys() {
				if e.NodeID == in.NodeID {
					return e, nil
				}
			}
			return xds.Envoy{}, api.NotFound("Envoy", in.NodeID)
		}),
	}, {
		ID: "forgetEnvoy", Method: http.MethodDelete, Path: "/v1/envoys/{node_id}", Tag: "envoys", Role: api.Write,
		Summary:     "Forget an Envoy that is gone on purpose",
		Description: "Its condition EnvoyGone ends on this replica. One that is connected is a conflict: it would be back at once.",
		Action:      audit.EnvoyForget, Codes: []api.Code{api.CodeConflict},
		Handler: api.Handle(func(_ context.Context, in struct {
			NodeID string `path:"node_id" minLength:"1" maxLength:"1024" doc:"the node.id that it told"`
		},
		) (api.None, error) {
			switch known, connected := s.xds.Forget(in.NodeID); {
			case connected:
				return api.None{}, api.Conflict("the Envoy is connected")
			case !known:
				return api.None{}, api.NotFound("Envoy", in.NodeID)
			}
			return api.None{}, nil
		}),
	}}
}

// AuditEvent is one change, as GET /v1/audit tells it.
type AuditEvent struct {
	ID      int64             `json:"id"`
	At      time.Time         `json:"at"`
	Actor   audit.Actor       `json:"actor"`
	Action  audit.Action      `json:"action"`
	Site    string            `json:"site,omitempty"`
	Target  string            `json:"target,omitempty"`
	Outcome audit.Outcome     `json:"outcome"`
	Detail  map[string]string `json:"detail,omitempty"`
	// RequestID joins it with the log, and with the call that caused it.
	RequestID string `json:"request_id,omitempty"`
}

type auditInput struct {
	Site   string    `query:"site" maxLength:"63" doc:"only of this site"`
	Actor  string    `query:"actor" maxLength:"255" doc:"only by who has this name"`
	Action string    `query:"action" maxLength:"63" doc:"only this action, such as resource.create"`
	Since  time.Time `query:"since" doc:"only at or after this time"`
	Until  time.Time `query:"until" doc:"only before this time"`
	api.Paging
}

func (s *controlPlane) auditOperations() []api.Operation {
	return []api.Operation{{
		ID: "listAudit", Method: http.MethodGet, Path: "/v1/audit", Tag: "audit", Role: api.Read,
		Summary:     "Who changed what and when, the newest first",
		Description: "Events are kept for api.audit_retention. They are added, and end; nothing changes them.",
		Codes:       []api.Code{api.CodeUnavailable},
		Handler:     api.Handle(s.listAudit),
	}}
}

func (s *controlPlane) listAudit(ctx context.Context, in auditInput) (api.Page[AuditEvent], error) {
	page := api.Page[AuditEvent]{Items: []AuditEvent{}}
	filter := store.AuditFilter{
		Site: in.Site, Actor: in.Actor, Action: audit.Action(in.Action), Since: in.Since, Until: in.Until, Limit: in.Size() + 1,
	}
	after, err := in.After()
	if err != nil {
		return page, err
	}
	if after != "" {
		if filter.Before, err = strconv.ParseInt(after, 10, 64); err != nil || filter.Before < 1 {
			return page, api.NoPage(in.Cursor)
		}
	}
	events, err := s.store.Audit(ctx, filter)
	if err != nil {
		return page, api.Unavailable(time.Second, "the store cannot be read now").Because(err)
	}
	if len(events) > in.Size() {
		events = events[:in.Size()]
		page.NextCursor = api.NextAfter(strconv.FormatInt(events[len(events)-1].ID, 10))
	}
	for _, e := range events {
		page.Items = append(page.Items, AuditEvent{
			ID: e.ID, At: e.At, Actor: e.Actor, Action: e.Action, Site: e.Site, Target: e.Target, Outcome: e.Outcome, Detail: e.Detail,
			RequestID: e.RequestID,
		})
	}
	return page, nil
}

// worker returns the worker of a site.
func (s *controlPlane) worker(name string) (*worker, error) {
	if w := s.inForce.worker(name); w != nil {
		return w, nil
	}
	return nil, api.NotFound("site", name)
}

// plan compares one site with its AS, as "umagate plan" does, and leaves no trace.
func (s *controlPlane) plan(ctx context.Context, in SitePath) (SitePlan, error) {
	w, err := s.worker(in.Site)
	if err != nil {
		return SitePlan{}, err
	}
	select {
	case s.plans <- struct{}{}:
		defer func() { <-s.plans }()
	default:
		busy := api.NewProblem(api.CodeTooManyRequests, "%d plans are under way", plansAtOnce)
		busy.RetryAfter = time.Second
		return SitePlan{}, busy
	}
	ctx, cancel := context.WithTimeout(ctx, planTimeout)
	defer cancel()
	o, err := registration.Open(ctx, registration.OperationOptions{
		Site: w.site, Store: registration.DryRun(s.store), Logger: slog.New(slog.DiscardHandler), Transport: s.options.Transport, Observe: observe(s.metrics, s.telemetry, w.site.Name),
	})
	if err != nil {
		return SitePlan{}, planFailed(err)
	}
	defer o.Close()
	changes, err := o.Plan(ctx)
	if err != nil {
		return SitePlan{}, planFailed(err)
	}
	out := SitePlan{Site: in.Site, RegisterClient: o.Registers(), Changes: []PlannedChange{}}
	for _, c := range changes {
		planned := PlannedChange{Change: c}
		if c.Err != nil {
			planned.Conflict = c.Err.Error()
		}
		out.Changes = append(out.Changes, planned)
	}
	out.InStep = len(out.Changes) == 0 && out.RegisterClient == ""
	return out, nil
}

// planFailed explains what explain does not.
func planFailed(err error) error {
	if registration.NeedsPerson(err) {
		return api.Conflict("%s", err).WithRemedy(registration.Remedy(err)).Because(err)
	}
	return err
}
