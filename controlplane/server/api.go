package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/registration"
	"github.com/umagate/umagate/controlplane/store"
)

// operations is the whole API. Another package's are appended here.
func (s *controlPlane) operations() []api.Operation {
	return slices.Concat(s.probeOperations(), s.statusOperations(), s.siteOperations(), s.instanceOperations(), s.envoyOperations(), s.auditOperations(), s.keyOperations(), s.revocations.Operations())
}

func (s *controlPlane) statusOperations() []api.Operation {
	return []api.Operation{{
		ID: "getStatus", Method: http.MethodGet, Path: "/v1/status", Tag: "status", Role: api.Read,
		Summary: "How every site and every Envoy stands",
		Handler: api.Handle(func(context.Context, api.None) (Status, error) { return s.status(), nil }),
	}}
}

// router joins the operations.
func (s *controlPlane) router() (*api.Router, error) {
	return api.New(api.Options{
		Version: s.options.Version, Logger: s.options.Logger, Authenticator: s.callers, OpenProbes: s.openProbes,
		Recorder: s.recorder, Explain: explain,
	}, s.operations()...)
}

// openProbes reports whether anybody may ask how things stand.
func (s *controlPlane) openProbes() bool {
	file, _ := s.current()
	return file.API.OpenProbes
}

// explain says what an error means to a caller of the API; nil for what is a fault
// of umagate's own.
func explain(err error) *api.Problem {
	failed, isAS := errors.AsType[*as.Error](err)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return api.NewProblem(api.CodeNotFound, "the store has no such record")
	case errors.Is(err, store.ErrNotLeader), errors.Is(err, store.ErrReplaced):
		return api.NewProblem(api.CodeNotLeader, "another replica leads, and only that one does this").WithRemedy("Ask the replica whose status says leader.")
	case errors.Is(err, store.ErrLocked):
		return api.Unavailable(time.Second, "another umagate is changing the registrations of this site").WithRemedy(registration.Remedy(err))
	case isAS:
		return api.NewProblem(api.CodeAuthorizationServer, "%s", failed.Error()).WithRemedy(registration.Remedy(err))
	default:
		return nil
	}
}

// serveAPI answers until ctx ends, and returns when the last answer is given.
func serveAPI(ctx context.Context, listener net.Listener, handler http.Handler) error {
	return listen.HTTP(ctx, listener, api.LoopbackNames(listener.Addr(), handler, nil))
}
