package server

import (
	"context"

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
