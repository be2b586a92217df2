package devas

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/umagate/umagate/demo/port"
)

// Endpoint names a part of the server, for faults and for the recorder.
type Endpoint string

// The endpoints. EndpointAny stands for all but the admin API.
const (
	EndpointAny           Endpoint = "*"
	EndpointDiscovery     Endpoint = "discovery"
	EndpointJWKS          Endpoint = "jwks"
	EndpointRegistration  Endpoint = "registration"
	EndpointToken         Endpoint = "token"
	EndpointIntrospection Endpoint = "introspection"
	EndpointRevocation    Endpoint = "revocation"
	EndpointUserInfo      Endpoint = "userinfo"
	EndpointAuthorization Endpoint = "authorization"
	EndpointLogin         Endpoint = "login"
	EndpointEndSession    Endpoint = "end_session"
	EndpointResources     Endpoint = "resources"
	EndpointPermission    Endpoint = "permission"
	EndpointClaims        Endpoint = "claims"
)

// Endpoints lists all of them but EndpointAny.
func Endpoints() []Endpoint {
	return []Endpoint{
		EndpointDiscovery, EndpointJWKS, EndpointRegistration, EndpointToken, EndpointIntrospection,
		EndpointRevocation, EndpointUserInfo, EndpointAuthorization, EndpointLogin, EndpointEndSession,
		EndpointResources, EndpointPermission, EndpointClaims,
	}
}

// Server is the Authorization Server. It is an http.Handler and safe for
// concurrent use.
type Server struct {
	options  Options
	prefix   string
	issuer   atomic.Pointer[string]
	keys     *keyring
	state    *state
	faults   *faultSet
	recorder *recorder
	mux      *http.ServeMux

	listening sync.Mutex
	address   string // of the last Start, so that the next one comes back there
	// reserved keeps address for the next Start. It ends with the server.
	reserved io.Closer
}

// New makes a server. It listens nowhere: hand it to an http.Server, or call
// [Server.Start].
func New(options Options) (*Server, error) {
	options = options.withDefaults()
	if err := options.validate(); err != nil {
		return nil, fmt.Errorf("devas options: %w", err)
	}
	s := &Server{
		options:  options,
		prefix:   options.Dialect.Prefix,
		keys:     newKeyring(),
		state:    newState(),
		faults:   &faultSet{},
		recorder: newRecorder(),
		mux:      http.NewServeMux(),
	}
	if options.Issuer != "" {
		u, err := url.Parse(options.Issuer)
		if err != nil {
			return nil, fmt.Errorf("devas options: issuer: %w", err)
		}
		s.prefix = strings.TrimSuffix(u.Path, "/")
	}
	s.SetIssuer(options.Issuer)
	for _, u := range options.Users {
		if err := s.AddUser(u); err != nil {
			return nil, fmt.Errorf("devas options: %w", err)
		}
	}
	for _, c := range options.Clients {
		if err := s.AddClient(c); err != nil {
			return nil, fmt.Errorf("devas options: %w", err)
		}
	}
	for _, t := range options.InitialAccessTokens {
		s.AddInitialAccessToken(t)
	}
	s.routes()
	return s, nil
}

// AddInitialAccessToken makes an initial access token known.
func (s *Server) AddInitialAccessToken(t InitialAccessToken) {
	var left *int
	if t.Uses > 0 {
		left = &t.Uses
	}
	s.state.mu.Lock()
	defer s.state.mu.Unlock()
	s.state.initial[t.Token.Reveal()] = left
}

// Issuer is the URL clients know the server by.
func (s *Server) Issuer() string { return *s.issuer.Load() }

// SetIssuer changes the issuer, whose path must stay the same. For a server that
// is mounted in a handler whose address was not known before.
func (s *Server) SetIssuer(issuer string) {
	issuer = strings.TrimSuffix(issuer, "/")
	s.issuer.Store(&issuer)
}

func (s *Server) endpoint(path string) string { return s.Issuer() + path }

func (s *Server) now() time.Time { return s.options.Clock() }

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// endpointFunc serves one endpoint; the error it returns becomes the answer.
type endpointFunc func(w http.ResponseWriter, r *http.Request) error

