package oxd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
	"github.com/umagate/umagate/plugin/config"
)

// Config is what a [Server] needs.
type Config struct {
	// Store keeps RPs and logins.
	Store RPs
	// OPs are the OPs that commands may name; no other is asked anything.
	OPs []OP
	// DefaultOP is taken where a command has no op_host; may be empty.
	DefaultOP string
	// Defaults are taken for what register_site leaves out.
	Defaults site.OXDDefaults
	// Records keeps what applications protect; nil for a server that does not.
	Records Records
	// Changed is called when what applications protect has changed. It returns when every
	// connected Envoy enforces it, or reports that some do not and were waited for long
	// enough. Nil where there is no Envoy.
	Changed func(ctx context.Context) (enforced bool, err error)
	// Revoked is what Envoy refuses, so that uma_rs_check_access does, too; may be nil.
	Revoked func() []config.Revocations
	// Audit keeps what applications have changed; may be nil.
	Audit audit.Recorder
	// Origin says how the AS of an op_host is reached; the defaults when nil.
	Origin Origin
	// Protect asks for a protection token on the socket, and checks it on both
	// transports (protect_commands_with_access_token).
	Protect bool
	// LoginLifetime is how long a state is good; [DefaultLoginLifetime] when 0.
	LoginLifetime time.Duration
	// Logger gets what clients are not told; never a secret.
	Logger *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Transport carries the calls to OPs that have none of their own;
	// http.DefaultTransport when nil.
	Transport http.RoundTripper
}

// DefaultLoginLifetime is how long a person may take to log in.
const DefaultLoginLifetime = 5 * time.Minute

// Server runs commands. Both transports call [Server.Handle]. It is safe for
// concurrent use.
type Server struct {
	admission *admission
	commands  map[string]*Command
	logger    *slog.Logger
}

// New makes a server. It does no I/O.
func New(cfg Config) (*Server, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Transport == nil {
		cfg.Transport = http.DefaultTransport
	}
	if cfg.LoginLifetime <= 0 {
		cfg.LoginLifetime = DefaultLoginLifetime
	}
	if cfg.Origin == nil {
		cfg.Origin = func(string) site.AuthorizationServer { return site.New().AuthorizationServer }
	}
	ops, err := newOPs(cfg)
	if err != nil {
		return nil, err
	}
	known := &rps{ops: ops, store: cfg.Store, logger: cfg.Logger}
	protected := &resources{rps: known, records: cfg.Records, origin: cfg.Origin, notify: cfg.Changed, revoked: cfg.Revoked, audit: cfg.Audit}
	all := owners{
		rps:          known,
		admission:    &admission{rps: known, protect: cfg.Protect},
		registration: &registration{rps: known, resources: protected, defaults: cfg.Defaults},
		logins:       &logins{rps: known, lifetime: cfg.LoginLifetime},
		resources:    protected,
		tickets:      &tickets{rps: known, lifetime: cfg.LoginLifetime},
	}
	return &Server{admission: all.admission, commands: byName(all.commands()), logger: cfg.Logger}, nil
}

// Handle runs the command of that name. params is its JSON object, protection the
// token that HTTP has in a header; empty on the socket, where it stands in params.
// It never fails: a failure is an envelope too.
func (s *Server) Handle(ctx context.Context, name string, params json.RawMessage, protection secret.Text) Response {
	start := time.Now()
	command := s.commands[strings.ToLower(name)]
	if command == nil {
		s.logger.Info("oxd command", slog.String("command", "unknown"), slog.String("code", string(CodeUnsupportedOperation)))
		return failed(fail(CodeUnsupportedOperation, "there is no command of this name"))
	}
	c := &Call{Command: command}
	data, err := s.run(ctx, c, params, protection)
	attributes := []any{slog.String("command", command.Name), slog.Duration("took", time.Since(start))}
	if err != nil {
		e := asError(err)
		s.logger.Warn("oxd command failed", append(attributes, slog.String("code", string(e.Code)), slog.Any("error", err))...)
		return failed(e)
	}
	for _, text := range c.warnings {
		s.logger.Warn("oxd command done in part", append(attributes, slog.String("warning", text))...)
	}
	s.logger.Info("oxd command", attributes...)
	out := succeeded(data)
	out.Warnings = c.warnings
	return out
}

func (s *Server) run(ctx context.Context, c *Call, raw json.RawMessage, protection secret.Text) (any, error) {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 {
		raw = json.RawMessage("{}")
	}
	if raw[0] != '{' {
		return nil, fail(CodeInternal, "params is missing, or is not an object")
	}
	params, err := c.Command.decode(raw)
	if err != nil {
		return nil, malformed(err)
	}
	if protection.IsZero() {
		var sent struct {
			Token secret.Text `json:"protection_access_token"`
		}
		if err := json.Unmarshal(raw, &sent); err != nil {
			return nil, malformed(err)
		}
		protection = sent.Token
	}
	// Some parameters are looked at before the oxd_id, as oxd did.
	if early, ok := params.(interface{ checkFirst() error }); ok {
		if err := early.checkFirst(); err != nil {
			return nil, err
		}
	}
	if err := s.admission.admit(ctx, c, params, protection); err != nil {
		return nil, err
	}
	return c.Command.run(ctx, c, params)
}

// malformed names the parameter at fault, and not its value.
func malformed(err error) *Error {
	e := &Error{Code: CodeInternal, Description: "params is not what this command takes", Cause: err}
	if at, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && at.Field != "" {
		e.Description = "parameter " + at.Field + " must be " + wordFor(at.Type.Kind())
	} else if errors.Is(err, errStrings) {
		e.Description = "a parameter " + errStrings.Error()
	}
	return e
}
