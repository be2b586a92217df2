package server

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/telemetry"
)

// startTelemetry sends traces where the file says so.
func startTelemetry(ctx context.Context, file *site.File, version string) (*telemetry.Telemetry, error) {
	t := file.Telemetry.OTLP
	if t == nil {
		return telemetry.Off(), nil
	}
	return telemetry.Start(ctx, telemetry.Options{Endpoint: t.Endpoint, Token: t.Token, SamplePercent: t.SamplePercent, Version: version})
}

// traced makes a span of what do does for the site.
func (w *worker) traced(ctx context.Context, name string, do func(context.Context) error) error {
	if w.tracer == nil {
		return do(ctx)
	}
	ctx, span := w.tracer.Start(ctx, name, trace.WithAttributes(attribute.String("umagate.site", w.site.Name)))
	defer span.End()
	err := do(ctx)
	if err != nil {
		// Its words may repeat what an AS said; they are in the log.
		span.SetStatus(codes.Error, "failed")
	}
	return err
}
