package suite_test

import (
	"context"
	"errors"
	"testing"

	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/plugin/config"
)

// errRefused means that a gateway refused a configuration and keeps the old one.
var errRefused = errors.New("the configuration was refused")

// capability is something not every gateway or authorization server has.
type capability uint

const (
	canRestart    capability = 1 << iota // the gateway can be ended and started anew
	canUpgrade                           // the gateway lets upgrades through
	canHTTP2                             // the gateway speaks HTTP/2 without TLS
	canUpgradeRPT                        // the AS gives an RPT more rights when it is shown the old one
	canOAuth                             // the AS tells scopes of plain access tokens
	canExpire                            // the AS can end PATs and tokens at once
	canKeepLong                          // the gateway keeps as much of a body as a route says
)

// delivery is what a control plane gives to a gateway.
type delivery struct {
	config config.Config
	// clusters are what calls may reach: where, and the credential that is added.
	clusters map[string]cluster
}

type cluster struct {
	address    string // host:port, by http
	credential secret.Text
}

// gateway is something that runs the filter's core before an API.
type gateway interface {
	name() string
	// address is host:port.
	address() string
	workers() int
	can() capability
	// update delivers. When it returns without an error, every new request is
	// judged by the new configuration, unless that has been in force before: then
	// only the gateway's main thread has said so. The error is errRefused when the
	// old one stays.
	update(ctx context.Context, d delivery) error
	// decisions counts, by site, result and reason, since the gateway was made.
	decisions(ctx context.Context) (map[counted]uint64, error)
	// active counts the requests that it has received and that have not ended.
	active(ctx context.Context) (n uint64, known bool)
	// logged returns the decision, as the access log has it, of the last request
	// whose path contains marker; false when there is none yet.
	logged(marker string) (map[string]any, bool)
}

// counted is what decisions are counted by.
type counted struct{ site, result, reason string }

// restarter is a gateway that can be ended and started anew, on the same address.
type restarter interface {
	// restart ends the gateway as kill -9 does, starts it again and returns when
	// it serves.
	restart(t *testing.T)
}

// gatewayKind makes gateways for an API, with a first delivery.
type gatewayKind struct {
	name  string
	start func(t *testing.T, api string, first delivery) gateway
}
