package registration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/health"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// account is a site at its AS, and what every owner works with. It does not change.
type account struct {
	site      *site.Site
	key       store.Key
	locks     store.Locker
	audit     audit.Recorder
	logger    *slog.Logger
	intervals Intervals
	tracer    trace.Tracer // nil for none
	board     *board
	// conditions are what is the matter with the site. missing is called with the name of
	// an instance that the AS does not have; nil for nobody.
	conditions *health.Board
	missing    func(name string)
}

// record adds to the audit log what was done for the site.
func (a *account) record(ctx context.Context, action audit.Action, target string, detail map[string]string) {
	a.audit.Record(ctx, audit.Event{Action: action, Site: a.site.Name, Target: target, Detail: detail})
}

// locked calls do while no other process changes the site's registrations.
func (a *account) locked(ctx context.Context, do func(context.Context) error) (err error) {
	unlock, err := a.locks.TryLock(ctx, a.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return do(ctx)
}

// traced makes a span of what do does for the site.
func (a *account) traced(ctx context.Context, name string, do func(context.Context) error) error {
	if a.tracer == nil {
		return do(ctx)
	}
	ctx, span := a.tracer.Start(ctx, name, trace.WithAttributes(attribute.String("umagate.site", a.site.Name)))
	defer span.End()
	err := do(ctx)
	if err != nil {
		// Its words may repeat what an AS said; they are in the log.
		span.SetStatus(codes.Error, "failed")
	}
	return err
}

// clientName is the client_name of a new registration.
func (a *account) clientName() string {
	if r := a.site.AuthorizationServer.Client.Register; r != nil && r.ClientName != "" {
		return r.ClientName
	}
	return "umagate " + a.site.Name
}

// connection carries calls to the AS, with the certificate of the client in use.
type connection struct {
	client      *as.Client
	certificate atomic.Pointer[tls.Certificate] // nil for none
	closeIdle   func()
	peers       *peers
	// given and observe are what connect was called with.
	given   http.RoundTripper
	observe func(http.RoundTripper) http.RoundTripper
}

// connect uses transport instead of one made from the file when it is not nil.
// observe sees every call; nil for nobody.
func connect(s *site.Site, transport http.RoundTripper, observe func(http.RoundTripper) http.RoundTripper) (*connection, error) {
	c := &connection{closeIdle: func() {}, given: transport, observe: observe}
	if transport == nil {
		made, err := s.AuthorizationServer.TLS.Transport(c.certificate.Load)
		if err != nil {
			return nil, err
		}
		transport, c.closeIdle = made, made.CloseIdleConnections
	}
	c.peers = &peers{through: transport, shown: map[string][]*x509.Certificate{}}
	transport = c.peers
	if observe != nil {
		transport = observe(transport)
	}
	var err error
	c.client, err = as.New(s.ASConfig(transport))
	return c, err
}

// present uses another certificate. Connections made with the one before end.
func (c *connection) present(certificate *tls.Certificate) {
	c.certificate.Store(certificate)
	c.closeIdle()
}
