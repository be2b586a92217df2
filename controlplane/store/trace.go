package store

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Trace makes spans of writes from now on. It is called before the store is used.
func (s *SQL) Trace(tracer trace.Tracer) { s.tracer = tracer }

// span begins the span of a write, and returns what ends it.
func (s *SQL) span(ctx context.Context, what string, key Key) (context.Context, func(error)) {
	if s.tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.tracer.Start(ctx, "store: write "+what, trace.WithAttributes(attribute.String("umagate.site", key.Site)))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, "not written")
		}
		span.End()
	}
}
