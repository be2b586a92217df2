package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/umagate/umagate/controlplane/api"
)

const (
	// aliveWithin is how long the publisher may take to answer: it is the one that
	// every change goes through.
	aliveWithin = 5 * time.Second
	// storeWithin is how long the store may take to answer.
	storeWithin = 2 * time.Second
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
		Description: "There is a configuration, the xDS server listens, and the store answers: without it a replica does not hear of what the others change.",
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

func (s *controlPlane) readiness(ctx context.Context, _ api.None) (Readiness, error) {
	published := s.publisher.state()
	switch {
	case s.stopping():
		return Readiness{}, api.Unavailable(0, "%s", errStopping)
	case published.revision == "":
		return Readiness{}, api.Unavailable(time.Second, "nothing is published yet").Because(published.err).
			WithRemedy("umagate status tells why.")
	}
	ctx, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	if _, err := s.store.Changes(ctx); err != nil {
		return Readiness{}, api.Unavailable(time.Second, "the store does not answer").Because(err).
			WithRemedy("Bring the database back; what Envoys have stays in force.")
	}
	out := Readiness{Ready: true, Role: "follower", Revision: published.revision}
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
