package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/site/link"
	"github.com/umagate/umagate/controlplane/store"
)

// oxdAPI is what applications of oxd talk to. Listeners are nil where not served.
type oxdAPI struct {
	server       *oxd.Server
	http, socket net.Listener
	limits       oxd.SocketLimits
	// changes are requests to take over what applications protect.
	changes changeRequests
}

// openOXD listens for applications of oxd; nil when the file has no oxd.
func (s *serving) openOXD(ctx context.Context, file *site.File, kept *store.SQL) (*oxdAPI, error) {
	settings := file.OXD
	if settings == nil {
		return nil, nil //nolint:nilnil // not served is an answer
	}
	config, err := s.oxdConfig(settings, kept)
	if err != nil {
		return nil, err
	}
	s.dynamic = s.applicationSites(kept)
	requests := changeRequests{requests: make(chan chan<- error), await: s.awaitEnvoys}
	config.Sites = requests
	api := &oxdAPI{changes: requests, limits: oxd.SocketLimits{Connections: settings.SocketConnections, Idle: settings.SocketIdle}}
	if api.server, err = oxd.New(config); err != nil {
		return nil, err
	}
	if settings.HTTP != "" {
		encrypted := settings.TLS.CertFile != ""
		if api.http, err = listen.TCP(ctx, "oxd.http", settings.HTTP, settings.InsecurePlaintext || encrypted); err != nil {
			return nil, err
		}
		if encrypted {
			pair, err := listen.OpenCertificate(s.beside(settings.TLS.CertFile), s.beside(settings.TLS.KeyFile), s.options.Logger)
			if err != nil {
				api.close()
				return nil, fmt.Errorf("oxd.tls: %w", err)
			}
			api.http = tls.NewListener(api.http, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: pair.Get, NextProtos: []string{"http/1.1"}})
		}
	}
	if settings.Socket != "" {
		if api.socket, err = listen.TCP(ctx, "oxd.socket", settings.Socket, settings.InsecurePlaintext); err != nil {
			api.close()
			return nil, err
		}
	}
	return api, nil
}

// beside names a file that the configuration names: relative to itself.
func (s *serving) beside(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(s.options.Path), path)
}

func (s *serving) oxdConfig(settings *site.OXD, kept *store.SQL) (oxd.Config, error) {
	d := settings.Defaults
	config := oxd.Config{
		Store: kept, Records: kept.Unfenced(), Audit: s.recorder, Origin: originOf(settings), DefaultOP: settings.DefaultHost(), Protect: settings.ProtectCommands, LoginLifetime: settings.LoginLifetime,
		Logger:  s.options.Logger.With(slog.String("api", "oxd")),
		Revoked: s.revoked,
		Defaults: oxd.Defaults{
			Scope: d.Scope, ACRValues: d.ACRValues, GrantTypes: d.GrantTypes, ResponseTypes: d.ResponseTypes,
			PostLogoutRedirectURI: d.PostLogoutRedirectURI, Contacts: d.Contacts, UILocales: d.UILocales, ClaimsLocales: d.ClaimsLocales,
		},
	}
	for i := range settings.OPHosts {
		p := &settings.OPHosts[i]
		transport := s.options.Transport
		if transport == nil {
			var err error
			if transport, err = link.Transport(p.TLS, nil); err != nil {
				return oxd.Config{}, err
			}
		}
		config.OPs = append(config.OPs, oxd.OP{
			Host: p.URL, Issuer: p.IssuerOrURL(), Dialect: as.DialectName(p.Dialect), InitialAccessToken: p.InitialAccessToken,
			Transport: s.metrics.observe("oxd", transport), Timeout: p.Timeout,
		})
	}
	return config, nil
}

func (a *oxdAPI) close() {
	if a == nil {
		return
	}
	for _, listener := range []net.Listener{a.http, a.socket} {
		if listener != nil {
			_ = listener.Close() // closed already, once it is served
		}
	}
}

// addresses are those that are listened on, for the log.
func (a *oxdAPI) addresses() (http, socket string) {
	if a == nil {
		return "", ""
	}
	if a.http != nil {
		http = a.http.Addr().String()
	}
	if a.socket != nil {
		socket = a.socket.Addr().String()
	}
	return http, socket
}

func (a *oxdAPI) serveHTTP(ctx context.Context) error {
	handler, err := a.server.Handler()
	if err != nil {
		return err
	}
	return listen.HTTP(ctx, a.http, api.LoopbackNames(a.http.Addr(), handler, a.server.Misdirected()))
}

func (a *oxdAPI) serveSocket(ctx context.Context) error {
	return a.server.ServeSocket(ctx, a.socket, a.limits)
}

// serveApplications answers applications of oxd until ctx ends.
func (s *serving) serveApplications(ctx context.Context) error {
	a := s.applications
	if a == nil {
		return nil
	}
	web, socket := a.addresses()
	s.options.Logger.Info("serving applications of oxd", slog.String("http", web), slog.String("socket", socket))
	parts, ctx := errgroup.WithContext(ctx)
	parts.Go(func() error { s.serveChanges(ctx, a.changes); return nil })
	if a.http != nil {
		parts.Go(func() error { return a.serveHTTP(ctx) })
	}
	if a.socket != nil {
		parts.Go(func() error { return a.serveSocket(ctx) })
	}
	return parts.Wait()
}