func (s *Server) routes() {
	p := s.options.Dialect.Paths
	const get, post = http.MethodGet, http.MethodPost
	for _, e := range []struct {
		endpoint Endpoint
		path     string
		serve    endpointFunc
		methods  []string // nil: the endpoint answers every method itself
	}{
		{EndpointDiscovery, "/.well-known/openid-configuration", s.serveDiscovery, []string{get}},
		{EndpointDiscovery, "/.well-known/oauth-authorization-server", s.serveDiscovery, []string{get}},
		{EndpointDiscovery, "/.well-known/uma2-configuration", s.serveDiscovery, []string{get}},
		{EndpointJWKS, p.JWKS, s.serveJWKS, []string{get}},
		{EndpointRegistration, p.Registration, s.serveRegistration, []string{post}},
		{EndpointRegistration, p.Registration + "/{id}", s.serveRegisteredClient, nil},
		{EndpointToken, p.Token, s.serveToken, []string{post}},
		{EndpointIntrospection, p.Introspection, s.serveIntrospection, []string{post}},
		{EndpointRevocation, p.Revocation, s.serveRevocation, []string{post}},
		{EndpointUserInfo, p.UserInfo, s.serveUserInfo, []string{get, post}},
		{EndpointAuthorization, p.Authorization, s.serveAuthorization, []string{get, post}},
		{EndpointLogin, loginPath, s.serveLogin, []string{post}},
		{EndpointLogin, consentPath, s.serveConsent, []string{post}},
		{EndpointEndSession, p.EndSession, s.serveEndSession, []string{get, post}},
		{EndpointResources, p.Resources, s.serveResources, nil},
		{EndpointResources, p.Resources + "/{id}", s.serveResource, nil},
		{EndpointPermission, p.Permission, s.servePermission, []string{post}},
		{EndpointClaims, p.Claims, s.serveClaims, []string{get}},
	} {
		if e.endpoint == EndpointClaims && s.options.Dialect.NoClaimsInteraction {
			continue
		}
		h := s.guard(e.endpoint, e.serve, e.methods)
		s.mux.Handle(s.prefix+e.path, h)
		if s.prefix != "" && e.endpoint == EndpointDiscovery {
			// RFC 8414 section 3.1 puts the well-known part before the issuer's path.
			s.mux.Handle(e.path+s.prefix, h)
		}
	}
	if s.options.Dialect.RealmDocument {
		s.mux.HandleFunc("GET "+s.prefix, s.serveRealm)
	}
	s.mux.Handle("/admin/", s.adminHandler())
}

// guard records the call, applies the faults that are set, bounds the body,
// checks the method, and writes the error an endpoint returns.
func (s *Server) guard(e Endpoint, serve endpointFunc, methods []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := s.recorder.begin(e, r, s.now())
		out := &statusWriter{ResponseWriter: w}
		s.options.Logger.LogAttrs(r.Context(), slog.LevelDebug, "devas request",
			slog.String("endpoint", string(e)), slog.String("method", r.Method))
		defer func() { s.recorder.end(call, out.status) }()
		s.faults.around(e, out, r, func(w http.ResponseWriter) {
			if err := allowed(r, methods); err != nil {
				err.write(w)
				return
			}
			s.answer(w, r, serve(w, r))
		})
	})
}

func allowed(r *http.Request, methods []string) *protocolError {
	if methods == nil {
		return nil
	}
	for _, m := range methods {
		if r.Method == m || (r.Method == http.MethodHead && m == http.MethodGet) {
			return nil
		}
	}
	return methodNotAllowed(methods...)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, err error) {
	if err == nil {
		return
	}
	var protocol *protocolError
	if !errors.As(err, &protocol) {
		s.options.Logger.LogAttrs(r.Context(), slog.LevelError, "devas internal error", slog.Any("error", err))
		protocol = newError(http.StatusInternalServerError, "server_error", "")
	}
	protocol.write(w)
}

// Start listens on loopback and serves until ctx ends or stop is called; stop
// returns when every connection is closed, and may be called more than once. A
// second Start, after stop, comes back on the same address with the same state.
func (s *Server) Start(ctx context.Context) (stop func(), err error) {
	s.listening.Lock()
	defer s.listening.Unlock()
	address := s.address
	if address == "" {
		address = s.options.Listen
	}
	if host, number, err := net.SplitHostPort(address); err == nil && number == "0" {
		if address, s.reserved, err = port.Reserve(host); err != nil {
			return nil, fmt.Errorf("devas: %w", err)
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("devas: listen on %s: %w", address, err)
	}
	s.address = l.Addr().String()
	if s.Issuer() == "" {
		s.SetIssuer("http://" + s.address + s.prefix)
	}
	serving, cancel := context.WithCancel(ctx)
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		// A request's context ends with the server, so that a slow fault does.
		BaseContext: func(net.Listener) context.Context { return serving },
		ErrorLog:    slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelWarn),
	}
	var joined sync.WaitGroup
	joined.Go(func() {
		if err := server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.options.Logger.LogAttrs(serving, slog.LevelError, "devas stopped serving", slog.Any("error", err))
		}
	})
	joined.Go(func() {
		<-serving.Done()
		// Close, not Shutdown: a test that stops the server wants it gone now.
		_ = server.Close()
	})
	return func() {
		cancel()
		joined.Wait()
	}, nil
}

// Address is host:port of the last Start; empty before it.
func (s *Server) Address() string {
	s.listening.Lock()
	defer s.listening.Unlock()
	return s.address
}
