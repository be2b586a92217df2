package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/health"
)

const (
	// aliveWithin is how long the publisher may take to answer: it is the one that
	// every change goes through.
	aliveWithin = 5 * time.Second
)

// Health is the answer of GET /healthz.
type Health struct {
	Alive bool `json:"alive"`
}

// Readiness is the answer of GET /readyz.
type Readiness struct {
	Ready bool `json:"ready"`
	// Role is leader or follower.
	Role string `json:"role" enum:"leader,follower"`
	// Revision is the configuration that Envoys get here.
	Revision string `json:"revision"`
	// Conditions names what is the matter: umagate status says more. Ready or not is
	// whether another replica would do better.
	Conditions []string `json:"conditions"`
}

// probeOperations are what a supervisor and Prometheus ask. An authorization
// server that is down makes none of them fail: Envoys get what is known, and
// another replica would not do better.
func (s *controlPlane) probeOperations() []api.Operation {
	return []api.Operation{{
		ID: "getHealth", Method: http.MethodGet, Path: "/healthz", Tag: "probes", Role: api.Probe,
		Summary:     "Whether the process works: restart it when not",
		Description: "The loop that publishes answers. The store may be gone: a restart would not bring it back.",
		Codes:       []api.Code{api.CodeUnavailable},
		Handler:     api.Handle(s.health),
	}, {
		ID: "getReadiness", Method: http.MethodGet, Path: "/readyz", Tag: "probes", Role: api.Probe,
		Summary:     "Whether Envoys are to connect to this replica",
		Description: "There is a configuration, the xDS server listens, and the store takes what is written: without it a replica does not hear of what the others change. conditions names what else is the matter, which another replica would not do better.",
		Codes:       []api.Code{api.CodeUnavailable},
		Handler:     api.Handle(s.readiness),
	}, {
		ID: "getMetrics", Method: http.MethodGet, Path: "/metrics", Tag: "probes", Role: api.Probe,
		Summary: "Metrics for Prometheus",
		Handler: api.Raw("text/plain", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{})),
	}}
}

func (s *controlPlane) health(ctx context.Context, _ api.None) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, aliveWithin)
	defer cancel()
	if err := s.publisher.ping(ctx); err != nil {
		return Health{}, api.Unavailable(time.Second, "the loop that publishes has not answered for %s", aliveWithin).Because(err)
	}
	return Health{Alive: true}, nil
}

// errStopping is the reason after the signal to stop.
var errStopping = errors.New("umagate serve is stopping")

func (s *controlPlane) readiness(context.Context, api.None) (Readiness, error) {
	if s.stopping() {
		return Readiness{}, api.Unavailable(0, "%s", errStopping)
	}
	now := s.status()
	if now.Revision == "" {
		return Readiness{}, api.Unavailable(time.Second, "nothing is published yet").WithRemedy("umagate status tells why.")
	}
	for _, c := range now.Conditions {
		if c.Replica {
			return Readiness{}, api.Unavailable(time.Second, "%s: %s", c.Name, c.Summary).WithRemedy(c.Remedy)
		}
	}
	out := Readiness{Ready: true, Role: "follower", Revision: now.Revision, Conditions: health.Names(now.Conditions)}
	if s.leads() {
		out.Role = "leader"
	}
	return out, nil
}

// stopping reports whether ctx of Run has ended.
func (s *controlPlane) stopping() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}
