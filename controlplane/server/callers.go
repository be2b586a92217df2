package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"

	"github.com/umagate/umagate/controlplane/api"
	"github.com/umagate/umagate/controlplane/audit"
	"github.com/umagate/umagate/controlplane/listen"
	"github.com/umagate/umagate/controlplane/secret"
	"github.com/umagate/umagate/controlplane/site"
)

// localCaller is the name that a call with the local token has in the audit log.
const localCaller = "local"

// callers knows who calls the API, by the file in force.
type callers struct {
	local   secret.Text
	current atomic.Pointer[api.Credentials]
}

var _ api.Authenticator = (*callers)(nil)

// Authenticate implements [api.Authenticator].
func (c *callers) Authenticate(r *http.Request) (api.Caller, error) {
	known := c.current.Load()
	if known == nil {
		return api.Caller{}, api.ErrNoCredential
	}
	return known.Authenticate(r)
}

// take makes the callers of a file those that are known.
func (c *callers) take(file *site.File) {
	var tokens []api.Token
	if !c.local.IsZero() {
		tokens = append(tokens, api.Token{Name: localCaller, Value: c.local, Role: api.Write, Loopback: true})
	}
	for _, t := range file.API.Tokens {
		tokens = append(tokens, api.Token{Name: t.Name, Value: t.Token, Role: api.Role(t.Role)})
	}
	var certificates []api.Certificate
	for _, k := range file.API.Certificates {
		certificates = append(certificates, api.Certificate{Name: k.Name, Subject: k.Subject, Role: api.Role(k.Role)})
	}
	c.current.Store(api.NewCredentials(tokens, certificates))
}

// newCallers reads or makes the token of this machine's own commands. Where its
// folder cannot be written, the API goes without.
func newCallers(ctx context.Context, options Options, recorder audit.Recorder, file *site.File) (*callers, error) {
	path := file.LocalTokenPath(options.Path)
	if path == "" {
		return &callers{}, nil
	}
	token, made, err := api.LocalToken(path)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		options.Logger.Warn("no local token: umagate status and its like need --token-file, with a token of api.tokens",
			slog.String("path", path), slog.Any("error", err))
		return &callers{}, nil
	case err != nil:
		return nil, fmt.Errorf("api.local_token: %w", err)
	case made:
		recorder.Record(ctx, audit.Event{Action: audit.LocalTokenGenerate, Target: path})
	}
	return &callers{local: token}, nil
}

// listenAPI opens listen.api, with TLS where the file has it.
func listenAPI(ctx context.Context, options Options, file *site.File) (net.Listener, error) {
	t := file.Listen.APITLS
	listener, err := listen.TCP(ctx, "listen.api", file.Listen.API, file.Listen.InsecurePlaintext || t != nil)
	if err != nil || t == nil {
		return listener, err
	}
	files := listen.NewCertificates(options.Path, t.Certificate, t.Key, t.ClientCA, options.Logger)
	if err := files.Load(); err != nil {
		return nil, errors.Join(fmt.Errorf("listen.api_tls: %w", err), listener.Close())
	}
	// Without a certificate, a caller may have a token.
	return tls.NewListener(listener, files.Config(tls.VerifyClientCertIfGiven, "h2", "http/1.1")), nil
}
