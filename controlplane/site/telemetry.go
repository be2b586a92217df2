package site

import (
	"net/url"

	"github.com/umagate/umagate/controlplane/secret"
)

// Telemetry is where traces go. Nothing is sent unless it says so.
type Telemetry struct {
	// Send traces by OTLP over HTTP.
	OTLP *OTLP `yaml:"otlp"`
}

// OTLP is a collector of OpenTelemetry.
type OTLP struct {
	// The collector's URL, without /v1/traces, such as http://127.0.0.1:4318.
	Endpoint string `yaml:"endpoint" jsonschema:"required"`
	// A bearer token for it.
	Token secret.Text `yaml:"token"`
	// How many of 100 traces that begin at the control plane are sent. Default 100.
	SamplePercent int `yaml:"sample_percent" range:"1 to 100" zero:"100"`
}

func (v *validator) telemetry() {
	t := v.file.Telemetry.OTLP
	if t == nil {
		return
	}
	if t.SamplePercent == 0 {
		t.SamplePercent = 100
	}
	if t.Endpoint == "" {
		v.fault("telemetry.otlp.endpoint", "is missing", "write the collector's URL, such as http://127.0.0.1:4318")
		return
	}
	u := v.url("telemetry.otlp.endpoint", t.Endpoint)
	switch {
	case u == nil:
	case u.Path != "" && u.Path != "/" || u.RawQuery != "":
		v.fault("telemetry.otlp.endpoint", "has a path", "write scheme, host and port only; /v1/traces is added")
	case u.Scheme == "http" && !local(u.Hostname()):
		v.plainTelemetry(u, t)
	}
}

func (v *validator) plainTelemetry(u *url.URL, t *OTLP) {
	if !t.Token.IsZero() {
		v.fault("telemetry.otlp.endpoint", "is http: the token would go in the clear", "write https://, or a collector on this machine")
		return
	}
	v.warn("telemetry.otlp.endpoint", "traces, with names of sites and addresses, go to "+u.Host+" in the clear", "write https://, or a collector on this machine")
}
