// Package serve makes oxd a part of `umagate serve`: it listens for applications, and
// what they protect becomes sites beside those of umagate.yaml. It is a
// [server.Source]; the command line hands it to the server, which knows nothing of oxd.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/oxd"
	"github.com/umagate/umagate/controlplane/server"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/controlplane/store"
)

// source serves applications. The listeners are nil where the file does not name them.
type source struct {
	server       *oxd.Server
	http, socket net.Listener
	limits       oxd.SocketLimits
	store        *store.SQL
	logger       *slog.Logger
	// told has the warnings of Sites that were logged.
	told map[string]bool
}

// Open is a [server.OpenSource].
func Open(ctx context.Context, host server.SourceHost, file *site.File) (server.Source, error) {
	return Announce(nil)(ctx, host, file)
}

// Announce is [Open], and tells the addresses that are listened on, empty where it is
// not served.
func Announce(opened func(http, socket string)) server.OpenSource {
	return func(ctx context.Context, host server.SourceHost, file *site.File) (server.Source, error) {
		if file.OXD == nil {
			return nil, nil //nolint:nilnil // not served is an answer
		}
		config, err := configOf(host, file.OXD)
		if err != nil {
			return nil, err
		}
		s := &source{
			limits: oxd.SocketLimits{Connections: file.OXD.SocketConnections, Idle: file.OXD.SocketIdle},
			store:  host.Store, logger: host.Logger, told: map[string]bool{},
		}
		if s.server, err = oxd.New(config); err != nil {
			return nil, err
		}
		if err := s.listen(ctx, host, file.OXD); err != nil {
			s.Close()
			return nil, err
		}
		if opened != nil {
			opened(s.addresses())
		}
		return s, nil
	}
}

func configOf(host server.SourceHost, settings *site.OXD) (oxd.Config, error) {
	config := oxd.Config{
		Store: host.Store, Records: host.Store.Unfenced(), Audit: host.Audit, Origin: originOf(settings), DefaultOP: settings.DefaultHost(),
		Protect: settings.ProtectCommands, LoginLifetime: settings.LoginLifetime, Logger: host.Logger.With(slog.String("api", "oxd")),
		Revoked: host.Revoked, Changed: host.Changed, Defaults: settings.Defaults,
	}
	for i := range settings.OPHosts {
		p := &settings.OPHosts[i]
		transport, err := host.Transport("oxd", p.TLS)
		if err != nil {
			return oxd.Config{}, err
		}
		config.OPs = append(config.OPs, oxd.OP{
			Host: p.URL, Issuer: p.IssuerOrURL(), Dialect: p.Dialect, InitialAccessToken: p.InitialAccessToken,
			Transport: transport, Timeout: p.Timeout,
		})
	}
	return config, nil
}

// originOf returns how the AS of an op_host is reached.
func originOf(settings *site.OXD) oxd.Origin {
	return func(opHost string) site.AuthorizationServer {
		if opHost == "" {
			opHost = settings.DefaultHost()
		}
		if p, ok := settings.Provider(opHost); ok {
			return p.AuthorizationServer()
		}
		return site.New().AuthorizationServer
	}
}

func (s *source) listen(ctx context.Context, host server.SourceHost, settings *site.OXD) (err error) {
	if settings.HTTP != "" {
		encrypted := settings.TLS.CertFile != ""
		if s.http, err = listen.TCP(ctx, "oxd.http", settings.HTTP, settings.InsecurePlaintext || encrypted); err != nil {
			return err
		}
		if encrypted {
			files := listen.NewCertificates(host.Path, settings.TLS.CertFile, settings.TLS.KeyFile, "", host.Logger)
			if err := files.Load(); err != nil {
				return fmt.Errorf("oxd.tls: %w", err)
			}
			s.http = tls.NewListener(s.http, files.Config(tls.NoClientCert, "http/1.1"))
		}
	}
	if settings.Socket != "" {
		s.socket, err = listen.TCP(ctx, "oxd.socket", settings.Socket, settings.InsecurePlaintext)
	}
	return err
}

// Sites implements [server.Source]. What is wrong with an application is logged once.
func (s *source) Sites(ctx context.Context, file *site.File) ([]site.Site, error) {
	return sitesOf(ctx, s.store, file, func(oxdID string, what error) {
		if key := oxdID + " " + what.Error(); !s.told[key] {
			s.told[key] = true
			s.logger.Warn("an application's resources", slog.String("oxd_id", oxdID), slog.Any("error", what))
		}
	})
}

// Sites returns the sites that applications have made, for who does not serve them.
func Sites(ctx context.Context, kept *store.SQL, file *site.File) ([]site.Site, error) {
	return sitesOf(ctx, kept, file, nil)
}

func sitesOf(ctx context.Context, kept *store.SQL, file *site.File, tell func(oxdID string, what error)) ([]site.Site, error) {
	if file.OXD == nil {
		return nil, nil // the server refuses to take the section out
	}
	return oxd.SitesOf(ctx, kept, originOf(file.OXD), file.OXD.Sites, tell)
}

// Run implements [server.Source].
func (s *source) Run(ctx context.Context) error {
	web, socket := s.addresses()
	s.logger.Info("serving applications of oxd", slog.String("http", web), slog.String("socket", socket))
	handler, err := s.server.Handler()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var webErr, socketErr error
	if s.http != nil {
		wg.Go(func() {
			defer cancel()
			webErr = listen.HTTP(ctx, s.http, api.LoopbackNames(s.http.Addr(), handler, s.server.Misdirected()))
		})
	}
	if s.socket != nil {
		wg.Go(func() {
			defer cancel()
			socketErr = s.server.ServeSocket(ctx, s.socket, s.limits)
		})
	}
	wg.Wait()
	return errors.Join(webErr, socketErr)
}

// Close implements [server.Source].
func (s *source) Close() {
	for _, listener := range []net.Listener{s.http, s.socket} {
		if listener != nil {
			_ = listener.Close() // closed already, once it is served
		}
	}
}

func (s *source) addresses() (http, socket string) {
	if s.http != nil {
		http = s.http.Addr().String()
	}
	if s.socket != nil {
		socket = s.socket.Addr().String()
	}
	return http, socket
}
