package oxd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/umagate/umagate/controlplane/as"
	"github.com/umagate/umagate/controlplane/secret"
)

// OP is an OpenID provider, and UMA authorization server, that commands may name.
type OP struct {
	// Host is what op_host is compared with: an address, its path included. A "/" at
	// its end does not count, and the host's case does not.
	Host string
	// Issuer is as its metadata spells it; Host when empty.
	Issuer string
	// Dialect is for UMA and registration, see package as.
	Dialect as.DialectName
	// InitialAccessToken is for registrations; may be empty.
	InitialAccessToken secret.Text
	// Transport carries the calls to it instead of the server's.
	Transport http.RoundTripper
	// Timeout bounds each call.
	Timeout time.Duration
}

// ops are the OPs allowed and what is known of each. Discovery is done once for
// each and kept for discoveryLifetime.
type ops struct {
	allowed   map[string]*OP
	transport http.RoundTripper
	now       func() time.Time

	mu    sync.Mutex
	found map[string]*provider
}

// discoveryLifetime is how long the metadata of an OP is taken for true.
const discoveryLifetime = 10 * time.Minute

// provider is an OP whose metadata are known. Immutable.
type provider struct {
	op      *OP
	server  *as.Server
	oidc    *oidc.Provider
	client  *http.Client
	foundAt time.Time
	// metadata is the whole document.
	metadata connectMetadata
	// uma says that the AS has UMA metadata.
}

// connectMetadata are the members of OpenID Connect Discovery 1.0 section 3 that
// package as has no use for.
type connectMetadata struct {
	CodeChallengeMethods []string       `json:"code_challenge_methods_supported"`
	ACRValues            []string       `json:"acr_values_supported"`
	Scopes               []string       `json:"scopes_supported"`
	IDTokenAlgs          []string       `json:"id_token_signing_alg_values_supported"`
	JWKSURI              string         `json:"jwks_uri"`
	EndSessionEndpoint   string         `json:"end_session_endpoint"`
	UserInfoEndpoint     string         `json:"userinfo_endpoint"`
	All                  map[string]any `json:"-"`
}

func (o *ops) init(cfg Config) error {
	o.allowed, o.found, o.transport, o.now = map[string]*OP{}, map[string]*provider{}, cfg.Transport, cfg.Now
	for _, op := range cfg.OPs {
		key, err := hostKey(op.Host)
		if err != nil {
			return fmt.Errorf("oxd: op_hosts: %q: %w", op.Host, err)
		}
		if op.Issuer == "" {
			op.Issuer = op.Host
		}
		if op.Transport == nil {
			op.Transport = cfg.Transport
		}
		o.allowed[key] = &op
	}
	return nil
}

var errHost = errors.New("write an address such as https://op.example.com, without query")

// hostKey brings two spellings of an address together. An address without scheme
// is https: some clients leave it out.
func hostKey(host string) (string, error) {
	host = strings.TrimSpace(host)
	if host != "" && !strings.Contains(host, "://") {
		host = "https://" + host
	}
	u, err := url.Parse(host)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", errHost
	}
	return u.Scheme + "://" + strings.ToLower(u.Host) + strings.TrimRight(u.EscapedPath(), "/"), nil
}

// provider gives the OP that a command names, discovered.
func (s *Server) provider(ctx context.Context, host string) (*provider, error) {
	if host == "" {
		host = s.config.DefaultOP
	}
	if host == "" {
		return nil, fail(CodeInvalidOPHost, "op_host is missing, and oxd.default_op_host is not set in umagate.yaml")
	}
	key, err := hostKey(host)
	if err != nil {
		return nil, fail(CodeInvalidOPHost, "op_host is not an address").because(err)
	}
	op := s.ops.allowed[key]
	if op == nil {
		return nil, fail(CodeInvalidOPHost, "op_host is not one of oxd.op_hosts in umagate.yaml")
	}
	return s.ops.discover(ctx, key, op)
}

func (o *ops) discover(ctx context.Context, key string, op *OP) (*provider, error) {
	o.mu.Lock()
	known := o.found[key]
	o.mu.Unlock()
	if known != nil && o.now().Sub(known.foundAt) < discoveryLifetime {
		return known, nil
	}
	fresh, err := o.fetch(ctx, op)
	if err != nil {
		if known != nil {
			return known, nil // an OP that is down for a while has not moved
		}
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found[key] = fresh
	return fresh, nil
}

func (o *ops) fetch(ctx context.Context, op *OP) (*provider, error) {
	client := as.HTTPClient(op.Transport, op.Timeout)
	asClient, err := as.New(as.Config{Issuer: op.Issuer, Dialect: op.Dialect, Transport: op.Transport, Timeout: op.Timeout, Now: o.now})
	if err != nil {
		return nil, err
	}
	// The provider keeps the context for its JWKS: it must outlive this command.
	found, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), client), op.Issuer)
	if err != nil {
		return nil, fail(CodeNoConnectDiscovery, "the OpenID Connect discovery document of op_host cannot be read").because(err)
	}
	p := &provider{op: op, oidc: found, client: client, foundAt: o.now()}
	if err := errors.Join(found.Claims(&p.metadata), found.Claims(&p.metadata.All)); err != nil {
		return nil, fail(CodeNoConnectDiscovery, "the OpenID Connect discovery document of op_host is malformed").because(err)
	}
	if p.server, err = asClient.Discover(ctx); err != nil {
		return nil, fail(CodeNoConnectDiscovery, "the metadata of op_host cannot be read").because(err)
	}
	return p, nil
}
