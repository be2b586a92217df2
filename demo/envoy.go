package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/umagate/umagate/controlplane/envoyconf"
	"github.com/umagate/umagate/envoy"
)

// choice is a kind of gateway.
type choice struct {
	// promise says what is being waited for.
	promise string
	start   func(ctx context.Context, w *world, admin string) (gateway, error)
}

// chooseGateway looks for an Envoy unless wazero is wanted.
func chooseGateway(ctx context.Context, where Gateway) (choice, error) {
	wazero := choice{promise: "wazero compiles the filter and gets its configuration by xDS", start: startWazero}
	if where == Wazero {
		return wazero, nil
	}
	binary, err := envoy.Find(ctx)
	switch {
	case err == nil:
		return choice{
			promise: "Envoy " + binary.Version + " compiles the filter and gets its configuration by xDS",
			start: func(ctx context.Context, w *world, admin string) (gateway, error) {
				return startEnvoy(ctx, w, binary, admin)
			},
		}, nil
	case where == Auto && errors.Is(err, envoy.ErrNotFound):
		return wazero, nil
	}
	return choice{}, err
}

// envoyGateway is a real Envoy, with nothing in its bootstrap but where the
// control plane is.
type envoyGateway struct {
	process *envoy.Process
	at      string
}

func startEnvoy(ctx context.Context, w *world, binary envoy.Binary, admin string) (gateway, error) {
	file, err := w.site()
	if err != nil {
		return nil, err
	}
	bootstrap, err := envoyconf.Dynamic(file)
	if err != nil {
		return nil, err
	}
	document, err := envoyconf.JSON(bootstrap)
	if err != nil {
		return nil, err
	}
	process, err := envoy.Start(ctx, envoy.Options{
		Binary: binary, Bootstrap: document, Admin: admin, Folder: w.folder, ReadyTimeout: startTimeout,
		Arguments: []string{"--file-flush-interval-msec", "200"},
	})
	if err != nil {
		return nil, err
	}
	at, err := process.ListenerAddress(ctx, "umagate")
	if err != nil {
		process.Stop()
		return nil, err
	}
	return &envoyGateway{process: process, at: at}, nil
}

func (g *envoyGateway) address() string { return g.at }
func (g *envoyGateway) admin() string   { return g.process.AdminURL() }
func (g *envoyGateway) stop()           { g.process.Stop() }

func (g *envoyGateway) about() string {
	return fmt.Sprintf("Envoy %s (%s) with the filter; wazero would do, too: --gateway wazero", g.process.Binary.Version, g.process.Binary.Source)
}
