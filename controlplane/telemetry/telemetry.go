// Package telemetry sends traces by OTLP, where umagate.yaml asks for it: spans of
// API requests, of calls to authorization servers, of synchronisations and of
// writes to the store. A call's trace goes on where its caller's began (W3C Trace
// Context).
package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
)

const (
	// scope is what spans are made by.
	scope         = "github.com/umagate/umagate/controlplane"
	exportTimeout = 5 * time.Second
)

// Options is what [Start] needs.
type Options struct {
	// Endpoint is the collector's URL, such as http://127.0.0.1:4318; empty sends
	// nothing.
	Endpoint string
	// Token is sent as a bearer token; may be empty.
	Token secret.Text
	// SamplePercent of the traces that begin here are sent; one that a caller began
	// is sent as the caller says.
	SamplePercent int
	// Version is the release.
	Version string
}

// Telemetry makes spans. It is safe for concurrent use.
type Telemetry struct {
	provider trace.TracerProvider
	stop     func(context.Context) error
}

// Off makes no spans.
func Off() *Telemetry {
	return &Telemetry{provider: noop.NewTracerProvider(), stop: func(context.Context) error { return nil }}
}

// Start makes a Telemetry. The collector need not be there: what it does not take
// is dropped. Stop it when done.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Endpoint == "" {
		return Off(), nil
	}
	// The variables of OpenTelemetry must not send anything elsewhere.
	settings := []otlptracehttp.Option{otlptracehttp.WithEndpointURL(o.Endpoint + "/v1/traces"), otlptracehttp.WithTimeout(exportTimeout)}
	headers := map[string]string{}
	if !o.Token.IsZero() {
		headers["Authorization"] = "Bearer " + o.Token.Reveal()
	}
	exporter, err := otlptracehttp.New(ctx, append(settings, otlptracehttp.WithHeaders(headers))...)
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	const percent = 100
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(float64(o.SamplePercent)/percent))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "umagate"), attribute.String("service.version", o.Version))),
	)
	return &Telemetry{provider: provider, stop: provider.Shutdown}, nil
}

// Stop sends what is left, for a few seconds at most.
func (t *Telemetry) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	if err := t.stop(ctx); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}

// Tracer makes spans.
func (t *Telemetry) Tracer() trace.Tracer { return t.provider.Tracer(scope) }

// Handler makes a span of each request; who knows its operation names it.
func (t *Telemetry) Handler(next http.Handler) http.Handler {
	return otelhttp.NewHandler(next, "API request", otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Transport makes a span of each call, and tells the other side of the trace and
// of the request that caused the call.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return withRequestID{otelhttp.NewTransport(next, otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}))}
}

type withRequestID struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (w withRequestID) RoundTrip(req *http.Request) (*http.Response, error) {
	if id := audit.RequestID(req.Context()); id != "" {
		req = req.Clone(req.Context())
		req.Header.Set("X-Request-Id", id)
	}
	return w.next.RoundTrip(req)
}
