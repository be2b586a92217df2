package serve_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/umagate/umagate/controlplane/oxd/serve"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/server/servertest"
	"github.com/umagate/umagate/envoy"
)

// plane is a control plane that serves oxd.
type plane struct {
	*servertest.Plane

	oxd string
}

func newPlane(t *testing.T, config string) *plane {
	t.Helper()
	p := &plane{Plane: servertest.New(t)}
	p.Options.Sources = []server.OpenSource{serve.Announce(func(http, _ string) { p.oxd = http })}
	p.Write(config)
	return p
}

func (p *plane) application() *application {
	p.T.Helper()
	require.NotEmpty(p.T, p.oxd)
	return &application{t: p.T, base: "http://" + p.oxd}
}

// protected is an Envoy that has everything from the plane.
type protected struct{ *servertest.Protected }

func (p *plane) protect(options envoy.Options) *protected { return &protected{p.Protect(options)} }
